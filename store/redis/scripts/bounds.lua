-- Put after index.lua: how much a conversation holds, where its turns begin, and
-- what is kept of its answers for repeats.

-- size gives the bytes of all messages. The first edition did not count them: there
-- they are estimated, once, from eight messages spread over the list.
local function size(h)
  if h.bytes then return tonumber(h.bytes) end
  local n, sum = tonumber(h.n or 0), 0
  local samples = math.min(n, 8)
  for i = 0, samples - 1 do sum = sum + #redis.call('LINDEX', msgs, math.floor(i * n / samples)) end
  return samples > 0 and math.ceil(sum * n / samples) or 0
end

-- append adds elements to the messages, many by one command.
local function append(elements)
  for i = 1, #elements, 1000 do
    redis.call('RPUSH', msgs, unpack(elements, i, math.min(i + 999, #elements)))
  end
end

-- mark notes behind how many messages, of how many bytes, a turn begins (wire.Mark).
local function mark(h, turn, messages, bytes)
  if turn > 1000000 then return end -- of a number that nobody counted up to
  local entry, at = struct.pack('>I4I4', messages + 1, math.min(bytes, 4294967295)), h.at or ''
  if turn <= 8 then
    at = string.sub(at, 1, 8 * (turn - 1))
    h.at = at .. string.rep('\0', 8 * (turn - 1) - #at) .. entry
    redis.call('HSET', conv, 'at', h.at)
    return
  end
  if at ~= '' then
    redis.call('SETRANGE', marks, 0, at)
    redis.call('HDEL', conv, 'at')
    h.at = nil
  end
  redis.call('SETRANGE', marks, 8 * (turn - 1), entry)
end

-- remember keeps something beside the messages, and counts entries and bytes.
local function remember(h, name, value)
  local old = redis.call('HSTRLEN', recs, name)
  if redis.call('HSET', recs, name, value) == 1 then h.records = h.records + 1 end
  h.kept, h.counted = tonumber(h.kept or 0) - old + #value, true
end

-- replaced keeps the step data that a turn replaces for those turns before it whose
-- answers may be given again. Names that begin with = are no keys' (wire.Record).
local function replaced(h, turn, old)
  local since, keyed = tonumber(h.sd or 0), tonumber(h.kt or -1)
  if old and keyed >= since and keyed < turn then remember(h, '=' .. since .. '-' .. turn, old) end
end

-- stepData gives the step data that a turn went by, '' if nobody kept it.
local function stepData(h, turn)
  if tonumber(h.sd or 0) <= turn then return h.stepData or '' end
  for _, name in ipairs(redis.call('HKEYS', recs)) do
    local since, till = string.match(name, '^=(%d+)%-(%d+)$')
    if since and tonumber(since) <= turn and turn < tonumber(till) then return redis.call('HGET', recs, name) end
  end
  return ''
end

-- forget makes room for one more key: it leaves those of the latest turns alone, and
-- the step data that they need. The first edition kept everything, in any size: of
-- that, what is large goes unread.
local function forget(h, most, leave)
  if h.records < most then return end
  local names, byTurn, sizes, data = redis.call('HKEYS', recs), {}, {}, {}
  h.kept, h.records = 0, 0
  local function drop(name) redis.call('HDEL', recs, name) end
  for _, name in ipairs(names) do
    sizes[name] = redis.call('HSTRLEN', recs, name)
    if string.sub(name, 1, 1) == '=' then
      data[#data + 1] = name
    elseif #names > 4 * most and sizes[name] > 1024 then
      drop(name)
    else
      local turn = string.match(redis.call('HGET', recs, name), '^%S+ (%d+) ')
      byTurn[#byTurn + 1] = {tonumber(turn or -1), name}
    end
  end
  table.sort(byTurn, function(a, b) return a[1] > b[1] end)
  for i = leave + 1, #byTurn do drop(byTurn[i][2]) end
  local oldest = byTurn[math.min(leave, #byTurn)]
  local function count(name) h.records, h.kept = h.records + 1, h.kept + sizes[name] end
  for i = 1, math.min(leave, #byTurn) do count(byTurn[i][2]) end
  for _, name in ipairs(data) do
    if oldest and tonumber(string.match(name, '(%d+)$') or 0) > oldest[1] then count(name) else drop(name) end
  end
end
