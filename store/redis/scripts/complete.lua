-- Commits the agent's answer.
-- ARGV: id, token, times, extra, '1' when nobody heard of it, messages, fields.
local id, token = shift(), shift()
local now, score, ttl = times()
local extra, unheard = shift(), shift() == '1'
local answer, fields = list(), list()

local h = redis.call('HMGET', conv, 'token', 'state', 'done', 'n', 'key', 'fp', 'turns')
if not h[1] then return {'NOTFOUND'} end
unheard = unheard and h[1] == token and (not h[5] or h[5] == '')
local function record(first) return h[6] .. ' ' .. h[7] .. ' 1 ' .. first .. ' ' .. #answer .. ' ' .. extra end
if h[3] == token then -- the answer to this commit was lost
  if unheard then redis.call('HSET', conv, 'unheard', record(h[4] - #answer)) end
  return {'OK'}
end
if h[1] ~= token or h[2] == 'failed' then return {'STALE'} end

local count, rec = tonumber(h[4]), nil
if h[5] and h[5] ~= '' then
  local old = redis.call('HGET', recs, h[5])
  local fp, turn = string.match(old or '', '^(%S+) (%d+) ')
  if not fp then return {'CORRUPT'} end
  rec = fp .. ' ' .. turn .. ' 1 ' .. count .. ' ' .. #answer .. ' ' .. extra
end
if unheard then
  fields[#fields + 1] = 'unheard'
  fields[#fields + 1] = record(count)
end
fields[#fields + 1] = 'n'
fields[#fields + 1] = count + #answer
commit(id, now, score, ttl, fields)
for i = 1, #answer do redis.call('RPUSH', msgs, answer[i]) end
if rec then redis.call('HSET', recs, h[5], rec) end
redis.call('DEL', lease)
if h[2] == 'starting' then sweep(score, ttl) end
keep(ttl)
return {'OK'}
