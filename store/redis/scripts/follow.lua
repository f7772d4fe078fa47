-- Tells of the last turn of a conversation what it has published, and lets its
-- holder know that somebody follows it.
-- ARGV: time, '1' when a conversation that is being started counts, position of the
--       first entry.
-- KEYS: also the relay.
local new, from = ARGV[6] == '1', tonumber(ARGV[7])
local relay = KEYS[#KEYS]

if damaged then return say('CORRUPT') end
if not h or h.state == 'starting' and not new then return say('NOTFOUND') end
redis.call('ZSCORE', index, id) -- which fails when it is of another type
local runs = h.state == 'running' or h.state == 'starting'
if runs and tonumber(h.listen or 0) <= now + interest / 2 then -- not at each call
  redis.call('HSET', conv, 'listen', string.format('%.0f', now + interest))
  redis.call('PEXPIRE', relay, relayMs)
end
local held = runs and holder == h.token and redis.call('PTTL', lease) > 0
local class = h.state == 'failed' and redis.call('HGET', conv, 'f' .. h.turns) or ''

local owner, base = string.match(redis.call('LINDEX', relay, 0) or '', '^(%S+) (%d+)$')
local entries, after = {}, 0
if owner and owner == h.token then
  base = tonumber(base)
  entries = redis.call('LRANGE', relay, math.max(from - base, 0) + 1, -1)
  after = base + redis.call('LLEN', relay) - 1
end
local out = say('OK', h.turns or '0', h.fence or '0', h.state or 'done', held and '1' or '0', class, string.format('%.0f', after))
for i = 1, #entries do out[#out + 1] = entries[i] end
return out
