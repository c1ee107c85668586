local found = redis.call('XREAD', 'COUNT', ARGV[3], 'STREAMS', ARGV[1] .. ':feed', ARGV[2])
local entries = found and found[1][2] or {}
local page = { ARGV[2], #entries }
for _, entry in ipairs(entries) do
  local f = {}
  for i = 1, #entry[2], 2 do f[entry[2][i]] = entry[2][i + 1] end
  local released = redis.call('GET', ARGV[1] .. ':released:' .. (f.c or ''))
  local made = tonumber(entry[1]:match('%d+'))
  if f.u == '0' or made > (tonumber(released or 0) or 0) then
    local line = { f.u or '', f.n or '1', f.c or '', f.o or '-', f.r or '' }
    table.insert(page, table.concat(line, ' '):sub(1, 240))
  end
  page[1] = entry[1]
end
return page
