local group, member = ARGV[1], ARGV[2]
local handed = {}
for i = 3, #ARGV do handed[ARGV[i]] = true end
for s = 2, #KEYS do
  local kept = 0
  each_held(KEYS[s], group, member, function(id, count)
    kept = kept + 1
    if not handed[(s - 1) .. ':' .. id] then
      -- It was never in anybody's hands: the next delivery counts as this one.
      redis.call('XCLAIM', KEYS[s], group, member, 0, id, 'RETRYCOUNT', math.max(0, count - 1), 'JUSTID')
    end
  end)
  if kept == 0 then redis.pcall('XGROUP', 'DELCONSUMER', KEYS[s], group, member) end
end
if redis.call('GET', KEYS[1]) == member then redis.call('DEL', KEYS[1]) end
return 1
