-- Takes entries out of the owner's index whose conversations have ended.
-- ARGV: their ids.
-- KEYS: also their hashes, in the same order.
local ended = 0
for i = 9, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 0 then
    leave(ARGV[i - 4])
    ended = ended + 1
  end
end
return say('OK', tostring(ended))
