-- Begins, adopts or replays a turn.
-- ARGV: time, token, fingerprint, key tag or '', '1' when the conversation is new,
--       limits (turns, bytes, conversations; 0 for none), messages, fields of a new
--       conversation, fields of the workflow.
local own, fp, key, new, maxTurns, maxBytes, maxConvs = unpack(ARGV, 6, 12)
new, maxTurns, maxBytes, maxConvs = new == '1', tonumber(maxTurns), tonumber(maxBytes), tonumber(maxConvs)
local keyed, input, created, workflow, at = key ~= '', nil, nil, nil, nil
input, at = list(13)
created, at = map(at)
workflow = map(at)

-- about adds what is told of the conversation to an answer.
local function about(answer)
  local n = #answer
  answer[n + 1], answer[n + 2], answer[n + 3] = h.upstreamId or '', h.createdAt or '', h.workflowId or ''
  answer[n + 4], answer[n + 5], answer[n + 6] = h.currentStep or '', h.stepData or '', h.metadata or ''
  return answer
end

-- replay is the answer that a turn came to, with the step data that it went by, '' if
-- nobody kept that. The messages are read afterwards, by a plain command: they may be
-- many.
local function replay(t, extra, first, count)
  local data, turn = '', tonumber(t)
  if tonumber(h.sd or 0) <= turn then
    data = h.stepData or ''
  else
    for _, name in ipairs(redis.call('HKEYS', recs)) do
      local since, till = string.match(name, '^=(%d+)%-(%d+)$')
      if since and tonumber(since) <= turn and turn < tonumber(till) then data = redis.call('HGET', recs, name) end
    end
  end
  return about(unchanged('REPLAY', t, extra, first, count, data))
end

-- First, which turn it is, or why there is none.
if damaged then return say('CORRUPT') end
if not h and not new then return say('NOTFOUND') end
local exists, full = h ~= nil, false
if new and (not h or h.state == 'starting') and maxConvs > 0 then
  -- Whether the owner has as many as there may be: those that are listed, and those
  -- that are being started, this one left out.
  local others, place = redis.call('ZCOUNT', starts, string.format('(%.0f', now), '+inf'), redis.call('ZSCORE', starts, id)
  if place and tonumber(place) > now then others = others - 1 end
  full = redis.call('ZCARD', index) + others >= maxConvs
end
local state, turn, fence, count, adopted, rec = 'starting', 0, 1, 0, false, false
local ended, remains, lapsed
if not exists then
  if full then return say('QUOTA') end
  local place, shown = redis.call('ZSCORE', index, id), redis.call('HEXISTS', sums, id)
  remains = place or shown == 1
  created.createdAt = iso(now)
  h, records = {}, 0
else
  state, turn, fence, count = h.state or 'done', tonumber(h.turns or 0), tonumber(h.fence or 0) + 1, tonumber(h.n or 0)
  ended = h.status == 'completed' and h.ended == '1' -- by the agent: it goes on with this turn
  if state == 'starting' and not new then return unchanged('NOTFOUND') end
  if h.token == own then -- this very begin has run before, its answer was lost
    return about(unchanged('BEGUN', h.turns, h.fence, '0'))
  end
  local recTurn
  if keyed then
    records = records or redis.call('HLEN', recs)
    rec = key == h.key and record or redis.call('HGET', recs, key)
  end
  if rec then
    local recFp, t, done, first, messages, extra = outcome(h, rec)
    if not recFp then return say('CORRUPT') end
    if recFp ~= fp then return unchanged('MISMATCH') end
    if done == '1' then return replay(t, extra, first, messages) end
    recTurn = tonumber(t)
  end
  local repeated = recTurn == turn or not keyed and h.fp == fp
  if not keyed and repeated and h.unheard and h.unheard ~= '' then
    local heard = h.heardAt and h.heardAt ~= '' and h.heardAt
    if not heard or now - heard < hearing then
      local _, t, _, first, messages, extra = outcome(h, h.unheard)
      local answer = replay(t, extra, first, messages)
      if not heard then redis.call('HSET', conv, 'heardAt', string.format('%.0f', now)) end
      return answer
    end
  end
  local left = holder and holder == h.token and redis.call('PTTL', lease) or 0
  local held = left > 0
  local closed = (h.status or 'active') ~= 'active' and not ended
  if held and (repeated or not closed) then -- a repeat of what runs can wait for it
    local same = repeated and (keyed or (h.key or '') == '' and (h.updatedAt or '') > iso(now - joining))
    return unchanged('BUSY', tostring(turn), tostring(math.min(left, leaseMs)), same and '1' or '0')
  end
  if closed then return unchanged('CLOSED') end
  adopted = repeated and state ~= 'done'
  if not adopted then
    if new then return unchanged('MISMATCH') end
    lapsed = state == 'running' and 'f' .. turn
    state, turn = 'running', turn + 1
  elseif state ~= 'starting' then
    state = 'running'
  elseif full then -- it has lapsed, and did not count meanwhile
    return unchanged('QUOTA')
  end
end

-- Then how much there is of it.
local said, last, marked = 0, nil, nil
if state == 'running' then
  marked = turn > 8 and redis.call('STRLEN', marks) -- which fails when it is no string
  if not adopted then
    for i = 1, #input do
      input[i] = turn .. ' ' .. input[i]
      said = said + #input[i]
    end
    if maxTurns > 0 and turn > maxTurns or maxBytes > 0 and bytes + tonumber(h.kept or 0) + said > maxBytes then
      return unchanged('FULL')
    end
    last = #input > 0 and #input[#input]
  end
end

-- From here on it is written.
if state == 'starting' then
  starting()
  if remains then leave(id) end -- of one of that id, which has ended
  if not exists then redis.call('DEL', msgs, recs, marks) end -- what an eviction may have left
end
local set = {
  state = state, turns = tostring(turn), fence = tostring(fence), token = own, fp = fp, n = count, bytes = bytes + said, at = nil,
  updatedAt = state == 'starting' and iso(now) or touch(),
}
if not exists then
  for name, value in pairs(created) do set[name] = value end
end
for name, value in pairs(workflow) do set[name] = value end
if lapsed then set[lapsed] = 'lapsed' end
if ended then set.status, set.ended, set.upstreamId = 'active', '', '' end
if workflow.stepData then
  replace(turn, h.stepData)
  set.sd = turn
elseif keyed then
  set.kt = turn
end
if keyed then
  if not rec then forget() end
  remember(key, fp .. ' ' .. turn .. ' 0 0 0 ', rec and #rec or 0)
  set.key = key
elseif h.key and h.key ~= '' and not adopted then -- a turn taken over keeps the key it was begun with
  set.key = ''
end
if counted then set.keys, set.kept = records, h.kept end
if h.unheard and h.unheard ~= '' then -- the next turn begins: it was heard, or never will be
  set.unheard, set.heardAt = '', ''
end
if adopted then
  redis.call('HDEL', conv, 'f' .. turn)
elseif exists then
  mark(set, turn, count, bytes)
  set.n = count + #input
  if last and last > large then set.last = last end
  if last and last <= large and h.last then redis.call('HDEL', conv, 'last') end
  append(input)
end
commit(set)
redis.call('SET', lease, own, 'PX', leaseMs)
if state ~= 'starting' then
  if marked == 0 then redis.call('PEXPIRE', marks, ttl) end
  keep()
else -- it is in no index yet
  redis.call('PEXPIRE', conv, ttl)
  if keyed or adopted then redis.call('PEXPIRE', recs, ttl) end -- again, not to end a millisecond before the hash
end
return about(say('BEGUN', set.turns, set.fence, adopted and '1' or '0'))
