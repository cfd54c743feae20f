"""Lua scripts of the rate limits in Redis."""

# All use Redis's own clock, so that replicas need not agree about the time. They are
# `rate_limits.take` and `rate_limits.Strikes.struck`; a contract test holds them to each other. Others
# who write there are hostile: a malformed value counts as missing, a value that is too large as the
# largest that there can be.
TAKE = """
local t = redis.call('TIME')
local now = t[1] * 1000 + t[2] / 1000
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local count = math.min(tonumber(ARGV[3]), burst)
local stored = redis.pcall('GET', KEYS[1])
local full = type(stored) == 'string' and tonumber(stored) or 0
if not (full > now) then full = now end
full = math.min(full, now + burst * interval)
local wait = full - now - (burst - count) * interval
if wait > 0 then return tostring(wait) end
full = full + count * interval
redis.call('SET', KEYS[1], string.format('%.3f', full), 'PX', math.ceil(full - now) + 1)
return '0'
"""
GIVE_BACK = """
local t = redis.call('TIME')
local now = t[1] * 1000 + t[2] / 1000
local stored = redis.pcall('GET', KEYS[1])
local full = type(stored) == 'string' and tonumber(stored) or 0
full = full - tonumber(ARGV[1])
if not (full > now) then return redis.call('DEL', KEYS[1]) end
local left = math.min(math.ceil(full - now) + 1, 2 ^ 40)
return redis.call('SET', KEYS[1], string.format('%.3f', full), 'PX', string.format('%d', left))
"""
STRIKE = """
local count = redis.pcall('INCR', KEYS[1])
if type(count) ~= 'number' or count < 1 then
  count = 1
  redis.call('SET', KEYS[1], count)
end
local over, max = count - tonumber(ARGV[1]), tonumber(ARGV[2])
local lock = 0
if over > 0 then lock = math.min(max, 1000 * 2 ^ math.min(over - 1, 32)) end
redis.call('PEXPIRE', KEYS[1], lock + tonumber(ARGV[3]))
if lock > 0 then redis.call('SET', KEYS[2], '1', 'PX', lock) end
return lock
"""
