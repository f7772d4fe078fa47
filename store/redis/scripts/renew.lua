-- Extends the lease of a turn whose place nobody took.
-- ARGV: time, token.
local own = ARGV[6]

if damaged then return say('CORRUPT') end
if not h then return say('NOTFOUND') end
redis.call('ZSCORE', index, id) -- which fails when it is of another type
if h.token ~= own or (h.state ~= 'running' and h.state ~= 'starting') then return say('STALE') end
if h.state == 'starting' then starting() end
redis.call('SET', lease, own, 'PX', leaseMs)
return say('OK', signals())
