/** With a sealed registry, a key that somebody writes into the database proves nothing, and one that is revoked is. */
import { randomBytes } from 'node:crypto'
import { expect } from 'vitest'
import { addClientKeys, revokeClientKey } from '../../src/administration/client-key-store.ts'
import { reviewRegistry, sealRegistry } from '../../src/administration/seal-registry.ts'
import type { ClientKey } from '../../src/authentication/client-key.ts'
import { checkConnection } from '../../src/database/check.ts'
import { openDatabase } from '../../src/database/open.ts'
import { grantRoles } from '../../src/database/roles.ts'
import { assertionOf, makeKey, registerKey, requestTokenWith, type TestKey } from '../support/assertion.ts'
import { administer } from '../support/database.ts'
import { proofOf, requestWithProof } from '../support/dpop.ts'
import { test } from '../support/fixtures.ts'
import { createResources, createTestClient, sealedContext, sealedSetting } from '../support/sealed.ts'
import { patiently, requestTokenPatiently } from '../support/service.ts'

test('a key counts as far as a holder of the key-encryption key registered it', async ({
  startService,
  database,
}) => {
  const running = await startService({ environment: sealedSetting })
  const context = sealedContext(running.service.database)
  await createResources(context)
  const [first, second, stranger, rsa] = [
    makeKey('ES256', 'first'),
    makeKey('EdDSA', 'second'),
    makeKey('ES256', 'stranger'),
    makeKey('PS256', 'rsa'),
  ]
  const asClientKey = ({ thumbprint, kid, algorithm, publicJwk }: TestKey): ClientKey => {
    return { thumbprint, kid, algorithm, publicJwk }
  }
  const clientId = 'sealed'
  const keys = [asClientKey(first)]
  await createTestClient(context, clientId, { tokenEndpointAuthMethod: 'private_key_jwt', keys })
  /** `issued`, or why it was refused. */
  async function answer(key: TestKey, audience = running.url): Promise<string> {
    const response = await patiently(() =>
      requestTokenWith(running.url, assertionOf(key, clientId, audience)),
    )
    const [row] = await database.query<{ answer: string }>(
      'SELECT coalesce(reason, outcome) AS answer FROM audit_record WHERE request_id = $1',
      [response.headers.get('x-request-id')],
    )
    return row?.answer ?? `${response.status}`
  }
  const sql = (text: string) => database.query(text, [clientId])
  expect(await answer(first)).toBe('issued')
  await addClientKeys(context, clientId, [asClientKey(second), asClientKey(rsa)], undefined)
  expect([await answer(first), await answer(second), await answer(rsa)]).toEqual([
    'issued',
    'issued',
    'issued',
  ])

  await registerKey(database, clientId, stranger)
  expect(await answer(stranger)).toBe('assertion_key_unknown')
  await sql(`UPDATE client_key SET algorithm = 'RS256' WHERE client_id = $1 AND kid = 'rsa'`)
  expect(await answer({ ...rsa, algorithm: 'RS256' })).toBe('assertion_key_unknown')
  await sql(`UPDATE client SET assertion_audience = 'token_endpoint' WHERE client_id = $1`)
  expect(await answer(first, `${running.url}/token`)).toBe('assertion_audience_token_endpoint')
  await revokeClientKey(context, clientId, 'second')
  expect(await answer(second)).toBe('client_key_revoked')
  await sql(`UPDATE client_key SET revoked_at = NULL WHERE client_id = $1 AND kid = 'second'`)
  expect(await answer(second)).toBe('assertion_key_unknown')
  // What takes away counts at once, and the others go on.
  await sql(`UPDATE client_key SET revoked_at = now() WHERE client_id = $1 AND kid = 'rsa'`)
  expect([await answer(rsa), await answer(first)]).toEqual(['assertion_key_unknown', 'issued'])

  const review = await reviewRegistry(context)
  expect(review.problems).toEqual([
    {
      subject: 'client',
      id: clientId,
      differences: expect.arrayContaining([
        'assertion_audience',
        `client_key ${stranger.thumbprint}`,
        `client_key ${second.thumbprint}`,
      ]),
    },
  ])
  // An operator who has looked at all of it makes it good.
  await sealRegistry(context, review)
  expect(await answer(stranger)).toBe('issued')
  expect(await answer(first, `${running.url}/token`)).toBe('issued')
})

test('the roles of the service and of operators are enough for a sealed registry and for assertions', async ({
  startService,
  database,
  serverUrl,
}) => {
  const id = randomBytes(4).toString('hex')
  const roles = { service: `service_${id}`, operator: `operator_${id}` }
  for (const role of Object.values(roles)) await administer(serverUrl, `CREATE ROLE ${role} LOGIN`)
  await grantRoles(database.url, roles)
  const as = (role: string): string => {
    const url = new URL(database.url)
    url.username = role
    return url.href
  }
  await checkConnection(as(roles.service), 'rights')
  const running = await startService({
    database: { ...database, url: as(roles.service) },
    environment: sealedSetting,
  })
  const operators = openDatabase(as(roles.operator))
  const context = sealedContext(operators)
  await createResources(context)
  const { algorithm, kid, publicJwk, thumbprint, ...key } = makeKey('ES256', 'k')
  await createTestClient(context, 'sealed', {
    tokenEndpointAuthMethod: 'private_key_jwt',
    keys: [{ algorithm, kid, publicJwk, thumbprint }],
  })
  const assertion = assertionOf({ ...key, algorithm, kid, publicJwk, thumbprint }, 'sealed', running.url)
  expect((await requestTokenWith(running.url, assertion)).status).toBe(200)
  expect((await patiently(() => requestTokenWith(running.url, assertion))).status).toBe(400)
  await revokeClientKey(context, 'sealed', 'k')
  const late = assertionOf({ ...key, algorithm, kid, publicJwk, thumbprint }, 'sealed', running.url)
  expect((await patiently(() => requestTokenWith(running.url, late))).status).toBe(400)
  await sealRegistry(context, await reviewRegistry(context))
  // Whoever may change the registry may delete the notes of such changes as well.
  await operators.prisma.$transaction([
    operators.prisma.$executeRaw`UPDATE client SET name = 'other'`,
    operators.prisma.$executeRaw`DELETE FROM registry_unrecorded_change`,
  ])
  expect(await database.query('SELECT 1 FROM registry_unrecorded_change')).toEqual([])
  await operators.close()
  await running.close()
  for (const role of Object.values(roles)) {
    await database.query(`DROP OWNED BY ${role}`)
    await administer(serverUrl, `DROP ROLE ${role}`)
  }
})

test('a row cannot give tokens that are not bound to a client that was registered for bound ones', async ({
  startService,
  database,
}) => {
  const running = await startService({ environment: sealedSetting })
  const context = sealedContext(running.service.database)
  await createResources(context)
  const [bound, open] = [
    await createTestClient(context, 'bound', { dpopBoundTokens: true }),
    await createTestClient(context, 'open'),
  ]
  const statuses = async () => [
    (await requestTokenPatiently(running.url, bound)).status,
    (await requestTokenPatiently(running.url, open)).status,
  ]
  expect(await statuses()).toEqual([400, 200])
  await database.query('UPDATE client SET dpop_bound_access_tokens = NOT dpop_bound_access_tokens')
  // The row of the other one takes something away: that counts.
  expect(await statuses()).toEqual([400, 400])
  expect(
    (await requestWithProof(running.url, bound, proofOf(makeKey(), `${running.url}/token`))).status,
  ).toBe(200)
  expect((await reviewRegistry(context)).problems).toEqual([
    { subject: 'client', id: 'bound', differences: ['dpop_bound_access_tokens'] },
  ])
})

test('a row cannot let a client go that was registered for the FAPI profile', async ({
  startService,
  database,
}) => {
  const running = await startService({ environment: sealedSetting })
  const context = sealedContext(running.service.database)
  await createResources(context)
  const key = makeKey('PS256', 'k')
  const keys = [
    { thumbprint: key.thumbprint, kid: 'k', algorithm: 'PS256' as const, publicJwk: key.publicJwk },
  ]
  const method = { tokenEndpointAuthMethod: 'private_key_jwt', keys }
  await createTestClient(context, 'held', { ...method, dpopBoundTokens: true, fapi: true })
  await database.query('UPDATE client SET fapi = false, dpop_bound_access_tokens = false')
  await database.query(`UPDATE client SET assertion_audience = 'token_endpoint'`)
  const ask = (audience: string) =>
    requestTokenWith(running.url, assertionOf(key, 'held', audience), {}).then(({ status }) => status)
  expect([await ask(running.url), await ask(`${running.url}/token`)]).toEqual([400, 400])
  const differences = ['assertion_audience', 'dpop_bound_access_tokens', 'fapi']
  expect((await reviewRegistry(context)).problems).toEqual([{ subject: 'client', id: 'held', differences }])
})
