import { readFileSync } from 'node:fs'
import { Agent, request as httpRequest } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ColdClients, ColdClientsResult } from '../scenarios/cold.ts'

/**
 * Clients that all start at once and repeat their request until they have a token, as a good client does.
 * After a temporary refusal (429, 503) or a lost connection, a client waits for the time in Retry-After plus
 * a random time. The limit of the random time doubles with each attempt, up to `backoffMillisecondsMax`.
 */
const load = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as ColdClients
const backoffMilliseconds = 100
const backoffMillisecondsMax = 10_000
/** Connections at the same time. With more, the test would measure the sockets of the machine. */
const connectionsMax = 2_000
/** Clients come from many hosts: what one address may have must not be what is measured. */
const agents = Array.from(
  { length: 100 },
  (_, host) =>
    new Agent({ keepAlive: true, maxSockets: connectionsMax / 100, localAddress: `127.0.1.${host + 1}` }),
)
const { hostname, port } = new URL(load.origin)
const deadlineMilliseconds = performance.now() + load.timeoutSeconds * 1_000
const statuses: Record<string, number> = {}

interface Outcome {
  /** 0 if there was no answer. */
  readonly status: number
  readonly retryAfterSeconds: number
}

function ask(number: number): Promise<Outcome> {
  const { method, path, headers, body } = load.requests[number] as ColdClients['requests'][number]
  return new Promise((resolve) => {
    const asked = httpRequest(
      {
        agent: agents[number % agents.length],
        host: hostname,
        port,
        method,
        path,
        headers: { ...headers, 'content-length': body.length },
      },
      (response) => {
        response.resume()
        const outcome = {
          status: response.statusCode ?? 0,
          retryAfterSeconds: Number(response.headers['retry-after'] ?? 0),
        }
        response.once('close', () => resolve(outcome))
      },
    )
    asked.once('error', () => resolve({ status: 0, retryAfterSeconds: 0 }))
    asked.end(body)
  })
}

/** Repeats the request of a client. @returns whether the client got its token. */
async function askUntilServed(number: number): Promise<boolean> {
  for (let attempt = 0; performance.now() < deadlineMilliseconds; attempt += 1) {
    const { status, retryAfterSeconds } = await ask(number)
    statuses[status] = (statuses[status] ?? 0) + 1
    if (status === 200) return true
    if (![0, 429, 503].includes(status)) return false
    const spread = Math.min(backoffMillisecondsMax, backoffMilliseconds * 2 ** attempt)
    await sleep(retryAfterSeconds * 1_000 + Math.random() * spread)
  }
  return false
}

const startMilliseconds = performance.now()
const served = await Promise.all(load.requests.map((_, number) => askUntilServed(number)))
const durationSeconds = (performance.now() - startMilliseconds) / 1_000
for (const agent of agents) agent.destroy()
process.send?.(
  { durationSeconds, served: served.filter(Boolean).length, statuses } satisfies ColdClientsResult,
  () => process.disconnect(),
)
