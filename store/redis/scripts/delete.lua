-- Removes a conversation with everything that belongs to it.
-- ARGV: id.
local id = shift()

local state = redis.call('HGET', conv, 'state')
if not state or state == 'starting' then return {'NOTFOUND'} end
redis.call('UNLINK', conv, msgs, recs, lease)
leave(id)
return {'OK'}
