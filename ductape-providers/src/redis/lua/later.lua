local stream, back, later = unpack(KEYS)
local group, member, id, delay, count, delete = unpack(ARGV)
if not held(stream, group, member, id) then return 0 end
local entry = redis.call('XRANGE', stream, id, id)[1]
if entry then
  local fields = again(entry[2], id, count)
  if tonumber(delay) > 0 then
    redis.call('ZADD', later, now_ms() + 1 + tonumber(delay), cmsgpack.pack({stream .. id, fields}))
  else
    redis.call('XADD', back, '*', unpack(fields))
  end
end
redis.call('XACK', stream, group, id)
if delete == '1' then redis.call('XDEL', stream, id) end
return entry and 1 or -1
