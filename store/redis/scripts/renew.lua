-- Extends the lease of a turn whose place nobody took.
-- ARGV: token, lease ms.
local own, leaseMs = shift(), shift()

local h, damaged = record()
if damaged then return say('CORRUPT') end
if not h then return say('NOTFOUND') end
if h.token ~= own or (h.state ~= 'running' and h.state ~= 'starting') then return say('STALE') end
redis.call('SET', lease, own, 'PX', leaseMs)
return say('OK')
