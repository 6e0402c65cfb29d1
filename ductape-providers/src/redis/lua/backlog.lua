local stream, retry, dead, later, topic_later = unpack(KEYS)
local group = ARGV[1]
if redis.call('EXISTS', stream) == 0 then return -2 end
-- What was not delivered, and what was and is not settled.
local function of(key)
  local groups = redis.pcall('XINFO', 'GROUPS', key)
  if groups.err then return end
  for _, flat in ipairs(groups) do
    local info = {}
    for i = 1, #flat, 2 do info[flat[i]] = flat[i + 1] end
    if info.name == group then
      local lag = info.lag
      if not lag then
        -- A server before 7, or a group that was set to a place in the midst: counted, up to a limit.
        lag = 0
        local from = '(' .. info['last-delivered-id']
        while lag < 100000 do
          local page = redis.call('XRANGE', key, from, '+', 'COUNT', 1000)
          lag = lag + #page
          if #page < 1000 then break end
          from = '(' .. page[#page][1]
        end
      end
      return lag, info.pending
    end
  end
end
local ready, pending = of(stream)
if not ready then return -1 end
local own_ready, own_pending = of(retry)
local delayed, now = 0, now_ms()
for _, key in ipairs({later, topic_later}) do
  local due = redis.call('ZCOUNT', key, '-inf', now)
  ready = ready + due
  delayed = delayed + redis.call('ZCARD', key) - due
end
return {ready + (own_ready or 0), delayed, pending + (own_pending or 0), redis.call('XLEN', dead)}
