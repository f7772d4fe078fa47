-- Commits the agent's answer.
-- ARGV: token, times, ms that a relay is kept, extra, '1' when nobody heard of it,
--       '1' when the agent ended the conversation, messages, fields.
-- KEYS: also the relay.
local own = shift()
local now, score, ttl = times()
local relayMs, relay = shift(), KEYS[#KEYS]
local extra, unheard, ended = shift(), shift() == '1', shift() == '1'
local answer, fields = list(), list()

local h, damaged = record()
if damaged then return say('CORRUPT') end
if not h then return say('NOTFOUND') end
unheard = unheard and h.token == own and (h.key or '') == ''
local function untold(first) return h.fp .. ' ' .. h.turns .. ' 1 ' .. first .. ' ' .. #answer .. ' ' .. extra end
if h.done == own then -- the answer to this commit was lost
  if unheard and (h.unheard or '') == '' and #answer <= tonumber(h.n) then
    redis.call('HSET', conv, 'unheard', untold(h.n - #answer))
  end
  return say('OK')
end
if h.token ~= own or h.state == 'failed' then return say('STALE') end
unheard = unheard or h.lease ~= own and (h.key or '') == '' -- so late that its caller may have given up

if h.state == 'starting' then redis.call('ZSCORE', starts, id) end -- which fails when it is of another type
local count, rec = tonumber(h.n), nil
if (h.key or '') ~= '' then
  local fp, turn = outcome(h, redis.call('HGET', recs, h.key))
  rec = fp .. ' ' .. turn .. ' 1 ' .. count .. ' ' .. #answer .. ' ' .. extra
end
if unheard then
  fields[#fields + 1] = 'unheard'
  fields[#fields + 1] = untold(count)
end
if ended and (h.status or 'active') == 'active' then -- what its owner closed meanwhile stays so
  for _, v in ipairs({'status', 'completed', 'ended', '1'}) do fields[#fields + 1] = v end
end
local turn, bytes, said, replaces = tonumber(h.turns), size(h), 0, false
for i = 1, #answer do said = said + #answer[i] end
for i = 1, #fields, 2 do replaces = replaces or fields[i] == 'stepData' end
for _, v in ipairs({'n', count + #answer, 'bytes', bytes + said}) do fields[#fields + 1] = v end
local last = said > 0 and #answer[#answer]
if last and last > large then
  for _, v in ipairs({'last', last}) do fields[#fields + 1] = v end
end
if replaces then
  for _, v in ipairs({'sd', turn}) do fields[#fields + 1] = v end
  if rec then -- the repeat does not have what the agent added
    for _, v in ipairs({'kt', turn}) do fields[#fields + 1] = v end
  end
end
commit(id, now, score, ttl, fields)
if last and last <= large and h.last then redis.call('HDEL', conv, 'last') end
if h.state == 'starting' then -- which may bring its first turn along
  for i = 1, #answer do
    local t = tonumber(string.match(answer[i], '^%d+'))
    for later = turn + 1, t do mark(h, later, count + i - 1, bytes) end
    turn, bytes = math.max(turn, t), bytes + #answer[i]
  end
end
append(answer)
if replaces then replaced(h, tonumber(h.turns), h.stepData) end
if rec then remember(h, h.key, rec) end
if h.counted then redis.call('HSET', conv, 'keys', h.records, 'kept', h.kept) end
redis.call('DEL', lease)
if h.state == 'starting' then
  redis.call('ZREM', starts, id)
  sweep(score, ttl)
end
keep(ttl)
if signals(h, score) == '1' then -- readers elsewhere need what is not in the messages
  if string.match(redis.call('LINDEX', relay, 0) or '', '^%S+') ~= own then
    redis.call('DEL', relay)
    redis.call('RPUSH', relay, own .. ' 0')
  end
  redis.call('RPUSH', relay, 'E' .. extra)
  redis.call('PEXPIRE', relay, relayMs)
  redis.call('HDEL', conv, 'listen')
end
return say('OK')
