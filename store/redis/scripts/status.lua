-- Closes or reopens a conversation and returns its fields.
-- ARGV: id, times, status.
local id = shift()
local now, score, ttl = times()
local status = shift()

local state = redis.call('HGET', conv, 'state')
if not state or state == 'starting' then return {'NOTFOUND'} end
commit(id, now, score, ttl, {'status', status})
keep(ttl)
local out = redis.call('HGETALL', conv)
table.insert(out, 1, 'OK')
return out
