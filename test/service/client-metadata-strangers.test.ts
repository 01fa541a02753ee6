/** Addresses that strangers make up under a trusted beginning: how many are fetched, and who is served meanwhile. */
import { expect } from 'vitest'
import { applyRegistration } from '../../src/administration/apply.ts'
import { parseRegistration } from '../../src/administration/parse.ts'
import { assertionOf, makeKey, requestTokenWith } from '../support/assertion.ts'
import { sharedTest } from '../support/fixtures.ts'
import { fetchingLocally, startKeyServer } from '../support/key-server.ts'
import { createResources, sealedContext } from '../support/sealed.ts'
import { orders, startService } from '../support/service.ts'

const key = makeKey('ES256', 'one')
const jwks = { keys: [{ ...key.publicJwk, kid: 'one' }] }
const failures = 10

const test = sharedTest
  .extend('host', { scope: 'file' }, async ({ serverUrl: _ }, { onCleanup }) => {
    const host = await startKeyServer()
    onCleanup(() => host.close())
    const documents = ['/agents/known', '/agents/new'].map((path) => [
      path,
      { client_id: host.url + path, token_endpoint_auth_method: 'private_key_jwt', jwks },
    ])
    host.answer(Object.fromEntries(documents))
    return host
  })
  .extend('ask', { scope: 'file' }, async ({ database, host }, { onCleanup }) => {
    const environment = {
      ...fetchingLocally,
      MINTMARK_TRUSTED_PROXIES: '127.0.0.1',
      MINTMARK_FAILURES_PER_ADDRESS_MAX: String(failures),
    }
    const running = await startService({ database, environment })
    onCleanup(() => running.close())
    const context = { ...sealedContext(running.service.database), sealing: undefined }
    await createResources(context)
    const access = [{ audience: orders, scopes: ['orders:read'] }]
    const { value } = parseRegistration({
      trust: [{ issuer: `${host.url}/agents/`, client_metadata: true, rules: [{ rule: 'agents', access }] }],
    })
    if (value === undefined) throw new Error('the registration is wrong')
    await applyRegistration(context, value)
    return (path: string, address: string) =>
      requestTokenWith(
        running.url,
        assertionOf(key, host.url + path, running.url),
        {},
        {
          'x-forwarded-for': address,
        },
      ).then(({ status }) => status)
  })

test('an address that fails too often has no more of them fetched, one by one or at once', async ({
  host,
  ask,
}) => {
  const [stranger, crowd, other] = ['192.0.2.1', '192.0.2.2', '192.0.2.3']
  expect(await ask('/agents/known', stranger)).toBe(200)
  const before = host.asked.length
  for (let index = 0; index < 2 * failures; index += 1) await ask(`/agents/made-up-${index}`, stranger)
  expect(host.asked.length - before).toBe(failures)
  await Promise.all(Array.from({ length: 3 * failures }, (_, index) => ask(`/agents/crowd-${index}`, crowd)))
  expect(host.asked.length - before).toBeLessThanOrEqual(2 * failures)
  // Whoever is known there is served, and who is new comes from elsewhere.
  expect(await ask('/agents/known', stranger)).toBe(200)
  expect(await ask('/agents/new', stranger)).toBe(429)
  expect(await ask('/agents/new', other)).toBe(200)
})
