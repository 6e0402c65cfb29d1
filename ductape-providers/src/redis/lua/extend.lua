local group, member = ARGV[1], ARGV[2]
local out = {}
for i = 3, #ARGV, 2 do
  local s, id = split(ARGV[i])
  if held(KEYS[s], group, member, id) then
    redis.call('XCLAIM', KEYS[s], group, member, 0, id, 'IDLE', ARGV[i + 1], 'JUSTID')
    out[#out + 1] = 1
  else
    out[#out + 1] = 0
  end
end
return out
