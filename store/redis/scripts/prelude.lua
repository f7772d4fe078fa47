-- Put before every script. Only commands and Lua of Redis 6.0; every key is
-- declared; all keys of one owner stand in one slot. A script judges the record
-- and checks first and writes last, and its first write is one that is refused
-- when memory is full, so that it happens as a whole or not at all. (Deleting is
-- never refused.)
--
-- Redis runs a script's text from its top each time, and what a script takes of its one
-- thread is mostly commands, values that are read, and functions that are made. So each
-- script is put before by those parts alone that it uses (scripts.go), and asks for
-- nothing twice.
--
-- Before it stands what is the same in each call (scripts.go): an argument is read from
-- the wire, and made a string of Lua, each time.
--
-- KEYS: conversation hash, message list, idempotency records, lease,
--       the owner's index, the owner's summaries, marks of turns, the owner's starts.
-- ARGV: the call's own token, tenant, user, id of the conversation, and then
--       what each script names.
local conv, msgs, recs, lease, index, sums, marks, starts = unpack(KEYS, 1, 8)
local call, tenant, user, id = unpack(ARGV, 1, 4)

-- say is how every script answers: with the token of the call, so that no answer
-- passes for one to another call.
local function say(tag, ...) return {tag, call, ...} end

-- list reads arguments that are preceded by their number, and gives the place behind.
local function list(at)
  local out, n = {}, tonumber(ARGV[at])
  for i = 1, n do out[i] = ARGV[at + i] end
  return out, at + n + 1
end

-- map reads a list of names and values.
local function map(at)
  local out, n = {}, tonumber(ARGV[at])
  for i = at + 1, at + n, 2 do out[ARGV[i]] = ARGV[i + 1] end
  return out, at + n + 1
end
