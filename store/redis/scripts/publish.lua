-- Adds to what readers on other instances can follow of a turn. The relay is a list:
-- the turn's token and the position of the first entry, then the entries.
-- ARGV: time, token, '1' for a snapshot, entry.
-- KEYS: also the relay.
local own, snapshot, entry = ARGV[6], ARGV[7] == '1', 'D' .. ARGV[8]
local relay = KEYS[#KEYS]

if damaged then return say('CORRUPT') end
if not h then return say('NOTFOUND') end
redis.call('ZSCORE', index, id) -- which fails when it is of another type
if h.token ~= own or (h.state ~= 'running' and h.state ~= 'starting') then return say('STALE') end
local owner, base = string.match(redis.call('LINDEX', relay, 0) or '', '^(%S+) (%d+)$')
local kept = snapshot or owner == own
if kept then
  local count = redis.call('RPUSH', relay, entry) - 2
  if snapshot then
    redis.call('LTRIM', relay, -1, -1)
    redis.call('LPUSH', relay, own .. ' ' .. (owner == own and base + count or 0))
  end
  redis.call('PEXPIRE', relay, relayMs)
end
return say('OK', kept and '1' or '0', signals())
