-- Put after record.lua: what is kept of a conversation's answers for repeats.

-- counted says whether the number of entries, and of their bytes, has changed.
local counted = false

-- remember keeps something beside the messages in the place of so many bytes, and counts
-- entries and bytes.
local function remember(name, value, replaced)
  if redis.call('HSET', recs, name, value) == 1 then
    records = records + 1
    if records == 1 then redis.call('PEXPIRE', recs, ttl) end
  end
  h.kept, counted = tonumber(h.kept or 0) - replaced + #value, true
end

-- replace keeps the step data that a turn replaces for those turns before it whose
-- answers may be given again. Names that begin with = are no keys' (wire.Record).
local function replace(turn, old)
  local since, keyed = tonumber(h.sd or 0), tonumber(h.kt or -1)
  if old and keyed >= since and keyed < turn then
    local name = '=' .. since .. '-' .. turn
    remember(name, old, redis.call('HSTRLEN', recs, name))
  end
end
