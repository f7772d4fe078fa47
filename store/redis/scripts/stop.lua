-- Asks the holder of the turn that runs to end it.
if damaged then return say('CORRUPT') end
if not h or h.state == 'starting' then return say('NOTFOUND') end
redis.call('ZSCORE', index, id) -- which fails when it is of another type
if h.state ~= 'running' or holder ~= h.token or redis.call('PTTL', lease) <= 0 then return say('OK', h.turns or '0', '0') end
redis.call('HSET', conv, 'stop', h.token)
return say('OK', h.turns, '1')
