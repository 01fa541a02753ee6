/**
 * Assertions of other issuers, over real HTTP: as a client's authentication and as the grant itself. Long because it is a
 * table of rules, and of what they admit and refuse.
 */
import { describe, expect } from 'vitest'
import { applyRegistration } from '../../src/administration/apply.ts'
import { parseRegistration } from '../../src/administration/parse.ts'
import { blockWorkload } from '../../src/administration/workload-store.ts'
import { workloadId } from '../../src/registry/issuer.ts'
import { makeKey } from '../support/assertion.ts'
import { sharedTest } from '../support/fixtures.ts'
import { fetchingLocally, startKeyServer } from '../support/key-server.ts'
import {
  github,
  gitlab,
  kubernetes,
  type Platform,
  publishedKeys,
  spire,
  tokenOf,
} from '../support/platforms.ts'
import { createResources, createTestClient, sealedContext } from '../support/sealed.ts'
import { invoices, orders, startService, type TestService } from '../support/service.ts'

const grantType = 'urn:ietf:params:oauth:grant-type:jwt-bearer'
const bearer = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
const spiffe = 'urn:ietf:params:oauth:client-assertion-type:jwt-spiffe'
const everything = { MINTMARK_FAILURES_PER_CLIENT_MAX: '100000', MINTMARK_FAILURES_PER_ADDRESS_MAX: '100000' }

const rotated = makeKey('RS256', 'rotated')
const discovered: Platform = { ...gitlab, key: makeKey('RS256', 'discovered') }

const test = sharedTest
  .extend('keys', { scope: 'file' }, async ({ serverUrl: _ }, { onCleanup }) => {
    const keys = await startKeyServer()
    onCleanup(() => keys.close())
    return keys
  })
  .extend('running', { scope: 'file' }, async ({ database, keys }, { onCleanup }) => {
    const running = await startService({ database, environment: { ...everything, ...fetchingLocally } })
    onCleanup(() => running.close())
    const context = { ...sealedContext(running.service.database), sealing: undefined }
    await createResources(context)
    const method = { tokenEndpointAuthMethod: 'federated_jwt' }
    await createTestClient(context, 'billing', method)
    await createTestClient(context, 'reports', {
      ...method,
      access: [
        { audience: orders, scopes: ['orders:read'] },
        { audience: invoices, scopes: ['invoices:read'] },
      ],
    })
    await createTestClient(context, 'payroll')
    const issuer = keys.url
    keys.answer({
      '/github': publishedKeys(github),
      '/bundle': publishedKeys(spire),
      '/.well-known/openid-configuration': { issuer, jwks_uri: `${issuer}/discovered` },
      '/discovered': publishedKeys(discovered),
    })
    const { value, mistakes } = parseRegistration({
      trust: [
        {
          issuer: github.issuer,
          jwks_uri: `${keys.url}/github`,
          rules: [
            {
              rule: 'deploy',
              conditions: [
                { claim: 'repository_id', equals: '74' },
                { claim: 'ref', equals: 'refs/heads/main' },
              ],
              client_id: 'billing',
            },
            {
              rule: 'report',
              conditions: [{ claim: 'repository_id', equals: '90' }],
              client_id: 'reports',
              access: [{ audience: invoices, scopes: ['invoices:read'] }],
              token_lifetime: 30,
            },
            {
              rule: 'either-one',
              conditions: [{ claim: 'repository_id', equals: '91' }],
              client_id: 'billing',
            },
            {
              rule: 'either-two',
              conditions: [{ claim: 'repository_id', equals: '91' }],
              client_id: 'reports',
            },
            {
              rule: 'secret-client',
              conditions: [{ claim: 'repository_id', equals: '92' }],
              client_id: 'payroll',
            },
          ],
        },
        {
          issuer: kubernetes.issuer,
          jwks: publishedKeys(kubernetes),
          rules: [
            {
              rule: 'payments',
              conditions: [{ claim: 'sub', prefix: 'system:serviceaccount:payments:' }],
              access: [{ audience: orders, scopes: ['orders:read'] }],
              assertion_audience: 'token_endpoint',
            },
          ],
        },
        {
          issuer: spire.issuer,
          spiffe_bundle: `${keys.url}/bundle`,
          rules: [
            {
              rule: 'mesh',
              conditions: [{ claim: 'sub', prefix: 'spiffe://example.org/ns/payments/' }],
              access: [{ audience: orders, scopes: ['orders:read', 'orders:write'] }],
              assertion_use: 'until_expiry',
            },
          ],
        },
        {
          issuer,
          rules: [
            { rule: 'found', conditions: [{ claim: 'project_id', equals: '20' }], client_id: 'billing' },
          ],
        },
      ],
    })
    expect(mistakes).toEqual([])
    await applyRegistration(context, value as NonNullable<typeof value>)
    return running
  })

function ask(running: TestService, form: Readonly<Record<string, string>>): Promise<Response> {
  return fetch(`${running.url}/token`, { method: 'POST', body: new URLSearchParams(form) })
}

const byGrant = (running: TestService, assertion: string, more: Readonly<Record<string, string>> = {}) =>
  ask(running, { grant_type: grantType, assertion, ...more })

const byClient = (running: TestService, assertion: string, more: Readonly<Record<string, string>> = {}) =>
  ask(running, {
    grant_type: 'client_credentials',
    client_assertion_type: bearer,
    client_assertion: assertion,
    ...more,
  })

interface Row {
  outcome: string
  error: string | null
  reason: string | null
  client_id: string | null
  authentication_method: string | null
  credential_id: string | null
  expires_at: Date | null
  detail: string | null
}

async function recordOf({ database }: TestService, response: Response): Promise<Row> {
  const rows = await database.query<Row>('SELECT * FROM audit_record WHERE request_id = $1', [
    response.headers.get('x-request-id'),
  ])
  expect(rows, 'exactly one record for a request').toHaveLength(1)
  return rows[0] as Row
}

interface Token {
  readonly access_token: string
  readonly expires_in: number
  readonly scope?: string
}

async function claimsOf(
  response: Response,
): Promise<Record<string, unknown> & { readonly expires_in: number }> {
  const body = (await response.json()) as Token
  expect(body).toMatchObject({ access_token: expect.any(String) })
  const payload = Buffer.from(body.access_token.split('.')[1] ?? '', 'base64url').toString()
  return { ...JSON.parse(payload), expires_in: body.expires_in }
}

describe('a rule with a client', () => {
  test('a job of GitHub is the client, by both ways; the ledger names issuer, subject and rule', async ({
    running,
  }) => {
    for (const way of [byClient, byGrant]) {
      const response = await way(running, tokenOf(github, running.url))
      expect(response.status).toBe(200)
      expect(await claimsOf(response)).toMatchObject({
        sub: 'billing',
        client_id: 'billing',
        aud: orders,
        scope: 'orders:read',
      })
      const record = await recordOf(running, response)
      expect(record).toMatchObject({
        outcome: 'issued',
        client_id: 'billing',
        credential_id: 'deploy',
        authentication_method: 'federated_jwt',
      })
      expect(JSON.parse(record.detail ?? '')).toEqual({
        issuer: github.issuer,
        subject: 'repo:acme/shop:environment:prod',
        key: github.key.thumbprint,
        assertion_audience: 'issuer',
        ...(way === byGrant ? { grant_type: grantType } : {}),
      })
    }
  })

  test('the token lives no longer than the assertion, and no longer than the rule says', async ({
    running,
  }) => {
    const now = Math.floor(Date.now() / 1_000)
    const short = await claimsOf(
      await byClient(running, tokenOf(github, running.url, { claims: { exp: now + 20 } })),
    )
    expect(short.expires_in).toBeLessThanOrEqual(20)
    expect(short['exp']).toBeLessThanOrEqual(now + 20)
    const claims = { repository_id: '90' }
    const report = await claimsOf(await byClient(running, tokenOf(github, running.url, { claims })))
    // It has one audience by the rule, although the client has two.
    expect(report).toMatchObject({ sub: 'reports', aud: invoices, scope: 'invoices:read', expires_in: 30 })
    const other = await byClient(running, tokenOf(github, running.url, { claims }), { resource: orders })
    expect(await other.json()).toMatchObject({ error: 'invalid_target' })
  })

  test('the caller names the client where two could be meant', async ({ running }) => {
    const token = () => tokenOf(github, running.url, { claims: { repository_id: '91' } })
    const unnamed = await byClient(running, token())
    expect([unnamed.status, await unnamed.json()]).toMatchObject([400, { error: 'invalid_request' }])
    expect((await recordOf(running, unnamed)).reason).toBe('trust_rules_ambiguous')
    const named = await byClient(running, token(), { client_id: 'reports', resource: orders })
    expect(await claimsOf(named)).toMatchObject({ sub: 'reports', aud: orders })
    const wrong = await byClient(running, tokenOf(github, running.url), { client_id: 'reports' })
    expect((await recordOf(running, wrong)).reason).toBe('client_id_mismatch')
  })

  test('a client that is registered for a secret is not had by an assertion', async ({ running }) => {
    const response = await byClient(
      running,
      tokenOf(github, running.url, { claims: { repository_id: '92' } }),
    )
    expect((await recordOf(running, response)).reason).toBe('authentication_method_not_registered')
  })

  test('keys are found by discovery', async ({ running, keys }) => {
    const claims = { iss: keys.url }
    const response = await byClient(running, tokenOf(discovered, running.url, { claims }))
    expect(await claimsOf(response)).toMatchObject({ sub: 'billing' })
    expect(keys.asked).toContain('/.well-known/openid-configuration')
  })
})

describe('a rule without a client', () => {
  test('a pod has an identity of its own, seen from its first token on', async ({ running, database }) => {
    const response = await byGrant(running, tokenOf(kubernetes, running.url), { resource: orders })
    const id = workloadId(kubernetes.issuer, 'system:serviceaccount:payments:api')
    expect(await claimsOf(response)).toMatchObject({
      sub: id,
      client_id: id,
      aud: orders,
      scope: 'orders:read',
    })
    expect(await recordOf(running, response)).toMatchObject({ client_id: id, credential_id: 'payments' })
    // For the token endpoint as well, as this rule says.
    expect((await byGrant(running, tokenOf(kubernetes, `${running.url}/token`))).status).toBe(200)
    const refused = await byGrant(running, tokenOf(kubernetes, running.url), { scope: 'orders:write' })
    expect(await refused.json()).toMatchObject({ error: 'invalid_scope' })
    expect(database).toBeDefined()
  })

  test('a JWT-SVID is shown again and again, by its own type and by the common one', async ({ running }) => {
    const svid = tokenOf(spire, running.url)
    const id = workloadId(spire.issuer, 'spiffe://example.org/ns/payments/sa/api')
    for (const type of [spiffe, bearer, spiffe]) {
      const response = await byClient(running, svid, { client_assertion_type: type })
      expect(await claimsOf(response)).toMatchObject({ sub: id, scope: 'orders:read orders:write' })
    }
    expect((await byGrant(running, svid)).status).toBe(200)
    // A client_id is a hint, and says the same or is wrong.
    expect((await byClient(running, svid, { client_id: id })).status).toBe(200)
    expect((await byClient(running, svid, { client_id: 'billing' })).status).toBe(400)
  })

  test('one that is blocked gets nothing at once, and its neighbour does', async ({ running }) => {
    const context = sealedContext(running.service.database)
    const sub = 'system:serviceaccount:payments:bad'
    expect((await byGrant(running, tokenOf(kubernetes, running.url, { claims: { sub } }))).status).toBe(200)
    await blockWorkload({ ...context, sealing: undefined }, workloadId(kubernetes.issuer, sub))
    const refused = await byGrant(running, tokenOf(kubernetes, running.url, { claims: { sub } }))
    expect(await recordOf(running, refused)).toMatchObject({
      reason: 'workload_blocked',
      error: 'invalid_grant',
    })
    expect((await byGrant(running, tokenOf(kubernetes, running.url))).status).toBe(200)
  })
})

describe('refused', () => {
  const stranger = makeKey('RS256', github.key.kid)

  test.for<[string, (url: string) => string, string]>([
    [
      'signed by somebody else under the same key id',
      (url) => tokenOf(github, url, { key: stranger }),
      'assertion_signature_wrong',
    ],
    [
      'signed by another issuer that is trusted',
      (url) => tokenOf(github, url, { key: { ...kubernetes.key, kid: github.key.kid } }),
      'assertion_signature_wrong',
    ],
    [
      'of an issuer that nobody trusts',
      (url) => tokenOf(github, url, { claims: { iss: 'https://evil.example.com' } }),
      'assertion_issuer_untrusted',
    ],
    [
      'of an issuer with a slash more',
      (url) => tokenOf(github, url, { claims: { iss: `${github.issuer}/` } }),
      'assertion_issuer_untrusted',
    ],
    ['for another audience', () => tokenOf(github, 'https://other.example.com'), 'assertion_audience_wrong'],
    [
      'for the token endpoint, which this rule does not accept',
      (url) => tokenOf(github, `${url}/token`),
      'assertion_audience_wrong',
    ],
    [
      'from another repository',
      (url) => tokenOf(github, url, { claims: { repository_id: '75' } }),
      'assertion_no_rule_fits',
    ],
    [
      'about a user',
      (url) => tokenOf(github, url, { header: { typ: 'oauth-id-jag+jwt' } }),
      'assertion_about_user',
    ],
    [
      'of the default account',
      (url) => tokenOf(kubernetes, url, { claims: { sub: 'system:serviceaccount:payments:default' } }),
      'default_service_account',
    ],
    [
      'about a subject that no table can hold',
      (url) => tokenOf(kubernetes, url, { claims: { sub: 'system:serviceaccount:payments:a\0b' } }),
      'assertion_claims_malformed',
    ],
    [
      'about a subject in two lines',
      (url) => tokenOf(kubernetes, url, { claims: { sub: 'system:serviceaccount:payments:a\r\nb' } }),
      'assertion_claims_malformed',
    ],
    [
      'of a trust domain that names itself, about a path out of the rule',
      (url) =>
        tokenOf(spire, url, {
          claims: { iss: spire.issuer, sub: 'spiffe://example.org/ns/payments/../admin' },
        }),
      'assertion_claims_malformed',
    ],
    [
      'of a trust domain that names itself, about a workload of another one',
      (url) =>
        tokenOf(spire, url, { claims: { iss: spire.issuer, sub: 'spiffe://other.org/ns/payments/api' } }),
      'assertion_claims_malformed',
    ],
  ])('%s', async ([, make, reason], { running }) => {
    const asClient = await byClient(running, make(running.url))
    expect([asClient.status, await asClient.json()]).toMatchObject([400, { error: 'invalid_client' }])
    const asGrant = await byGrant(running, make(running.url))
    expect([asGrant.status, await asGrant.json()]).toMatchObject([400, { error: 'invalid_grant' }])
    expect(await recordOf(running, asClient)).toMatchObject({
      outcome: 'refused',
      reason,
      error: 'invalid_client',
    })
    expect(await recordOf(running, asGrant)).toMatchObject({
      outcome: 'refused',
      reason,
      error: 'invalid_grant',
    })
  })

  test('the record names the rule that came closest, and cleans what a stranger chose', async ({
    running,
  }) => {
    const claims = { ref: 'refs/heads/mm_0123456789ab0123456789' }
    const response = await byClient(running, tokenOf(github, running.url, { claims }))
    const detail = JSON.parse((await recordOf(running, response)).detail ?? '')
    expect(detail).toMatchObject({
      issuer: github.issuer,
      subject: 'repo:acme/shop:environment:prod',
      closest_rule: 'deploy',
      differs: 'ref',
    })
    expect(detail.found).toMatch(/^\[withheld: length \d+, hash [0-9a-f]{16}/)
  })

  test('twice, also with another signature or for another client; and by the other way', async ({
    running,
  }) => {
    const token = tokenOf(github, running.url)
    expect((await byGrant(running, token)).status).toBe(200)
    for (const way of [byGrant, byClient]) {
      expect((await recordOf(running, await way(running, token))).reason).toBe('assertion_replayed')
    }
    // Without jti, by what was signed.
    const unnamed = tokenOf(kubernetes, running.url, { claims: { jti: undefined } })
    expect((await byGrant(running, unnamed)).status).toBe(200)
    expect((await recordOf(running, await byGrant(running, unnamed))).reason).toBe('assertion_replayed')
  })

  test('the grant beside a client that authenticates, and without an assertion', async ({ running }) => {
    const assertion = tokenOf(github, running.url)
    const both = await byGrant(running, assertion, { client_secret: 'x' })
    expect((await recordOf(running, both)).reason).toBe('authentication_methods_multiple')
    const none = await ask(running, { grant_type: grantType })
    expect([(await recordOf(running, none)).reason, none.status]).toEqual(['assertion_missing', 400])
    expect((await byGrant(running, assertion)).status).toBe(200)
  })
})

test('an assertion counts once, also where its trust domain is trusted by two names', async ({ running }) => {
  const context = { ...sealedContext(running.service.database), sealing: undefined }
  const domain: Platform = { ...spire, key: makeKey('ES256', 'two-names') }
  const [oidc, spiffeId] = ['https://oidc.two-names.example', 'spiffe://two-names.example']
  const named = (issuer: string, rule: string) => ({
    issuer,
    jwks: { keys: [{ ...domain.key.publicJwk, kid: domain.key.kid, use: 'sig' }] },
    rules: [{ rule, conditions: [{ claim: 'sub', prefix: `${spiffeId}/ns/` }], client_id: 'billing' }],
  })
  const { value, mistakes } = parseRegistration({ trust: [named(oidc, 'oidc'), named(spiffeId, 'svid')] })
  expect(mistakes).toEqual([])
  await applyRegistration(context, value as NonNullable<typeof value>)
  const claims = { iss: oidc, sub: `${spiffeId}/ns/api` }
  const assertion = tokenOf(domain, running.url, { claims })
  expect((await byClient(running, assertion, { client_assertion_type: spiffe })).status).toBe(200)
  const again = await byClient(running, assertion)
  expect(await recordOf(running, again)).toMatchObject({ reason: 'assertion_replayed' })
  const another = tokenOf(domain, running.url, { claims: { ...claims, session: 'another' } })
  expect((await byClient(running, another)).status).toBe(200)
})

test('a key that the issuer made new is found, and one that it took out is not believed', async ({
  running,
  keys,
}) => {
  const server = await startKeyServer({ '/k': publishedKeys(gitlab) })
  const context = { ...sealedContext(running.service.database), sealing: undefined }
  const issuer = 'https://gitlab.com'
  const { value } = parseRegistration({
    trust: [
      {
        issuer,
        jwks_uri: `${server.url}/k`,
        rules: [{ rule: 'lab', conditions: [{ claim: 'project_id', equals: '20' }], client_id: 'billing' }],
      },
    ],
  })
  await applyRegistration(context, value as NonNullable<typeof value>)
  expect(await recordOf(running, await byClient(running, tokenOf(gitlab, running.url)))).toMatchObject({
    outcome: 'issued',
  })
  // A source that is another one begins with no keys: the old ones verify nothing any more.
  server.answer({ '/k2': publishedKeys(gitlab, [rotated]) })
  const { value: moved } = parseRegistration({
    trust: [
      {
        issuer,
        jwks_uri: `${server.url}/k2`,
        rules: [{ rule: 'lab', conditions: [{ claim: 'project_id', equals: '20' }], client_id: 'billing' }],
      },
    ],
  })
  await applyRegistration(context, moved as NonNullable<typeof moved>)
  expect((await byClient(running, tokenOf(gitlab, running.url, { key: rotated }))).status).toBe(200)
  expect((await recordOf(running, await byClient(running, tokenOf(gitlab, running.url)))).reason).toBe(
    'assertion_key_unknown',
  )
  // Its outage: the last good keys count, and nobody waits for it.
  await server.close()
  expect((await byClient(running, tokenOf(gitlab, running.url, { key: rotated }))).status).toBe(200)
  // Of one that never answered there are none.
  const { value: dead } = parseRegistration({
    trust: [
      {
        issuer,
        jwks_uri: `${server.url}/k3`,
        rules: [{ rule: 'lab', conditions: [{ claim: 'project_id', equals: '20' }], client_id: 'billing' }],
      },
    ],
  })
  await applyRegistration(context, dead as NonNullable<typeof dead>)
  // The first to ask may still have been admitted by what this process knew. It tries again.
  expect((await byClient(running, tokenOf(gitlab, running.url, { key: rotated }))).status).toBe(503)
  const away = await byClient(running, tokenOf(gitlab, running.url, { key: rotated }))
  expect([away.status, (await recordOf(running, away)).reason]).toEqual([503, 'issuer_keys_unavailable'])
  expect(away.headers.get('retry-after')).toBe('1')
  expect(running.log()).toContain('remote_keys_unavailable')
  expect(keys.url).not.toBe(server.url)
})

test('the metadata offers the grant', async ({ running }) => {
  const metadata = await fetch(`${running.url}/.well-known/oauth-authorization-server`)
  expect(await metadata.json()).toMatchObject({ grant_types_supported: ['client_credentials', grantType] })
})
