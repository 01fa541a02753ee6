/**
 * What a stranger learns and takes with assertions that are not signed by a client's key: the answer does not tell which
 * clients exist, and failures are limited without hindering who has the key. `test/drill/assertion-timing.test.ts` compares
 * the times.
 */
import { expect } from 'vitest'
import { assertionOf, makeKey, registerKeyClient, requestTokenWith } from '../support/assertion.ts'
import { test } from '../support/fixtures.ts'

const key = makeKey('ES256', 'k')
const stranger = makeKey('ES256', 'k')

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
