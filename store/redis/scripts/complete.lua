-- Commits the agent's answer.
-- ARGV: time, token, extra, '1' when nobody heard of it, '1' when the agent ended the
--       conversation, messages, fields.
-- KEYS: also the relay.
local own, extra, unheard, ended = unpack(ARGV, 6, 9)
unheard, ended = unheard == '1', ended == '1'
local answer, at = list(10)
local set, relay = map(at), KEYS[#KEYS]

if damaged then return say('CORRUPT') end
if not h then return say('NOTFOUND') end
unheard = unheard and h.token == own and (h.key or '') == ''
if h.done == own then -- the answer to this commit was lost
  local done = unchanged('OK')
  if unheard and (h.unheard or '') == '' and #answer <= tonumber(h.n) then
    redis.call('HSET', conv, 'unheard', h.fp .. ' ' .. h.turns .. ' 1 ' .. h.n - #answer .. ' ' .. #answer .. ' ' .. extra)
  end
  return done
end
if h.token ~= own or h.state == 'failed' then return unchanged('STALE') end
unheard = unheard or holder ~= own and (h.key or '') == '' -- so late that its caller may have given up
local turn, count, new = tonumber(h.turns), tonumber(h.n), h.state == 'starting'
local said = 0
for i = 1, #answer do said = said + #answer[i] end
local last = #answer > 0 and #answer[#answer]
if new then redis.call('ZSCORE', starts, id) end -- which fails when it is of another type

-- From here on it is written.
set.updatedAt = touch()
set.n, set.bytes = count + #answer, bytes + said
if last and last > large then set.last = last end
if ended and (h.status or 'active') == 'active' then set.status, set.ended = 'completed', '1' end -- what its owner closed stays so
local told = ' 1 ' .. count .. ' ' .. #answer .. ' ' .. extra
if unheard then set.unheard = h.fp .. ' ' .. h.turns .. told end
if set.stepData then
  replace(turn, h.stepData)
  set.sd = turn
end
if record then
  local fp, of = outcome(h, record)
  remember(h.key, fp .. ' ' .. of .. told, #record)
  if set.stepData then set.kt = turn end -- the repeat does not have what the agent added
end
if counted then set.keys, set.kept = records, h.kept end
if new then -- it may bring its first turn along
  for i = 1, #answer do
    local t = tonumber(string.match(answer[i], '^%d+'))
    for later = turn + 1, t do mark(set, later, count + i - 1, bytes) end
    turn, bytes = math.max(turn, t), bytes + #answer[i]
  end
end
if last and last <= large and h.last then redis.call('HDEL', conv, 'last') end
commit(set)
append(answer)
redis.call('DEL', lease)
local longest = keep()
if new then
  redis.call('ZREM', starts, id)
  if longest then -- a few entries that have ended for certain, so that the index is bounded without ever being read as a whole
    local stale = redis.call('ZRANGEBYSCORE', index, '-inf', now - longest, 'LIMIT', 0, 100)
    if #stale > 0 then
      redis.call('ZREM', index, unpack(stale))
      redis.call('HDEL', sums, unpack(stale))
    end
  end
end
if tonumber(h.listen or 0) > now then -- readers elsewhere need what is not in the messages
  if string.match(redis.call('LINDEX', relay, 0) or '', '^%S+') ~= own then
    redis.call('DEL', relay)
    redis.call('RPUSH', relay, own .. ' 0')
  end
  redis.call('RPUSH', relay, 'E' .. extra)
  redis.call('PEXPIRE', relay, relayMs)
  redis.call('HDEL', conv, 'listen')
end
return say('OK')
