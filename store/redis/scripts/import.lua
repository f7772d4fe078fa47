-- Stores a legacy conversation in today's form, unless it is there.
-- ARGV: id, times, messages, fields.
local id = shift()
local now, score, ttl = times()
local history, fields = list(), list()

if redis.call('EXISTS', conv) == 1 then return {'OK'} end
commit(id, now, score, ttl, fields)
for i = 1, #history do redis.call('RPUSH', msgs, history[i]) end
keep(ttl)
return {'OK'}
