-- Records that the agent gave no answer.
-- ARGV: id, token, times, class.
local id, token = shift(), shift()
local now, score, ttl = times()
local class = shift()

local h = redis.call('HMGET', conv, 'token', 'state', 'turns')
if not h[1] then return {'NOTFOUND'} end
if h[1] ~= token or h[2] == 'done' then return {'STALE'} end
if h[2] == 'failed' then return {'OK'} end -- the answer to this call was lost
if h[2] == 'starting' then -- nothing of a failed start is kept
  redis.call('DEL', conv, msgs, recs, lease)
  return {'OK'}
end
commit(id, now, score, ttl, {'state', 'failed', 'f' .. h[3], class})
redis.call('DEL', lease)
keep(ttl)
return {'OK'}
