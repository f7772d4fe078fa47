-- Extends the lease of a turn whose place nobody took.
-- ARGV: times, token, lease ms.
local own, leaseMs = ARGV[7], ARGV[8]

if damaged then return say('CORRUPT') end
if not h then return say('NOTFOUND') end
redis.call('ZSCORE', index, id) -- which fails when it is of another type
if h.token ~= own or (h.state ~= 'running' and h.state ~= 'starting') then return say('STALE') end
if h.state == 'starting' then starting(leaseMs) end
redis.call('SET', lease, own, 'PX', leaseMs)
return say('OK', signals())
