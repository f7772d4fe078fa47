-- Begins, adopts or replays a turn.
-- ARGV: token, fingerprint, key tag or '', times, lease ms, ms for which an answer
--       that nobody heard is replayed, ms for which a repeat without a key joins, '1'
--       when the conversation is new, limits (turns, bytes, conversations; 0 for none),
--       how many keys there may be and how many are left when there are more,
--       messages, fields of a new conversation, fields of the workflow.
local own, fp, key = shift(), shift(), shift()
local now, score, ttl = times()
local leaseMs, hearing, joining, new = shift(), shift(), shift(), shift() == '1'
local maxTurns, maxBytes, maxConvs = tonumber(shift()), tonumber(shift()), tonumber(shift())
local maxKeys, leftKeys = tonumber(shift()), tonumber(shift())
local input, created, workflow = list(), list(), list()

local h, damaged = record()
if damaged then return say('CORRUPT') end
local exists = h ~= nil
h = h or {}
local state, turn = h.state or 'done', tonumber(h.turns or 0)

local rec = exists and key ~= '' and redis.call('HGET', recs, key)

-- What is told of the conversation, behind the outcome and its numbers.
local told = {'upstreamId', 'createdAt', 'workflowId', 'currentStep', 'stepData', 'metadata'}
local function about(out)
  for i = 1, #told do out[#out + 1] = h[told[i]] or '' end
  return out
end

local ended = h.status == 'completed' and h.ended == '1' -- by the agent: it goes on with this turn

local function hold(state, turn, fence, adopted, count, fields)
  local set = {'state', state, 'turns', turn, 'fence', fence, 'token', own, 'fp', fp, 'n', count}
  local bytes, said, old, replaces = size(h), 0, h.stepData, false
  for i = 1, #fields do set[#set + 1] = fields[i] end
  if ended then
    for _, v in ipairs({'status', 'active', 'ended', '', 'upstreamId', ''}) do set[#set + 1] = v end
    h.upstreamId = ''
  end
  for i = 1, #workflow, 2 do
    set[#set + 1], set[#set + 2] = workflow[i], workflow[i + 1]
    h[workflow[i]] = workflow[i + 1]
    replaces = replaces or workflow[i] == 'stepData'
  end
  for i = 1, #input do said = said + #input[i] end
  if adopted then said = 0 end
  for _, v in ipairs({'bytes', bytes + said}) do set[#set + 1] = v end
  local last = said > 0 and state == 'running' and #input[#input]
  if last and last > large then
    for _, v in ipairs({'last', last}) do set[#set + 1] = v end
  end
  if replaces then
    for _, v in ipairs({'sd', turn}) do set[#set + 1] = v end
  elseif key ~= '' then
    for _, v in ipairs({'kt', turn}) do set[#set + 1] = v end
  end
  if key ~= '' then
    for _, v in ipairs({'key', key}) do set[#set + 1] = v end
  elseif h.key and not adopted then -- a turn taken over keeps the key it was begun with
    set[#set + 1] = 'key'
    set[#set + 1] = ''
  end
  if h.unheard and h.unheard ~= '' then -- the next turn begins: it was heard, or never will be
    for _, v in ipairs({'unheard', '', 'heardAt', ''}) do set[#set + 1] = v end
  end
  commit(id, now, score, ttl, set)
  if last and last <= large and h.last then redis.call('HDEL', conv, 'last') end
  if not exists then redis.call('DEL', msgs, recs, marks) end -- what an eviction may have left
  if replaces then replaced(h, turn, old) end
  if key ~= '' then
    if not rec then forget(h, maxKeys, leftKeys - 1) end
    remember(h, key, fp .. ' ' .. turn .. ' 0 0 0 ')
  end
  if h.counted then redis.call('HSET', conv, 'keys', h.records, 'kept', h.kept) end
  if state == 'running' and not adopted then
    mark(h, turn, count - #input, bytes)
    append(input)
  end
  redis.call('SET', lease, own, 'PX', leaseMs)
  if state == 'starting' then starting(score, leaseMs) end
  keep(ttl)
  return about(say('BEGUN', tostring(turn), tostring(fence), adopted and '1' or '0'))
end

-- quota reports whether the owner has as many conversations as there may be.
local function quota()
  local has = owned(score)
  return maxConvs > 0 and has >= maxConvs
end

if not exists then
  if not new then return say('NOTFOUND') end
  if quota() then return say('QUOTA') end
  h.records = 0
  created[#created + 1] = 'createdAt'
  created[#created + 1] = now
  for i = 1, #created, 2 do h[created[i]] = created[i + 1] end
  return hold('starting', 0, 1, false, 0, created)
end
if state == 'starting' and not new then return say('NOTFOUND') end
if h.token == own then -- this very begin has run before, its answer was lost
  return about(say('BEGUN', h.turns, h.fence, '0'))
end

-- The messages are read afterwards, by a plain command: they may be many.
local function replay(t, extra, first, count)
  return about(say('REPLAY', t, extra, first, count, stepData(h, tonumber(t))))
end

local recTurn
if rec then
  local recFp, t, done, first, count, extra = outcome(h, rec)
  if not recFp then return say('CORRUPT') end
  if recFp ~= fp then return say('MISMATCH') end
  if done == '1' then return replay(t, extra, first, count) end
  recTurn = tonumber(t)
end
local repeated = recTurn == turn or key == '' and h.fp == fp
if key == '' and repeated and h.unheard and h.unheard ~= '' then
  local first = h.heardAt and h.heardAt ~= '' and h.heardAt
  if not first or score - first < tonumber(hearing) then
    local _, t, _, start, count, extra = outcome(h, h.unheard)
    if not first then redis.call('HSET', conv, 'heardAt', string.format('%.0f', score)) end
    return replay(t, extra, start, count)
  end
end
local left = h.lease and h.lease == h.token and redis.call('PTTL', lease) or 0
local held = left > 0
local closed = (h.status or 'active') ~= 'active' and not ended
if held and (repeated or not closed) then -- a repeat of what runs can wait for it
  local same = repeated and (key ~= '' or (h.key or '') == '' and (h.updatedAt or '') > iso(score - joining))
  return say('BUSY', tostring(turn), tostring(math.min(left, leaseMs)), same and '1' or '0')
end
if closed then return say('CLOSED') end

local fence, count = tonumber(h.fence or 0) + 1, tonumber(h.n or 0)
if state ~= 'done' and repeated then
  if state == 'starting' and quota() then return say('QUOTA') end -- it has lapsed, and did not count meanwhile
  local out = hold(state == 'starting' and state or 'running', turn, fence, true, count, {})
  redis.call('HDEL', conv, 'f' .. turn)
  return out
end
if new then return say('MISMATCH') end
for i = 1, #input do input[i] = (turn + 1) .. ' ' .. input[i] end
local bytes = size(h) + tonumber(h.kept or 0)
for i = 1, #input do bytes = bytes + #input[i] end
if maxTurns > 0 and turn >= maxTurns or maxBytes > 0 and bytes > maxBytes then return say('FULL') end
local fields = {}
if state == 'running' then fields = {'f' .. turn, 'lapsed'} end
return hold('running', turn + 1, fence, false, count + #input, fields)
