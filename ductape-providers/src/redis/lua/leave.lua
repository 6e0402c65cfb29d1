local group, member = ARGV[1], ARGV[2]
local has_turn = redis.call('GET', KEYS[1]) == member
local handed = {}
for i = 3, #ARGV do handed[ARGV[i]] = true end
for s = 2, #KEYS do
  each_held(KEYS[s], group, member, function(id, count)
    if not handed[(s - 1) .. ':' .. id] then
      -- It was never in anybody's hands: the next delivery counts as this one.
      redis.call('XCLAIM', KEYS[s], group, member, 0, id, 'RETRYCOUNT', math.max(0, count - 1), 'JUSTID')
    end
  end)
  -- Only whose turn it is reads: the others of this group's consumers are of members that are gone, or read nothing yet.
  local consumers = has_turn and redis.pcall('XINFO', 'CONSUMERS', KEYS[s], group) or {}
  for _, flat in ipairs(consumers.err and {} or consumers) do
    local info = {}
    for i = 1, #flat, 2 do info[flat[i]] = flat[i + 1] end
    if info.pending == 0 then redis.call('XGROUP', 'DELCONSUMER', KEYS[s], group, info.name) end
  end
end
if has_turn then redis.call('DEL', KEYS[1]) end
return 1
