import autocannon from 'autocannon'

/**
 * The load, in a process of its own so that it takes nothing from the server's event loop: as many requests
 * as the connections can carry (closed loop), for a while. Sends one JSON result to its parent.
 */
const [url = '', authorization = '', connections = '64', seconds = '5'] = process.argv.slice(2)
const result = await autocannon({
  url,
  method: 'POST',
  connections: Number(connections),
  duration: Number(seconds),
  headers: { 'content-type': 'application/x-www-form-urlencoded', authorization },
  body: 'grant_type=client_credentials',
})
process.send?.({
  requests: result.requests.total,
  seconds: result.duration,
  failed: result.non2xx + result.errors + result.timeouts,
  p50Milliseconds: result.latency.p50,
  p99Milliseconds: result.latency.p99,
})
