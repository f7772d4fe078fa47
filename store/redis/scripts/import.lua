-- Stores a conversation of the predecessor in today's form, unless it is there.
-- ARGV: id, now, score, ttl, messages, fields.
local id, now, score, ttl = shift(), shift(), shift(), shift()
local history, fields = list(), list()

if redis.call('EXISTS', conv) == 1 then return {'OK'} end
commit(id, now, score, fields)
for i = 1, #history do redis.call('RPUSH', msgs, history[i]) end
keep(ttl)
return {'OK'}
