-- Put after record.lua: the fields of a conversation, its place in the owner's index, and
-- how long everything is kept. The index lists a conversation for as long as its hash is
-- there: that is what knows its own end, whatever time to live the instance has that
-- wrote it. So the index must not end before what it lists, nor drop an entry that may
-- still live.

-- listed says whether this script has put the conversation into the index, or its
-- summary beside it. Either may have been made by that, and has no end then.
local listed = false

-- touch is the first write of every visible change, the place in the index, and gives
-- updatedAt, which never moves back. A score follows the time that is kept, so that the
-- two never disagree.
local function touch()
  local at, score = iso(now), now
  if h.updatedAt and h.updatedAt > at then
    at = h.updatedAt
    score = redis.call('ZSCORE', index, id) or score
  end
  listed = redis.call('ZADD', index, score, id) == 1
  return at
end

-- commit writes fields, all by one command, and what a list shows of them.
local function commit(set)
  local flat, n = { -- with room for what most write: a table that grows is copied at each step
    nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil,
  }, 0
  for name, value in pairs(set) do
    flat[n + 1], flat[n + 2], n = name, value, n + 2
    h[name] = value
  end
  redis.call('HSET', conv, unpack(flat))
  if h.state ~= 'starting' and redis.call('HSET', sums, id, summary(h)) == 1 then listed = true end
end

-- unchanged is how a script answers that has written nothing. Its first write would have
-- told whether the index is one; this asks.
local function unchanged(...)
  redis.call('ZSCORE', index, id)
  return say(...)
end

-- keep renews the time to live of the conversation once a tenth of it is gone, or when
-- it is longer than its last writer wants: that of all its keys, so that none ends before
-- the hash. (Whoever makes one gives it an end at once.) The index then lives on where it
-- would end earlier. keep gives the longest time to live of any entry if it looked. That
-- is kept beside the summaries, under a name that no conversation has.
local function keep()
  local left = redis.call('PTTL', conv)
  local due = left <= 0.9 * ttl or left > ttl
  if due then
    for _, key in ipairs({conv, msgs, recs, marks}) do redis.call('PEXPIRE', key, ttl) end
  end
  if not due and not listed then return end
  local known = tonumber(redis.call('HGET', sums, 'ttl') or nil)
  local longest = math.max(ttl, known or redis.call('PTTL', index))
  if known ~= longest then redis.call('HSET', sums, 'ttl', longest) end
  for _, key in ipairs({index, sums}) do
    if redis.call('PTTL', key) < ttl then redis.call('PEXPIRE', key, ttl) end
  end
  return longest
end
