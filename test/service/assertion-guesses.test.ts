/**
 * What a stranger learns and takes with assertions that are not signed by a client's key: neither from the time nor from
 * the answer can be told which clients exist, and failures are limited without hindering who has the key.
 */
import { Agent, request as httpRequest } from 'node:http'
import { expect } from 'vitest'
import {
  assertionOf,
  assertionType,
  makeKey,
  registerKeyClient,
  requestTokenWith,
} from '../support/assertion.ts'
import { test } from '../support/fixtures.ts'

const key = makeKey('ES256', 'k')
const stranger = makeKey('ES256', 'k')
const tries = 400

test('a wrong signature takes as long for a client that exists as for a name that does not', async ({
  startService,
  database,
}) => {
  const { url } = await startService({
    environment: {
      MINTMARK_FAILURES_PER_CLIENT_MAX: '1000000',
      MINTMARK_FAILURES_PER_ADDRESS_MAX: '1000000',
    },
  })
  const { clientId } = await registerKeyClient(database, [key], { clientId: 'client-eeeeeeee' })
  expect((await requestTokenWith(url, assertionOf(key, clientId, url))).status).toBe(200)
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  /** Milliseconds until the refusal is there. */
  const timeOf = (name: string, kid: string): Promise<number> => {
    const body = new URLSearchParams({
      grant_type: 'client_credentials',
      client_assertion_type: assertionType,
      client_assertion: assertionOf({ ...stranger, kid }, name, url),
    }).toString()
    const headers = { 'content-type': 'application/x-www-form-urlencoded', 'content-length': body.length }
    const startedAt = performance.now()
    return new Promise((resolve, reject) => {
      const asked = httpRequest(`${url}/token`, { agent, method: 'POST', headers }, (response) => {
        response.resume()
        response.once('end', () => resolve(performance.now() - startedAt))
      })
      asked.once('error', reject)
      asked.end(body)
    })
  }
  const kinds = [
    ['client-eeeeeeee', 'k'],
    ['client-ffffffff', 'k'],
    ['client-eeeeeeee', 'x'],
  ] as const
  /** How the times of the known client, and those of an unknown key of it, compare with those of the unknown name. */
  const compare = async (): Promise<readonly number[]> => {
    const times: [number[], number[], number[]] = [[], [], []]
    for (let round = 0; round < tries; round += 1) {
      // In any order: what goes before must not be what makes the difference.
      for (const which of shuffled([0, 1, 2])) {
        const [name, kid] = kinds[which] as (typeof kinds)[number]
        times[which]?.push(await timeOf(name, kid))
      }
    }
    return [chanceOfLonger(times[0], times[1]), chanceOfLonger(times[2], times[1])]
  }
  try {
    // With hundreds of tries, chance alone stays within a twentieth. What else the machine does can look like a
    // difference once; a difference of the service is there every time.
    const isLike = (chances: readonly number[]) => chances.every((chance) => chance > 0.4 && chance < 0.6)
    const seen: (readonly number[])[] = []
    do seen.push(await compare())
    while (seen.length < 3 && !isLike(seen.at(-1) ?? []))
    expect(seen.some(isLike), JSON.stringify(seen)).toBe(true)
  } finally {
    agent.destroy()
  }
})

/** Mann and Whitney: a half if the two cannot be told apart. */
function chanceOfLonger(first: readonly number[], second: readonly number[]): number {
  let longer = 0
  for (const one of first) for (const other of second) longer += other > one ? 1 : other === one ? 0.5 : 0
  return longer / (first.length * second.length)
}

test('failures are limited for a client and for an address, and the right key is served all the while', async ({
  startService,
  database,
}) => {
  const { url } = await startService({
    environment: { MINTMARK_FAILURES_PER_CLIENT_MAX: '5', MINTMARK_FAILURES_PER_ADDRESS_MAX: '12' },
  })
  const { clientId } = await registerKeyClient(database, [key])
  const right = async () => (await requestTokenWith(url, assertionOf(key, clientId, url))).status
  const wrong = async (name: string) => {
    const response = await requestTokenWith(url, assertionOf(stranger, name, url))
    return response.headers.has('retry-after') ? response.status : 400
  }
  const statuses: number[] = []
  for (let guess = 0; guess < 7; guess += 1) {
    statuses.push(await wrong(clientId))
    expect(await right()).toBe(200)
  }
  expect(statuses).toEqual([400, 400, 400, 400, 400, 429, 429])
  const names = Array.from({ length: 8 }, (_, index) => `nobody-${index}`)
  const others: number[] = []
  for (const name of names) others.push(await wrong(name))
  expect(others).toEqual([400, 400, 400, 400, 400, 429, 429, 429])
  expect(await right()).toBe(200)
  // A client that this process has not seen yet is served as well.
  const unseen = await registerKeyClient(database, [key])
  expect((await requestTokenWith(url, assertionOf(key, unseen.clientId, url))).status).toBe(200)
})

test('a key that was registered a moment ago is known, and one that was revoked is not', async ({
  startService,
  database,
}) => {
  const services = [await startService(), await startService()]
  const { clientId } = await registerKeyClient(database, [key])
  const next = makeKey('ES256', 'next')
  const ask = async (which: typeof key) =>
    await Promise.all(
      services.map(
        async ({ url }) => (await requestTokenWith(url, assertionOf(which, clientId, url))).status,
      ),
    )
  expect(await ask(key)).toEqual([200, 200])
  await database.query(
    `INSERT INTO client_key (client_id, thumbprint, kid, algorithm, public_jwk) VALUES ($1, $2, 'next', 'ES256', $3)`,
    [clientId, next.thumbprint, next.publicJwk],
  )
  expect(await ask(next)).toEqual([200, 200])
  await database.query(`UPDATE client_key SET revoked_at = now() WHERE kid = 'k' AND client_id = $1`, [
    clientId,
  ])
  expect(await ask(key)).toEqual([400, 400])
  await database.query(`DELETE FROM client_key WHERE kid = 'next' AND client_id = $1`, [clientId])
  expect(await ask(next)).toEqual([400, 400])
})

function shuffled(list: readonly number[]): number[] {
  return list
    .map((one) => ({ one, at: Math.random() }))
    .sort((first, second) => first.at - second.at)
    .map(({ one }) => one)
}
