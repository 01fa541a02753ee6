import { readFileSync } from 'node:fs'
import autocannon from 'autocannon'
import type { ClosedLoop, LoadResult } from '../closed-loop.ts'

/** The closed loop where there is no wrk, in a process of its own. Its argument names a file with what to do. */
const { origin, requests, connections, durationSeconds } = JSON.parse(
  readFileSync(process.argv[2] ?? '', 'utf8'),
) as ClosedLoop
let sent = 0
const result = await autocannon({
  url: origin,
  connections,
  duration: durationSeconds,
  requests: [
    {
      // Asked before every request, so that all connections draw from one list.
      setupRequest(request) {
        const next = requests[sent % requests.length]
        sent += 1
        return { ...request, ...next, ...(next?.body === '' ? { body: undefined } : {}) } as typeof request
      },
    },
  ],
  tlsOptions: { rejectUnauthorized: false },
} as autocannon.Options)
const statuses = (result as { statusCodeStats?: Record<string, { count: number }> }).statusCodeStats ?? {}
process.send?.(
  {
    durationSeconds: result.duration,
    answered: result.requests.total,
    errors: result.errors + result.timeouts,
    statuses: Object.fromEntries(Object.entries(statuses).map(([status, { count }]) => [status, count])),
  } satisfies LoadResult,
  () => process.disconnect(),
)
