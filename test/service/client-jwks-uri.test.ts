/** Clients that publish the keys of their assertions themselves (RFC 7591 §2). */
import { expect } from 'vitest'
import { updateClient } from '../../src/administration/update.ts'
import { assertionOf, makeKey, requestTokenWith } from '../support/assertion.ts'
import { test } from '../support/fixtures.ts'
import { fetchingLocally, startKeyServer } from '../support/key-server.ts'
import { createResources, createTestClient, sealedContext, sealedSetting } from '../support/sealed.ts'
import { patiently } from '../support/service.ts'

const [first, second, stranger] = [makeKey('ES256', 'one'), makeKey('EdDSA', 'two'), makeKey('ES256', 'one')]
const set = (...keys: (typeof first)[]) => ({
  keys: keys.map(({ publicJwk, kid }) => ({ ...publicJwk, kid, use: 'sig' })),
})

test('keys at a jwks_uri count while they are there; an address that was changed by hand gives nothing in a sealed registry', async ({
  startService,
  database,
  onTestFinished,
}) => {
  const server = await startKeyServer({ '/one': set(first), '/two': set(second), '/evil': set(stranger) })
  onTestFinished(() => server.close())
  const running = await startService({ environment: { ...sealedSetting, ...fetchingLocally } })
  const context = sealedContext(running.service.database)
  await createResources(context)
  const method = { tokenEndpointAuthMethod: 'private_key_jwt' }
  await createTestClient(context, 'payroll', { ...method, jwksUri: `${server.url}/one` })
  await createTestClient(context, 'away', { ...method, jwksUri: `${server.url}/nothing` })
  /** `issued`, or why it was refused. */
  async function answer(key: typeof first, clientId = 'payroll'): Promise<string> {
    const response = await patiently(() =>
      requestTokenWith(running.url, assertionOf(key, clientId, running.url)),
    )
    const [row] = await database.query<{ answer: string }>(
      'SELECT coalesce(reason, outcome) AS answer FROM audit_record WHERE request_id = $1',
      [response.headers.get('x-request-id')],
    )
    return row?.answer ?? `${response.status}`
  }
  expect([await answer(first), await answer(first)]).toEqual(['issued', 'issued'])
  expect([await answer(second), await answer(stranger)]).toEqual([
    'assertion_key_unknown',
    'assertion_key_unknown',
  ])
  // However many ask with keys that nobody knows, it is fetched once in a while.
  expect(server.asked.filter((path) => path === '/one')).toHaveLength(1)
  expect(await answer(first, 'away')).toBe('client_keys_unavailable')
  // The same answer as to anybody who proves nothing.
  const away = await requestTokenWith(running.url, assertionOf(first, 'away', running.url))
  const nobody = await requestTokenWith(running.url, assertionOf(first, 'nobody', running.url))
  expect([away.status, await away.text()]).toEqual([nobody.status, await nobody.text()])

  await updateClient(context, 'payroll', (words) => ({ ...words, jwks_uri: `${server.url}/two` }))
  expect([await answer(second), await answer(first)]).toEqual(['issued', 'assertion_key_unknown'])

  await database.query(`UPDATE client SET jwks_uri = '${server.url}/evil' WHERE client_id = 'payroll'`)
  expect(await answer(stranger)).toBe('assertion_key_unknown')
  expect(running.log()).toContain('client payroll: jwks_uri')
  // What takes away by hand counts.
  await database.query(`UPDATE client SET jwks_uri = NULL WHERE client_id = 'payroll'`)
  expect(await answer(second)).toBe('client_has_no_key')
})
