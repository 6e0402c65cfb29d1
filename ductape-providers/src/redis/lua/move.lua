local now, wait = now_ms(), -1
for i = 1, #KEYS, 2 do
  local due = redis.call('ZRANGEBYSCORE', KEYS[i], '-inf', now, 'LIMIT', 0, 256)
  for _, member in ipairs(due) do
    local good, unpacked = pcall(cmsgpack.unpack, member)
    if good and type(unpacked) == 'table' and type(unpacked[2]) == 'table' then
      redis.call('XADD', KEYS[i + 1], '*', unpack(unpacked[2]))
    else
      -- Someone else's: it becomes a message all the same.
      redis.call('XADD', KEYS[i + 1], '*', 'data', member)
    end
    redis.call('ZREM', KEYS[i], member)
  end
  local next = redis.call('ZRANGE', KEYS[i], 0, 0, 'WITHSCORES')
  if next[2] then
    local left = math.max(0, tonumber(next[2]) - now)
    if wait < 0 or left < wait then wait = left end
  end
end
return wait
