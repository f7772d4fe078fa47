-- The owner's conversations: those that are being started, and those that are listed.

-- starting notes for how long a conversation counts that is being started: as long
-- as its lease. What has lapsed is dropped, and with the last lease all of it.
local function starting()
  redis.call('ZADD', starts, string.format('%.0f', now + leaseMs), id)
  redis.call('ZREMRANGEBYSCORE', starts, '-inf', string.format('%.0f', now))
  redis.call('PEXPIRE', starts, leaseMs)
end

-- leave takes a conversation out of the index, and what is kept for all with the
-- last.
local function leave(id)
  redis.call('ZREM', index, id)
  redis.call('HDEL', sums, id)
  if redis.call('EXISTS', index) == 0 then redis.call('UNLINK', sums) end
end
