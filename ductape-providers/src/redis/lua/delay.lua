if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local fields = {}
for i = 3, #ARGV do fields[#fields + 1] = ARGV[i] end
redis.call('ZADD', KEYS[2], now_ms() + 1 + tonumber(ARGV[1]), cmsgpack.pack({ARGV[2], fields}))
return 1
