local stream = KEYS[1]
local groups = redis.pcall('XINFO', 'GROUPS', stream)
if groups.err then return 0 end
local low = now_ms() - tonumber(ARGV[1])
local function ms(id) return tonumber(string.match(id, '^%d+')) end
for _, flat in ipairs(groups) do
  local info = {}
  for i = 1, #flat, 2 do info[flat[i]] = flat[i + 1] end
  local at = ms(info['last-delivered-id'])
  local first = redis.call('XPENDING', stream, info.name)[2]
  if first then at = math.min(at, ms(first)) end
  low = math.min(low, at)
end
if low <= 0 then return 0 end
return redis.call('XTRIM', stream, 'MINID', '~', string.format('%.0f', low) .. '-0')
