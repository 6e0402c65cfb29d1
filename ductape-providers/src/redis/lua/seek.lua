local stream, retry, later = unpack(KEYS)
local group, id = ARGV[1], ARGV[2]
if redis.call('EXISTS', stream) == 0 then return 0 end
if redis.pcall('XPENDING', stream, group).err then return -1 end
for _, key in ipairs({stream, retry}) do
  while true do
    local page = redis.pcall('XPENDING', key, group, '-', '+', 1000)
    if page.err or #page == 0 then break end
    local call = {'XACK', key, group}
    for _, entry in ipairs(page) do call[#call + 1] = entry[1] end
    redis.call(unpack(call))
  end
end
if redis.call('EXISTS', retry) == 1 then redis.call('XTRIM', retry, 'MAXLEN', 0) end
redis.call('DEL', later)
redis.call('XGROUP', 'SETID', stream, group, id)
return 1
