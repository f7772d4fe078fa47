-- Put before every script. Only commands and Lua of Redis 6.0; every key is
-- declared; all keys of one owner stand in one slot. A script checks first and
-- writes last, and its first write is one that is refused when memory is full,
-- so that it happens as a whole or not at all. (Deleting is never refused.)
--
-- KEYS: conversation hash, message list, idempotency records, lease,
--       the owner's index, the owner's summaries.
local conv, msgs, recs, lease, index, sums = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]

local arg = 0
local function shift()
  arg = arg + 1
  return ARGV[arg]
end

local function list()
  local out = {}
  for i = 1, tonumber(shift()) do out[i] = shift() end
  return out
end

-- commit does what every visible write does: fields, updatedAt (which never
-- moves back), the index and its summary, and the time to live of all keys.
-- A score follows the time that is kept, so that the two never disagree.
local function commit(id, now, score, fields)
  local old = redis.call('HGET', conv, 'updatedAt')
  if old and old > now then
    now = old
    score = redis.call('ZSCORE', index, id) or score
  end
  fields[#fields + 1] = 'updatedAt'
  fields[#fields + 1] = now
  redis.call('HSET', conv, unpack(fields))
  local h = redis.call('HMGET', conv, 'state', 'createdAt', 'status', 'turns', 'currentStep')
  if h[1] ~= 'starting' then
    redis.call('ZADD', index, score, id)
    redis.call('HSET', sums, id, '1 ' .. h[2] .. ' ' .. now .. ' ' .. h[3] .. ' ' .. h[4] .. ' ' .. (h[5] or ''))
  end
end

local function keep(ttl)
  redis.call('PEXPIRE', conv, ttl)
  redis.call('PEXPIRE', msgs, ttl)
  redis.call('PEXPIRE', recs, ttl)
  redis.call('PEXPIRE', index, ttl)
  redis.call('PEXPIRE', sums, ttl)
end
