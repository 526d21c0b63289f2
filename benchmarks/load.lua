-- wrk -s load.lua URL -- BODY [PAUSE]: posts BODY repeatedly, on each connection after a pause of PAUSE
-- milliseconds on average (exponentially distributed); its last line of output is JSON.

local POINTS = {}
for percent = 1, 99 do POINTS[#POINTS + 1] = percent end
for _, percent in ipairs({99.5, 99.9, 99.99}) do POINTS[#POINTS + 1] = percent end

function init(args)
  wrk.method = "POST"
  wrk.body = args[1]
  local pause = tonumber(args[2] or 0)
  if pause > 0 then
    math.randomseed(7)
    delay = function() return math.floor(0.5 - pause * math.log(1 - math.random())) end
  end
end

function done(summary, latency)
  local reached = {}
  for at, percent in ipairs(POINTS) do
    reached[at] = string.format("[%g,%d]", percent, latency:percentile(percent))
  end
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"microseconds":%d,"bytes":%d,"refused":%d,"broken":%d,"latency":[%s,[100,%d]]}\n',
    summary.requests, summary.duration, summary.bytes, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    table.concat(reached, ","), latency.max))
end
