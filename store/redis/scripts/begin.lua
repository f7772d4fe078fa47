-- Begins, adopts or replays a turn.
-- ARGV: id, token, fingerprint, key tag or '', times, lease ms,
--       '1' when the conversation is new, messages, fields of a new
--       conversation, fields of the workflow.
local id, token, fp, key = shift(), shift(), shift(), shift()
local now, score, ttl = times()
local leaseMs, new = shift(), shift() == '1'
local input, created, workflow = list(), list(), list()

local h = redis.call('HMGET', conv, 'v', 'state', 'turns', 'fence', 'token', 'fp', 'status', 'n', 'key', 'unheard', 'heard')
local exists, state, turn = h[1], h[2], tonumber(h[3] or 0)

-- What is told of the conversation, behind the outcome and its numbers.
local function about(out)
  local w = redis.call('HMGET', conv, 'upstreamId', 'createdAt', 'workflowId', 'currentStep', 'stepData', 'metadata')
  for i = 1, 6 do out[#out + 1] = w[i] or '' end
  return out
end

local function hold(state, turn, fence, adopted, count, fields)
  local set = {'state', state, 'turns', turn, 'fence', fence, 'token', token, 'fp', fp, 'n', count}
  for i = 1, #fields do set[#set + 1] = fields[i] end
  for i = 1, #workflow do set[#set + 1] = workflow[i] end
  if key ~= '' then
    set[#set + 1] = 'key'
    set[#set + 1] = key
  elseif h[9] and not adopted then -- a turn taken over keeps the key it was begun with
    set[#set + 1] = 'key'
    set[#set + 1] = ''
  end
  if h[10] and h[10] ~= '' then -- the next turn begins: it was heard, or never will be
    for _, v in ipairs({'unheard', '', 'heard', ''}) do set[#set + 1] = v end
  end
  commit(id, now, score, ttl, set)
  if key ~= '' then redis.call('HSET', recs, key, fp .. ' ' .. turn .. ' 0 0 0 ') end
  for i = 1, (adopted and 0 or #input) do redis.call('RPUSH', msgs, turn .. ' ' .. input[i]) end
  redis.call('SET', lease, token, 'PX', leaseMs)
  keep(ttl)
  return about({'BEGUN', tostring(turn), tostring(fence), adopted and '1' or '0'})
end

if not exists then
  if not new then return {'NOTFOUND'} end
  created[#created + 1] = 'createdAt'
  created[#created + 1] = now
  return hold('starting', 0, 1, false, 0, created)
end
if state == 'starting' and not new then return {'NOTFOUND'} end
if h[5] == token then -- this very begin has run before, its answer was lost
  return about({'BEGUN', h[3], h[4], '0'})
end

local function replay(t, extra, first, count)
  local out = about({'REPLAY', t, extra, first, count})
  if tonumber(count) > 0 then
    local m = redis.call('LRANGE', msgs, first, first + count - 1)
    for i = 1, #m do out[#out + 1] = m[i] end
  end
  return out
end

local recTurn
if key ~= '' then
  local rec = redis.call('HGET', recs, key)
  if rec then
    local recFp, t, done, first, count, extra = string.match(rec, '^(%S+) (%d+) ([01]) (%d+) (%d+) (.*)$')
    if not recFp then return {'CORRUPT'} end
    if recFp ~= fp then return {'MISMATCH'} end
    if done == '1' then return replay(t, extra, first, count) end
    recTurn = tonumber(t)
  end
end
if key == '' and h[6] == fp and h[10] and h[10] ~= '' and (not h[11] or h[11] == '' or h[11] == token) then
  local t, first, count, extra = string.match(h[10], '^%S+ (%d+) 1 (%d+) (%d+) (.*)$')
  if not t then return {'CORRUPT'} end
  redis.call('HSET', conv, 'heard', token)
  return replay(t, extra, first, count)
end
if h[7] ~= 'active' then return {'CLOSED'} end
local left = redis.call('PTTL', lease)
if left > 0 then return {'BUSY', tostring(turn), tostring(left)} end

local fence, count = tonumber(h[4] or 0) + 1, tonumber(h[8] or 0)
if state ~= 'done' and (recTurn == turn or key == '' and h[6] == fp) then
  local out = hold(state == 'starting' and state or 'running', turn, fence, true, count, {})
  redis.call('HDEL', conv, 'f' .. turn)
  return out
end
if new then return {'MISMATCH'} end
local fields = {}
if state == 'running' then fields = {'f' .. turn, 'lapsed'} end
return hold('running', turn + 1, fence, false, count + #input, fields)
