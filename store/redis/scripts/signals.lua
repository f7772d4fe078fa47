-- Put after record.lua: what others want of the turn that is held: '1' when somebody
-- follows it, '1' when it shall end.
local function signals()
  return tonumber(h.listen or 0) > now and '1' or '0', h.stop and h.stop == h.token and '1' or '0'
end
