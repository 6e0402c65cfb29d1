local group, member = ARGV[1], ARGV[2]
local out, gone = {}, {}
for i = 3, #ARGV do
  local s, id = split(ARGV[i])
  local count = held(KEYS[s], group, member, id)
  if count then
    local entry = redis.call('XRANGE', KEYS[s], id, id)[1]
    if entry then
      out[#out + 1] = {s, id, count, entry[2]}
    else
      redis.call('XACK', KEYS[s], group, id)
      gone[#gone + 1] = {s, id}
    end
  end
end
return {out, gone}
