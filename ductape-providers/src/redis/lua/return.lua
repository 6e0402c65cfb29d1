local group, member, own_from = ARGV[1], ARGV[2], tonumber(ARGV[3])
local handed = {}
for i = 4, #ARGV do handed[ARGV[i]] = true end
local gone = 0
for s = 2, #KEYS do
  each_held(KEYS[s], group, member, function(id, count)
    local entry = redis.call('XRANGE', KEYS[s], id, id)[1]
    if entry then
      if not handed[(s - 1) .. ':' .. id] then count = math.max(0, count - 1) end
      redis.call('XADD', KEYS[1], '*', unpack(again(entry[2], id, earlier(entry[2]) + count)))
    else
      gone = gone + 1
    end
    redis.call('XACK', KEYS[s], group, id)
    if s - 1 >= own_from then redis.call('XDEL', KEYS[s], id) end
  end)
  redis.pcall('XGROUP', 'DELCONSUMER', KEYS[s], group, member)
end
return gone
