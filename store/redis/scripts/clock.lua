-- What time it is. Redis's clock is the only one that all instances share, so it
-- alone says when something was written and when it ends. (Scripts are replicated by
-- what they did, the default since Redis 5, and so may ask for the time before they
-- write.)
-- ARGV: behind the id, '' (or the time that a test has it be, in milliseconds since 1970).

-- now is in milliseconds since 1970.
local now = tonumber(ARGV[5])
if not now then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end

-- iso gives milliseconds since 1970 as the text that is stored. The year begins
-- in March here, so that the leap day is its last.
local function iso(ms)
  local floor, left = math.floor, ms % 86400000
  local z = (ms - left) / 86400000 + 719468 -- days since 1 March of the year 0
  local doe = z % 146097 -- of the era of 400 years
  local yoe = floor((doe - floor(doe / 1460) + floor(doe / 36524) - floor(doe / 146096)) / 365)
  local doy = doe - 365 * yoe - floor(yoe / 4) + floor(yoe / 100)
  local march = floor((5 * doy + 2) / 153)
  local month = march < 10 and march + 3 or march - 9
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%03dZ',
    yoe + (z - doe) / 146097 * 400 + (month <= 2 and 1 or 0), month, doy - floor((153 * march + 2) / 5) + 1,
    left / 3600000, left / 60000 % 60, left / 1000 % 60, left % 1000) -- %d cuts fractions off
end
