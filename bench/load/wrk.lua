-- Sends prepared requests in turn and prints one line of JSON.
-- Argument: a file of requests, each as a line with its length in bytes and then its bytes.

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  requests, sent, statuses = {}, 0, {}
  local file = assert(io.open(args[1], 'rb'))
  for length in function() return file:read('*n', 1) end do
    requests[#requests + 1] = file:read(length)
  end
  file:close()
end

function request()
  sent = sent + 1
  return requests[(sent - 1) % #requests + 1]
end

function response(status)
  statuses[status] = (statuses[status] or 0) + 1
end

function done(summary)
  local total, parts = {}, {}
  for _, thread in ipairs(threads) do
    for status, count in pairs(thread:get('statuses')) do
      total[status] = (total[status] or 0) + count
    end
  end
  for status, count in pairs(total) do
    parts[#parts + 1] = string.format('"%d":%d', status, count)
  end
  local errors = summary.errors
  io.write(string.format(
    '{"durationSeconds":%.6f,"answered":%d,"errors":%d,"statuses":{%s}}\n',
    summary.duration / 1e6, summary.requests,
    errors.connect + errors.read + errors.write + errors.timeout, table.concat(parts, ',')
  ))
end
