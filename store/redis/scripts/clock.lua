-- What time it is. Redis's clock is the only one that all instances share, so it
-- alone says when something was written and when it ends. (Scripts are replicated by
-- what they did, the default since Redis 5, and so may ask for the time before they
-- write.)
-- ARGV: behind the id, '' (or the time that a test has it be) and the time to live in
--       milliseconds.

-- now is in milliseconds since 1970.
local now, ttl = tonumber(ARGV[5]), tonumber(ARGV[6])
if not now then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end

-- iso gives milliseconds since 1970 as the text that is stored. The year begins
-- in March here, so that the leap day is its last.
local function iso(ms)
  local day = math.floor(ms / 86400000)
  local left = ms - day * 86400000
  local z = day + 719468 -- days since 1 March of the year 0
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - 365 * yoe - math.floor(yoe / 4) + math.floor(yoe / 100)
  local march = math.floor((5 * doy + 2) / 153)
  local month = march < 10 and march + 3 or march - 9
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%03dZ',
    yoe + era * 400 + (month <= 2 and 1 or 0), month, doy - math.floor((153 * march + 2) / 5) + 1,
    math.floor(left / 3600000), math.floor(left / 60000) % 60, math.floor(left / 1000) % 60, left % 1000)
end
