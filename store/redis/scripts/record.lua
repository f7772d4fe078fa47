-- Reads the conversation and judges it as wire.Judge does in Go, which says why, before
-- anything is changed: h has its fields, and is nil when there is none; damaged says
-- that it is not to be touched.

local function number(s)
  return #s <= 15 and (s == '0' or string.find(s, '^[1-9]%d*$') ~= nil)
end

local function time(s)
  local y, mo, d, hour = string.match(s, '^(%d%d%d%d)%-(%d%d)%-(%d%d)T(%d%d):[0-5]%d:[0-5]%d%.%d%d%dZ$')
  if not y or mo < '01' or mo > '12' or d < '01' or hour > '23' then return false end
  if d < '29' then return true end
  if mo == '02' then return d == '29' and y % 4 == 0 and (y % 100 ~= 0 or y % 400 == 0) end
  return d < '31' or d == '31' and mo ~= '04' and mo ~= '06' and mo ~= '09' and mo ~= '11'
end

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

-- summary is what a list shows of conversation r (wire.EncodeSummary).
local function summary(r)
  return '1 ' .. r.createdAt .. ' ' .. (r.updatedAt or r.createdAt) .. ' ' .. (r.status or 'active') .. ' ' .. (r.turns or '0') .. ' ' .. (r.currentStep or '')
end

-- A message of more bytes goes unread, because no script may take long: whoever reads
-- it judges it. How large the last one is, the field last tells, which there is only
-- if it is so.
local large = 65536

local h, damaged
local fields = redis.call('HLEN', conv)
if fields > 64 then -- a field for each turn that failed: they may be many
  local names = {'v', 'tenantId', 'userId', 'createdAt', 'updatedAt', 'status', 'turns', 'n', 'state', 'fence', 'token', 'done', 'fp',
    'key', 'keys', 'bytes', 'last', 'kept', 'sd', 'kt', 'at', 'unheard', 'heardAt', 'listen', 'stop',
    'stepData', 'metadata', 'ended', 'upstreamId', 'workflowId', 'currentStep'}
  local values = redis.call('HMGET', conv, unpack(names))
  h = {}
  for i = 1, #names do h[names[i]] = values[i] or nil end
elseif fields > 0 then
  redis.setresp(3) -- in which Redis makes the table of names and values by itself
  h = redis.call('HGETALL', conv).map
  redis.setresp(2)
end

-- First each of its fields, and whether all are there that a record of its kind cannot
-- miss.
if h then
  local s, begun = h.state, h.token ~= nil
  damaged = h.v ~= '1' or not h.createdAt or not time(h.createdAt) or h.updatedAt and not time(h.updatedAt)
    or (h.tenantId or 'dev') ~= tenant or (h.userId or 'anonymous') ~= user
    or h.status and h.status ~= 'active' and h.status ~= 'completed' and h.status ~= 'abandoned'
    or (h.ended or '') ~= '' and h.ended ~= '1' or h.turns and not number(h.turns) or h.n and not number(h.n)
    or h.fence and not number(h.fence) or h.keys and not number(h.keys)
    or h.bytes and not number(h.bytes) or h.last and not number(h.last) or h.kept and not number(h.kept)
    or h.sd and not number(h.sd) or h.kt and not number(h.kt)
    or h.token and not string.find(h.token, '^[%w_-]+$') or h.done and not string.find(h.done, '^[%w_-]+$')
    or h.fp and not string.find(h.fp, '^[!-~]+$') or (h.key or '') ~= '' and not string.find(h.key, '^[%w_-]+$')
    or (h.key or '') ~= '' and #h.key ~= 22 or (h.heardAt or '') ~= '' and not number(h.heardAt)
    or h.listen and not number(h.listen) or h.stop and not string.find(h.stop, '^[%w_-]+$')
    or h.stepData and not json(h.stepData) or h.metadata and not json(h.metadata)
    or (h.fence ~= nil) ~= begun or (h.fp ~= nil) ~= begun
  if not damaged and (s or begun) then -- else it is of a time before all these
    damaged = s == 'starting' and (h.n ~= '0' or h.done) or s == 'done' and h.done ~= h.token
      or s ~= 'done' and not (begun and (s == 'starting' or s == 'running' or s == 'failed'))
      or not (h.tenantId and h.userId and h.updatedAt and h.status and h.turns and h.n)
  end
end

-- Then what is kept beside the fields: how many idempotency records there are, that of
-- the last turn, and who holds the lease. What is of another type fails here, or with the
-- first write.
local records, record, holder
if h and not damaged then
  local n, last = redis.call('LLEN', msgs), nil
  damaged = n ~= tonumber(h.n or 0)
  if n > 0 and tonumber(h.last or 0) <= large then
    last = redis.call('LINDEX', msgs, -1)
    local turn = string.match(last, '^(%d+) {"id":"')
    damaged = damaged or not turn or not number(turn) or tonumber(turn) > tonumber(h.turns or 0) or string.sub(last, -1) ~= '}'
  end
  if h.key or h.keys or h.kt then -- else it has never had one
    records = redis.call('HLEN', recs)
    damaged = damaged or h.keys and records ~= tonumber(h.keys)
  end
  if (h.key or '') ~= '' then
    record = redis.call('HGET', recs, h.key)
    damaged = damaged or not record or not outcome(h, record)
  end
  if (h.unheard or '') ~= '' then
    local fp, turn, done = outcome(h, h.unheard)
    damaged = damaged or done ~= '1' or turn ~= h.turns
  end
  holder = redis.call('GET', lease)
  damaged = damaged or holder and not string.find(holder, '^[%w_-]+$')
  local sum = redis.call('HGET', sums, id)
  if sum and not damaged and sum ~= summary(h) then -- as it is unless an older edition, or somebody by hand, wrote one of the two
    local created, updated, s, turns = string.match(sum, '^1 (%S+) (%S+) (%S+) (%S+) ')
    damaged = not created or not time(created) or not time(updated) or s ~= 'active' and s ~= 'completed' and s ~= 'abandoned' or not number(turns)
  end
end
