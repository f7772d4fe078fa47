-- Records that the agent gave no answer.
-- ARGV: time, token, class.
-- KEYS: also the relay.
local own, class = ARGV[6], ARGV[7]

if damaged then return say('CORRUPT') end
if not h then return say('NOTFOUND') end
if h.token ~= own or h.state == 'done' then return unchanged('STALE') end
if h.state == 'failed' then return unchanged('OK') end -- the answer to this call was lost
if h.state == 'starting' then -- nothing of a failed start is kept
  redis.call('ZREM', starts, id)
  redis.call('DEL', conv, msgs, recs, lease, marks, KEYS[#KEYS])
  return say('OK')
end
commit({state = 'failed', ['f' .. h.turns] = class, updatedAt = touch()})
redis.call('DEL', lease)
keep()
return say('OK')
