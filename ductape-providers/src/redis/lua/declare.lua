local stream, retry, dead, about, alive, ephemeral = unpack(KEYS)
local group, start, order, own, keep = unpack(ARGV)
for _, key in ipairs({stream, retry, dead}) do
  local there = redis.call('TYPE', key).ok
  if there ~= 'none' and there ~= 'stream' then return 'type ' .. key .. ' ' .. there end
end
if redis.call('EXISTS', stream) == 0 then
  -- An empty stream is made with a group that is not kept.
  redis.call('XGROUP', 'CREATE', stream, 'ductape:new', '0', 'MKSTREAM')
  redis.call('XGROUP', 'DESTROY', stream, 'ductape:new')
end
if group == '' then return 'ok' end
for field, wanted in pairs({order = order, ephemeral = own}) do
  local there = redis.call('HGET', about, field)
  if there and there ~= wanted then return 'differs ' .. field .. ' ' .. there end
end
local function create(key, at)
  local call = {'XGROUP', 'CREATE', key, group, at, 'MKSTREAM'}
  if at == '$' then
    -- From version 7 on the server counts how far a group has come, if it is told where the group begins.
    local info = redis.call('XINFO', 'STREAM', key)
    for i = 1, #info, 2 do
      if info[i] == 'entries-added' then
        call[#call + 1] = 'ENTRIESREAD'
        call[#call + 1] = info[i + 1]
      end
    end
  end
  local made = redis.pcall(unpack(call))
  if made.err and not string.find(made.err, 'BUSYGROUP', 1, true) then error(made.err) end
end
create(stream, start)
create(retry, '0')
create(dead, '0')
redis.call('HSET', about, 'order', order, 'ephemeral', own)
if own == '1' then
  redis.call('SADD', ephemeral, group)
  redis.call('SET', alive, '1', 'PX', keep)
end
return 'ok'
