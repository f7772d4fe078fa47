-- Asks the holder of the turn that runs to end it.
local h, damaged = record()
if damaged then return say('CORRUPT') end
if not h or h.state == 'starting' then return say('NOTFOUND') end
if h.state ~= 'running' or h.lease ~= h.token or redis.call('PTTL', lease) <= 0 then return say('OK', h.turns or '0', '0') end
redis.call('HSET', conv, 'stop', h.token)
return say('OK', h.turns, '1')
