-- Moves a legacy conversation to today's form, in one step, so that a delete
-- comes either before or after: it must not be brought back.
-- ARGV: times, the name of the legacy record, the record as it was read, messages,
--       fields, marks of turns.
-- KEYS: also the legacy record, and the index it is in.
local now, score, ttl = times()
local name, legacy = shift(), shift()
local history, fields, where = list(), list(), shift()

if record() then return say('OK') end
if redis.call('GET', KEYS[9]) ~= legacy then return say('NOTFOUND') end
if #history > 0 and #history[#history] > large then
  for _, v in ipairs({'last', #history[#history]}) do fields[#fields + 1] = v end
end
commit(id, now, score, ttl, fields)
redis.call('DEL', msgs, recs, lease, marks) -- what an eviction may have left
append(history)
if where ~= '' then redis.call('SET', marks, where) end
keep(ttl)
redis.call('DEL', KEYS[9])
redis.pcall('ZREM', KEYS[10], name) -- which may be somebody else's, and no index
return say('OK')
