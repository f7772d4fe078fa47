-- Put after write.lua: how much a conversation holds, and where its turns begin.

-- bytes is how much all messages have. The first edition did not count it: there it is
-- estimated, once, from eight messages spread over the list.
local bytes = tonumber(h and h.bytes or 0)
if h and not damaged and not h.bytes then
  local n = tonumber(h.n or 0)
  local samples = math.min(n, 8)
  for i = 0, samples - 1 do bytes = bytes + #redis.call('LINDEX', msgs, math.floor(i * n / samples)) end
  bytes = samples > 0 and math.ceil(bytes * n / samples) or 0
end

-- append adds elements to the messages, many by one command.
local function append(elements)
  local length
  for i = 1, #elements, 1000 do
    length = redis.call('RPUSH', msgs, unpack(elements, i, math.min(i + 999, #elements)))
  end
  if length == #elements then redis.call('PEXPIRE', msgs, ttl) end
end

-- mark notes behind how many messages, of how many bytes, a turn begins (wire.Mark):
-- the first eight in a field, and later all in a key of their own.
local function mark(set, turn, messages, bytes)
  if turn > 1000000 then return end -- of a number that nobody counted up to
  local entry, at = struct.pack('>I4I4', messages + 1, math.min(bytes, 4294967295)), h.at or ''
  if turn <= 8 then
    at = string.sub(at, 1, 8 * (turn - 1))
    h.at = at .. string.rep('\0', 8 * (turn - 1) - #at) .. entry
    set.at = h.at
    return
  end
  if at ~= '' then
    redis.call('SETRANGE', marks, 0, at)
    redis.call('PEXPIRE', marks, ttl)
    h.at, set.at = '', ''
  end
  redis.call('SETRANGE', marks, 8 * (turn - 1), entry)
end
