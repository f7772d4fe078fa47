-- Closes or reopens a conversation and returns its fields.
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
for _, v in ipairs(redis.call('HGETALL', conv)) do out[#out + 1] = v end
return out
