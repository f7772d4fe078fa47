-- Closes or reopens a conversation and returns its fields, but for its failures.
-- ARGV: times, status.
local now, score, ttl = times()
local status = shift()

local h, damaged = record()
if damaged then return say('CORRUPT') end
if not h or h.state == 'starting' then return say('NOTFOUND') end
local set = {'status', status}
if (h.ended or '') ~= '' then -- from now on it is the owner's word
  set[3], set[4] = 'ended', ''
end
commit(id, now, score, ttl, set)
keep(ttl)
local out = say('OK')
local values = redis.call('HMGET', conv, unpack(names))
for i = 1, #names do
  if values[i] then
    out[#out + 1] = names[i]
    out[#out + 1] = values[i]
  end
end
return out
