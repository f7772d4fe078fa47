-- Closes or reopens a conversation and returns its fields, but for its failures.
-- ARGV: time, status.
if damaged then return say('CORRUPT') end
if not h or h.state == 'starting' then return say('NOTFOUND') end
local ended = h.ended and '' -- from now on it is the owner's word
commit({status = ARGV[6], ended = ended, updatedAt = touch()})
keep()
local out = say('OK')
for name, value in pairs(h) do
  if not string.find(name, '^f%d+$') then
    out[#out + 1] = name
    out[#out + 1] = value
  end
end
return out
