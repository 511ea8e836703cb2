-- Requests regions in an order that looks random and repeats none. The arguments are the
-- format of a path with x, y, width and height, the numbers of columns and rows that regions
-- begin at, their distance, the size of a region (negative: up to the slide's size), and
-- where the order begins.
local path, columns, count, step, width, height, at, modulus

init = function(a)
  path, columns, count, step = a[1], tonumber(a[2]), tonumber(a[2]) * tonumber(a[3]), tonumber(a[4])
  width, height, at = tonumber(a[5]), tonumber(a[6]), tonumber(a[7])
  modulus = 1
  while modulus < count do modulus = modulus * 2 end
end

request = function()
  repeat at = (1664525 * at + 1013904223) % modulus until at < count
  local x, y = at % columns * step, math.floor(at / columns) * step
  local w, h = width, height
  if w < 0 then w, h = -w - x, -h - y end
  return wrk.format("GET", string.format(path, x, y, w, h))
end
