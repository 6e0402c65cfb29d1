local stream, ephemeral = unpack(KEYS)
local ended = {}
if ARGV[1] ~= '' then
  ended = {ARGV[1]}
else
  for _, group in ipairs(redis.call('SMEMBERS', ephemeral)) do
    if redis.call('EXISTS', stream .. ':' .. group .. ':alive') == 0 then ended[#ended + 1] = group end
  end
end
for _, group in ipairs(ended) do
  redis.pcall('XGROUP', 'DESTROY', stream, group)
  for _, key in ipairs({'retry', 'delayed', 'dlq', 'dlq-delayed', 'owner', 'dlq-owner', 'about', 'alive'}) do
    redis.call('DEL', stream .. ':' .. group .. ':' .. key)
  end
  redis.call('SREM', ephemeral, group)
end
return #ended
