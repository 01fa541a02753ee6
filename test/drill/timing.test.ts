/**
 * How long a refusal takes does not say which clients exist (RFC 6749 §10.10). Compared by ranks and in turn, so that a
 * slow or busy machine changes nothing.
 */

import { Agent, request as httpRequest } from 'node:http'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  basic,
  registerClient,
  requestToken,
  startService,
  type TestClient,
  type TestService,
  unknownSecret,
} from '../support/service.ts'

const tries = 400
const agent = new Agent({ keepAlive: true, maxSockets: 1 })
let running: TestService

beforeAll(async () => {
  running = await startService({
    environment: {
      MINTMARK_FAILURES_PER_CLIENT_MAX: '1000000',
      MINTMARK_FAILURES_PER_ADDRESS_MAX: '1000000',
    },
  })
})

afterAll(async () => {
  agent.destroy()
  await running.close()
})

/** Milliseconds until the refusal of one guess is there. */
function timeOf({ clientId, secret }: Pick<TestClient, 'clientId' | 'secret'>): Promise<number> {
  return new Promise((resolve, reject) => {
    const body = 'grant_type=client_credentials'
    const startedAt = performance.now()
    const asked = httpRequest(
      `${running.url}/token`,
      {
        agent,
        method: 'POST',
        headers: {
          authorization: basic(clientId, secret),
          'content-type': 'application/x-www-form-urlencoded',
          'content-length': body.length,
        },
      },
      (response) => {
        response.resume()
        response.once('end', () => {
          if (response.statusCode === 401) resolve(performance.now() - startedAt)
          else reject(new Error(`answered ${response.statusCode}`))
        })
      },
    )
    asked.once('error', reject)
    asked.end(body)
  })
}

/**
 * The chance that a random time of the second list is longer than one of the first (Mann and Whitney): a half if they
 * cannot be told apart, 0 or 1 if every single one can.
 */
function chanceOfLonger(first: readonly number[], second: readonly number[]): number {
  let longer = 0
  for (const one of first) for (const other of second) longer += other > one ? 1 : other === one ? 0.5 : 0
  return longer / (first.length * second.length)
}

async function compare(
  first: () => Pick<TestClient, 'clientId' | 'secret'>,
  second: () => Pick<TestClient, 'clientId' | 'secret'>,
): Promise<number> {
  const times: [number[], number[]] = [[], []]
  for (let index = 0; index < tries; index += 1) {
    // Which one comes first changes, so that neither profits from the other.
    const order = index % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const)
    for (const which of order) times[which].push(await timeOf(which === 0 ? first() : second()))
  }
  return chanceOfLonger(...times)
}

test('a guess at a client that exists takes as long as one at a name that does not', async () => {
  const client = await registerClient(running.database, { isCostly: true })
  expect((await requestToken(running.url, client)).status).toBe(200)
  const chance = await compare(
    () => ({ clientId: client.clientId, secret: unknownSecret() }),
    () => ({ clientId: 'client-ffffffff', secret: unknownSecret() }),
  )
  // With hundreds of tries, chance alone stays within a twentieth.
  expect(chance).toBeGreaterThan(0.4)
  expect(chance).toBeLessThan(0.6)
})

test('and so does one at a client that is disabled, or that this process has never seen', async () => {
  const disabled = await registerClient(running.database, { isCostly: true })
  const unseen = await registerClient(running.database, { isCostly: true })
  await running.database.query(`UPDATE client SET status = 'disabled' WHERE client_id = $1`, [
    disabled.clientId,
  ])
  const chance = await compare(
    () => ({ clientId: disabled.clientId, secret: unknownSecret() }),
    () => ({ clientId: unseen.clientId, secret: unknownSecret() }),
  )
  expect(chance).toBeGreaterThan(0.4)
  expect(chance).toBeLessThan(0.6)
})

test('the comparison notices a difference: a malformed secret is refused faster, as SECURITY.md says', async () => {
  const chance = await compare(
    () => ({ clientId: 'client-ffffffff', secret: 'malformed' }),
    () => ({ clientId: 'client-ffffffff', secret: unknownSecret() }),
  )
  expect(chance).toBeGreaterThan(0.6)
})
