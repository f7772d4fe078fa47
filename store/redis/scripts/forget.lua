-- Put after keys.lua.

-- forget makes room for one more key: it leaves those of the latest turns alone, and
-- the step data that they need. The first edition kept everything, in any size: of
-- that, what is large goes unread.
local function forget()
  if records < maxKeys then return end
  local latest, names, byTurn, sizes, data = leftKeys - 1, redis.call('HKEYS', recs), {}, {}, {}
  h.kept, records = 0, 0
  local function drop(name) redis.call('HDEL', recs, name) end
  for _, name in ipairs(names) do
    sizes[name] = redis.call('HSTRLEN', recs, name)
    if string.sub(name, 1, 1) == '=' then
      data[#data + 1] = name
    elseif #names > 4 * maxKeys and sizes[name] > 1024 then
      drop(name)
    else
      local turn = string.match(redis.call('HGET', recs, name), '^%S+ (%d+) ')
      byTurn[#byTurn + 1] = {tonumber(turn or -1), name}
    end
  end
  table.sort(byTurn, function(a, b) return a[1] > b[1] end)
  for i = latest + 1, #byTurn do drop(byTurn[i][2]) end
  local oldest = byTurn[math.min(latest, #byTurn)]
  local function count(name) h.kept, records = h.kept + sizes[name], records + 1 end
  for i = 1, math.min(latest, #byTurn) do count(byTurn[i][2]) end
  for _, name in ipairs(data) do
    if oldest and tonumber(string.match(name, '(%d+)$') or 0) > oldest[1] then count(name) else drop(name) end
  end
end
