-- Put before every script. Only commands and Lua of Redis 6.0; every key is
-- declared; all keys of one owner stand in one slot. A script checks first and
-- writes last, and its first write is one that is refused when memory is full,
-- so that it happens as a whole or not at all. (Deleting is never refused.)
--
-- KEYS: conversation hash, message list, idempotency records, lease,
--       the owner's index, the owner's summaries.
local conv, msgs, recs, lease, index, sums = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]

local arg = 0
local function shift()
  arg = arg + 1
  return ARGV[arg]
end

local function list()
  local out = {}
  for i = 1, tonumber(shift()) do out[i] = shift() end
  return out
end
