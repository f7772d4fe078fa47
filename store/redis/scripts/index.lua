-- Put after clock.lua: the owner's index, and how long everything is kept. The
-- index lists a conversation for as long as its hash is there: that is what knows
-- its own end, whatever time to live the instance has that wrote it. So the index
-- must not end before what it lists, nor drop an entry that may still live.

-- owned counts the owner's conversations: what is listed, and what others are
-- starting. It is asked before a start writes anything, also because it fails when
-- the starts are of another type.
local function owned(now)
  local others, own = redis.call('ZCOUNT', starts, string.format('(%.0f', now), '+inf'), redis.call('ZSCORE', starts, id)
  if own and tonumber(own) > now then others = others - 1 end
  return redis.call('ZCARD', index) + others
end

-- starting notes for how long a conversation counts that is being started: as long
-- as its lease. What has lapsed is dropped, and with the last lease all of it.
local function starting(now, leaseMs)
  redis.call('ZADD', starts, string.format('%.0f', now + leaseMs), id)
  redis.call('ZREMRANGEBYSCORE', starts, '-inf', string.format('%.0f', now))
  redis.call('PEXPIRE', starts, leaseMs)
end

-- longest gives the longest time to live of any entry. It is kept beside the
-- summaries, under a name that no conversation has.
local function longest(ttl)
  local known = tonumber(redis.call('HGET', sums, 'ttl') or nil)
  return known, math.max(ttl, known or redis.call('PTTL', index))
end

-- leave takes a conversation out of the index, and what is kept for all with the
-- last.
local function leave(id)
  redis.call('ZREM', index, id)
  redis.call('HDEL', sums, id)
  if redis.call('EXISTS', index) == 0 then redis.call('UNLINK', sums) end
end

-- commit does what every visible write does: fields, updatedAt (which never
-- moves back), the index and its summary. A score follows the time that is kept,
-- so that the two never disagree.
local function commit(id, now, score, ttl, fields)
  local old = redis.call('HGET', conv, 'updatedAt')
  if old and old > now then
    now = old
    score = redis.call('ZSCORE', index, id) or score
  end
  fields[#fields + 1] = 'updatedAt'
  fields[#fields + 1] = now
  redis.call('HSET', conv, unpack(fields))
  local h = redis.call('HMGET', conv, 'state', 'createdAt', 'status', 'turns', 'currentStep')
  if h[1] == 'starting' then
    leave(id) -- one of that id may have ended, and be listed still
  else
    local known, life = longest(ttl)
    if known ~= life then redis.call('HSET', sums, 'ttl', life) end
    redis.call('ZADD', index, score, id)
    redis.call('HSET', sums, id, '1 ' .. h[2] .. ' ' .. now .. ' ' .. h[3] .. ' ' .. h[4] .. ' ' .. (h[5] or ''))
  end
end

-- keep renews the time to live of the conversation, and of the index where that
-- would end earlier.
local function keep(ttl)
  redis.call('PEXPIRE', conv, ttl)
  redis.call('PEXPIRE', msgs, ttl)
  redis.call('PEXPIRE', recs, ttl)
  redis.call('PEXPIRE', marks, ttl)
  for _, k in ipairs({index, sums}) do
    if redis.call('PTTL', k) < ttl then redis.call('PEXPIRE', k, ttl) end
  end
end

-- sweep drops a few entries that have ended for certain, so that the index is
-- bounded without ever being read as a whole.
local function sweep(score, ttl)
  local _, life = longest(ttl)
  local stale = redis.call('ZRANGEBYSCORE', index, '-inf', score - life, 'LIMIT', 0, 100)
  if #stale > 0 then
    redis.call('ZREM', index, unpack(stale))
    redis.call('HDEL', sums, unpack(stale))
  end
end
