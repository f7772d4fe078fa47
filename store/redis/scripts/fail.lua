-- Records that the agent gave no answer.
-- ARGV: token, times, class.
-- KEYS: also the relay.
local own = shift()
local now, score, ttl = times()
local class = shift()

local h, damaged = record()
if damaged then return say('CORRUPT') end
if not h then return say('NOTFOUND') end
if h.token ~= own or h.state == 'done' then return say('STALE') end
if h.state == 'failed' then return say('OK') end -- the answer to this call was lost
if h.state == 'starting' then -- nothing of a failed start is kept
  redis.call('ZREM', starts, id)
  redis.call('DEL', conv, msgs, recs, lease, marks, KEYS[#KEYS])
  return say('OK')
end
commit(id, now, score, ttl, {'state', 'failed', 'f' .. h.turns, class})
redis.call('DEL', lease)
keep(ttl)
return say('OK')
