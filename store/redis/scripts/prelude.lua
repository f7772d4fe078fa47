-- Put before every script. Only commands and Lua of Redis 6.0; every key is
-- declared; all keys of one owner stand in one slot. A script judges the record
-- and checks first and writes last, and its first write is one that is refused
-- when memory is full, so that it happens as a whole or not at all. (Deleting is
-- never refused.)
--
-- KEYS: conversation hash, message list, idempotency records, lease,
--       the owner's index, the owner's summaries, marks of turns, the owner's starts.
-- ARGV: the call's own token, tenant, user, id of the conversation, and then
--       what each script names.
local conv, msgs, recs, lease, index, sums, marks = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local starts = KEYS[8]

local arg = 0
local function shift()
  arg = arg + 1
  return ARGV[arg]
end

local function list()
  local out = {}
  for i = 1, tonumber(shift()) do out[i] = shift() end
  return out
end

local call, tenant, user, id = shift(), shift(), shift(), shift()

-- say is how every script answers: with the token of the call, so that no answer
-- passes for one to another call.
local function say(tag, ...) return {tag, call, ...} end

-- What follows judges a record as wire.Judge does in Go, which says why.
local function number(s)
  return #s <= 15 and (s == '0' or string.find(s, '^[1-9]%d*$') ~= nil)
end

local function token(s) return string.find(s, '^[%w_-]+$') ~= nil end

local function time(s)
  local y, mo, d, h, mi, sec = string.match(s, '^(%d%d%d%d)%-(%d%d)%-(%d%d)T(%d%d):(%d%d):(%d%d)%.%d%d%dZ$')
  if not y or mo < '01' or mo > '12' or d < '01' or h > '23' or mi > '59' or sec > '59' then return false end
  if d < '29' then return true end
  if mo == '02' then return d == '29' and y % 4 == 0 and (y % 100 ~= 0 or y % 400 == 0) end
  return d < '31' or d == '31' and mo ~= '04' and mo ~= '06' and mo ~= '09' and mo ~= '11'
end

local function status(s) return s == 'active' or s == 'completed' or s == 'abandoned' end

-- Decoding takes so long that of a large value only the ends are judged. The decoder
-- takes no half of a surrogate pair, which is JSON all the same.
local function json(s)
  if #s > 8192 then return string.find(s, '^%s*[{%["]') ~= nil and string.find(s, '[}%]"]%s*$', -8) ~= nil end
  if string.find(s, '\\u', 1, true) then
    s = string.gsub(string.gsub(s, '\\\\', ''), '\\u%x%x%x%x', '')
  end
  return (pcall(cjson.decode, s))
end

-- outcome reads an idempotency record of conversation r: fingerprint, turn,
-- '1' when it completed, first message, number of messages, extra. It gives
-- nothing when the record is damaged.
local function outcome(r, s)
  local fp, turn, done, first, count, extra = string.match(s, '^([!-~]+) (%d+) ([01]) (%d+) (%d+) (.*)$')
  if not fp or not (number(turn) and number(first) and number(count)) or tonumber(turn) > tonumber(r.turns or 0)
    or done == '1' and first + count > tonumber(r.n or 0) or extra ~= '' and not json(extra) then
    return nil
  end
  return fp, turn, done, first, count, extra
end

-- fields says whether each of a record's fields holds what it may, and whether
-- all are there that a record of its kind cannot miss.
local function fields(r)
  if r.v ~= '1' or not r.createdAt or not time(r.createdAt) or r.updatedAt and not time(r.updatedAt)
    or (r.tenantId or 'dev') ~= tenant or (r.userId or 'anonymous') ~= user
    or r.status and not status(r.status) or (r.ended or '') ~= '' and r.ended ~= '1' or r.turns and not number(r.turns) or r.n and not number(r.n)
    or r.fence and not number(r.fence) or r.keys and not number(r.keys)
    or r.bytes and not number(r.bytes) or r.last and not number(r.last) or r.kept and not number(r.kept)
    or r.sd and not number(r.sd) or r.kt and not number(r.kt)
    or r.token and not token(r.token) or r.done and not token(r.done) or r.fp and not string.find(r.fp, '^[!-~]+$')
    or (r.key or '') ~= '' and not (#r.key == 22 and token(r.key)) or (r.heardAt or '') ~= '' and not number(r.heardAt)
    or r.listen and not number(r.listen) or r.stop and not token(r.stop)
    or r.stepData and not json(r.stepData) or r.metadata and not json(r.metadata) then
    return false
  end
  local s, begun = r.state, r.token ~= nil
  if (r.fence ~= nil) ~= begun or (r.fp ~= nil) ~= begun then return false end
  if not s and not begun then return true end
  if s == 'starting' and (r.n ~= '0' or r.done) or s == 'done' and r.done ~= r.token
    or s ~= 'done' and not (begun and (s == 'starting' or s == 'running' or s == 'failed')) then
    return false
  end
  return r.tenantId and r.userId and r.updatedAt and r.status and r.turns and r.n and true
end

-- beside says the same of what is kept beside the fields. Types are judged along
-- with the rest: what is of another type fails here, before the first write. A large
-- message goes unread, because no script may take long: whoever reads it judges it.
-- How large the last one is, the field last tells, which there is only if it is so.
local large = 65536
local function beside(r)
  local n = redis.call('LLEN', msgs)
  r.records = redis.call('HLEN', recs)
  if n ~= tonumber(r.n or 0) or r.keys and r.records ~= tonumber(r.keys) then return false end
  if n > 0 and tonumber(r.last or 0) <= large then
    local last = redis.call('LINDEX', msgs, -1)
    local turn = string.match(last, '^(%d+) {"id":"')
    if not turn or not number(turn) or tonumber(turn) > tonumber(r.turns or 0) or string.sub(last, -1) ~= '}' then return false end
  end
  if (r.key or '') ~= '' then
    local rec = redis.call('HGET', recs, r.key)
    if not rec or not outcome(r, rec) then return false end
  end
  if (r.unheard or '') ~= '' then
    local fp, turn, done = outcome(r, r.unheard)
    if not fp or done ~= '1' or turn ~= r.turns then return false end
  end
  r.lease = redis.call('GET', lease)
  if r.lease and not token(r.lease) then return false end
  redis.call('STRLEN', marks)
  redis.call('ZSCORE', index, id)
  local sum = redis.call('HGET', sums, id)
  if sum then
    local created, updated, s, turns = string.match(sum, '^1 (%S+) (%S+) (%S+) (%S+) ')
    return created and time(created) and time(updated) and status(s) and number(turns)
  end
  return true
end

local names = {'v', 'tenantId', 'userId', 'createdAt', 'updatedAt', 'status', 'turns', 'n', 'state', 'fence', 'token', 'done', 'fp',
  'key', 'keys', 'bytes', 'last', 'kept', 'sd', 'kt', 'at', 'unheard', 'heardAt', 'listen', 'stop',
  'stepData', 'metadata', 'ended', 'upstreamId', 'workflowId', 'currentStep'}

-- signals are what others want of the turn of conversation r: '1' when somebody
-- follows it, '1' when it shall end.
local function signals(r, now)
  return tonumber(r.listen or 0) > now and '1' or '0', r.stop and r.stop == r.token and '1' or '0'
end

-- record reads the conversation and judges it, before anything is changed: nil
-- when there is none, and true as a second result when it is damaged.
local function record()
  local values, r = redis.call('HMGET', conv, unpack(names)), nil
  for i = 1, #names do
    if values[i] then
      r = r or {}
      r[names[i]] = values[i]
    end
  end
  if not r then
    redis.call('ZSCORE', index, id) -- types, as above
    redis.call('HEXISTS', sums, id)
    return nil, redis.call('EXISTS', conv) == 1
  end
  return r, not (fields(r) and beside(r))
end
