import { readFileSync } from 'node:fs'
import autocannon from 'autocannon'
import type { ClosedLoop, LoadResult } from '../closed-loop.ts'

/**
 * Runs the closed loop in its own process, if wrk is not installed. The argument is a file with a
 * `ClosedLoop`.
 */
const { origin, requests, connections, durationSeconds, clientCertificate } = JSON.parse(
  readFileSync(process.argv[2] ?? '', 'utf8'),
) as ClosedLoop
let sent = 0
const result = await autocannon({
  url: origin,
  connections,
  duration: durationSeconds,
  requests: [
    {
      // Called before every request, so that all connections take their requests from one list.
      setupRequest(request) {
        const next = requests[sent % requests.length]
        sent += 1
        return { ...request, ...next, ...(next?.body === '' ? { body: undefined } : {}) } as typeof request
      },
    },
  ],
  tlsOptions: {
    rejectUnauthorized: false,
    ...(clientCertificate === undefined
      ? {}
      : {
          cert: readFileSync(clientCertificate.certificateFile),
          key: readFileSync(clientCertificate.privateKeyFile),
        }),
  },
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
