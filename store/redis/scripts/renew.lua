-- Extends the lease of a turn whose place nobody took.
-- ARGV: token, lease ms.
local token, leaseMs = shift(), shift()

local h = redis.call('HMGET', conv, 'token', 'state')
if not h[1] then return {'NOTFOUND'} end
if h[1] ~= token or (h[2] ~= 'running' and h[2] ~= 'starting') then return {'STALE'} end
redis.call('SET', lease, token, 'PX', leaseMs)
return {'OK'}
