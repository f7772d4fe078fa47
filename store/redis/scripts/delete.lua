-- Removes a conversation with everything that belongs to it, in whatever state
-- that is: an eviction, or somebody by hand, may have taken or changed any key.
-- ARGV: the name of the user's legacy record of it, '' for none.
-- KEYS: with a name, also that record, and the index it is in; last, the relay.
local legacy = ARGV[5]

local state, listed = redis.pcall('HGET', conv, 'state'), redis.pcall('ZSCORE', index, id)
if state == 'starting' and not listed then return say('NOTFOUND') end
local removed = redis.call('UNLINK', conv, msgs, recs)
redis.call('UNLINK', lease, marks, KEYS[#KEYS])
redis.pcall('ZREM', starts, id)
redis.pcall('HDEL', sums, id)
redis.pcall('ZREM', index, id)
if redis.call('EXISTS', index) == 0 then redis.call('UNLINK', sums) end
if legacy ~= '' then
  removed = removed + redis.call('UNLINK', KEYS[9])
  redis.pcall('ZREM', KEYS[10], legacy)
end
return say(removed > 0 and 'OK' or 'NOTFOUND')
