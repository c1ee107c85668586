local p, origin, number = ARGV[1] .. ':', ARGV[2], ARGV[3]
local fresh = redis.call('GET', p .. 'wrote:' .. origin) ~= number
if fresh then redis.call('SET', p .. 'wrote:' .. origin, number, 'EX', 86400) end
local totals = {}
local function count(name, client, by, bucket, life)
  local now = p .. name .. ':' .. bucket .. ':' .. client
  if fresh and by ~= '0' then
    redis.call('INCRBY', now, by)
    redis.call('EXPIRE', now, life * 2)
  end
  local before = p .. name .. ':' .. bucket - 1 .. ':' .. client
  table.insert(totals, tonumber(redis.call('GET', now) or 0))
  table.insert(totals, tonumber(redis.call('GET', before) or 0))
end
for i = 8, #ARGV, 6 do
  local client, rejected, delivered, till, times, reason = unpack(ARGV, i, i + 5)
  count('rejected', client, rejected, ARGV[4], ARGV[5])
  count('delivered', client, delivered, ARGV[6], ARGV[7])
  if fresh and till ~= '0' then
    redis.call('SET', p .. 'listed:' .. client, reason .. ' ' .. times, 'EXAT', till)
    redis.call('XADD', p .. 'feed', 'MAXLEN', '~', 100000, '*',
      'c', client, 'u', till, 'r', reason, 'n', times, 'o', origin)
  end
end
return totals
