-- Extends the lease of a turn whose place nobody took.
-- ARGV: token, times, lease ms.
local own = shift()
local _, now = times()
local leaseMs = shift()

local h, damaged = record()
if damaged then return say('CORRUPT') end
if not h then return say('NOTFOUND') end
if h.token ~= own or (h.state ~= 'running' and h.state ~= 'starting') then return say('STALE') end
if h.state == 'starting' then starting(now, leaseMs) end
redis.call('SET', lease, own, 'PX', leaseMs)
return say('OK', signals(h, now))
