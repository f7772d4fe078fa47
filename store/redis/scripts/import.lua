-- Moves a legacy conversation to today's form, in one step, so that a delete
-- comes either before or after: it must not be brought back.
-- ARGV: time, the name of the legacy record, the record as it was read, marks of turns,
--       messages, fields.
-- KEYS: also the legacy record, and the index it is in.
local name, legacy, where = unpack(ARGV, 6, 8)
local history, at = list(9)
local set = map(at)

if h then return say('OK') end
if redis.call('GET', KEYS[9]) ~= legacy then return say('NOTFOUND') end
redis.call('HEXISTS', sums, id) -- which fails when it is of another type
if #history > 0 and #history[#history] > large then set.last = #history[#history] end
h = {}
set.updatedAt = touch()
redis.call('DEL', msgs, recs, lease, marks) -- what an eviction may have left
commit(set)
append(history)
if where ~= '' then redis.call('SET', marks, where) end
keep()
redis.call('DEL', KEYS[9])
redis.pcall('ZREM', KEYS[10], name) -- which may be somebody else's, and no index
return say('OK')
