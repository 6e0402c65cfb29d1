local group, member, idle, whose, most = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local known = {}
for i = 6, #ARGV do known[ARGV[i]] = true end
local out, gone = {}, {}
for s = 1, #KEYS do
  local from = '-'
  while #out < most do
    local call = {'XPENDING', KEYS[s], group, 'IDLE', idle, from, '+', 256}
    if whose ~= '' then call[#call + 1] = whose end
    local page = redis.call(unpack(call))
    for _, entry in ipairs(page) do
      if #out >= most then break end
      local id, count = entry[1], entry[4]
      if not known[s .. ':' .. id] then
        -- What was assigned to this member, and never came to it, is not a further delivery.
        if whose == '' then count = count + 1 end
        local got = redis.call('XCLAIM', KEYS[s], group, member, 0, id, 'RETRYCOUNT', count)
        if got[1] then
          out[#out + 1] = {s, id, count, got[1][2]}
        else
          redis.call('XACK', KEYS[s], group, id)
          gone[#gone + 1] = {s, id}
        end
      end
    end
    if #page < 256 then break end
    from = '(' .. page[#page][1]
  end
end
return {out, gone}
