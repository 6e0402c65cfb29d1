-- The server's time in whole milliseconds, rounded down.
local function now_ms()
  local now = redis.call('TIME')
  return tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
end

-- `2:5-0` is the entry 5-0 of the second stream.
local function split(word)
  local colon = string.find(word, ':', 1, true)
  return tonumber(string.sub(word, 1, colon - 1)), string.sub(word, colon + 1)
end

-- The pending entry `id`, if it is the member's: how often it was delivered.
local function held(stream, group, member, id)
  local entry = redis.call('XPENDING', stream, group, id, id, 1)[1]
  if entry and entry[2] == member then
    return entry[4]
  end
end

-- Everything of the member that is pending, in order.
local function each_held(stream, group, member, visit)
  local from = '-'
  while true do
    local page = redis.pcall('XPENDING', stream, group, from, '+', 256, member)
    if page.err then return end
    for _, entry in ipairs(page) do visit(entry[1], entry[4]) end
    if #page < 256 then return end
    from = '(' .. page[#page][1]
  end
end

-- The fields of an entry that is written again, with how often it was delivered and where it stood first.
local function again(fields, id, count)
  local copy, first = {}, id
  for i = 1, #fields, 2 do
    if fields[i] == 'ductape:entry' then
      first = fields[i + 1]
    elseif fields[i] ~= 'ductape:count' then
      copy[#copy + 1] = fields[i]
      copy[#copy + 1] = fields[i + 1]
    end
  end
  copy[#copy + 1] = 'ductape:count'
  copy[#copy + 1] = tostring(count)
  copy[#copy + 1] = 'ductape:entry'
  copy[#copy + 1] = first
  return copy
end

local function earlier(fields)
  for i = 1, #fields, 2 do
    if fields[i] == 'ductape:count' then return tonumber(fields[i + 1]) or 0 end
  end
  return 0
end

