/**
 * Clients that publish a document about themselves, over real HTTP: first sight, what the ledger says, and how it ends.
 *
 * Long because it is a table of what must not pass.
 */
import { hash } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import { describe, expect } from 'vitest'
import { applyRegistration } from '../../src/administration/apply.ts'
import { setClientStatus } from '../../src/administration/client-store.ts'
import { parseRegistration } from '../../src/administration/parse.ts'
import { setIssuerStatus } from '../../src/administration/trust-change-store.ts'
import { blockWorkload, unblockWorkload } from '../../src/administration/workload-store.ts'
import { metadataWorkloadId } from '../../src/registry/client-metadata-prefix.ts'
import { assertionOf, makeKey, requestTokenWith, type TestKey } from '../support/assertion.ts'
import { proofOf } from '../support/dpop.ts'
import { sharedTest } from '../support/fixtures.ts'
import { fetchingLocally, startKeyServer } from '../support/key-server.ts'
import { createResources, createTestClient, sealedContext, sealedSetting } from '../support/sealed.ts'
import { orders, startService } from '../support/service.ts'

const everything = { MINTMARK_FAILURES_PER_CLIENT_MAX: '100000', MINTMARK_FAILURES_PER_ADDRESS_MAX: '100000' }
const [key, stranger] = [makeKey('ES256', 'one'), makeKey('ES256', 'one')]
const setOf = (...keys: TestKey[]) => ({ keys: keys.map(({ publicJwk, kid }) => ({ ...publicJwk, kid })) })

const test = sharedTest
  .extend('host', { scope: 'file' }, async ({ serverUrl: _ }, { onCleanup }) => {
    const host = await startKeyServer()
    onCleanup(() => host.close())
    return host
  })
  .extend('running', { scope: 'file' }, async ({ database, host }, { onCleanup }) => {
    const environment = { ...everything, ...fetchingLocally, ...sealedSetting }
    const running = await startService({ database, environment })
    onCleanup(() => running.close())
    const context = sealedContext(running.service.database)
    await createResources(context)
    // Registered by an address that stands under the prefix: it is a client by that, and needs no document.
    const registered = { tokenEndpointAuthMethod: 'client_secret_basic' }
    await createTestClient(context, `${host.url}/agents/registered`, registered)
    const { value, mistakes } = parseRegistration({
      trust: [
        {
          issuer: `${host.url}/agents/`,
          client_metadata: true,
          owner: 'partners@example.com',
          rules: [
            {
              rule: 'partner-agents',
              access: [{ audience: orders, scopes: ['orders:read'] }],
              token_lifetime: 120,
            },
          ],
        },
        {
          issuer: `${host.url}/new/`,
          client_metadata: true,
          rules: [
            {
              rule: 'one-of-them',
              conditions: [{ claim: 'sub', equals: `${host.url}/new/right` }],
              access: [{ audience: orders, scopes: ['orders:write'] }],
              assertion_audience: 'token_endpoint',
            },
            {
              rule: 'with-a-proof',
              conditions: [{ claim: 'sub', equals: `${host.url}/new/bound` }],
              access: [{ audience: orders, scopes: ['orders:write'] }],
              require_dpop: 'any_key',
            },
          ],
        },
        {
          issuer: `${host.url}/switched/`,
          rules: [
            {
              rule: 'signed-by-an-issuer',
              conditions: [{ claim: 'sub', prefix: `${host.url}/switched/by-it/` }],
              access: [{ audience: orders, scopes: ['orders:read'] }],
            },
          ],
        },
      ],
    })
    expect(mistakes).toEqual([])
    if (value === undefined) throw new Error('it is no registration')
    await applyRegistration(context, value)
    return Object.assign(running, { context })
  })
  .extend('agents', { scope: 'file' }, ({ host, running, database }) => {
    const documents: Record<string, unknown> = {}
    host.answer(documents)
    const publish = (path: string, changes: Record<string, unknown> = {}): string => {
      const id = `${host.url}${path}`
      documents[path] = {
        client_id: id,
        token_endpoint_auth_method: 'private_key_jwt',
        grant_types: ['client_credentials'],
        jwks: setOf(key),
        ...changes,
      }
      return id
    }
    async function recordOf(response: Response) {
      const [row] = await database.query<Record<string, unknown>>(
        `SELECT outcome, reason, client_id, credential_id, authentication_method, detail::jsonb AS detail
           FROM audit_record WHERE request_id = $1`,
        [response.headers.get('x-request-id')],
      )
      return row ?? {}
    }
    /** `issued`, or why not. */
    async function answer(id: string, from = key, changes = {}): Promise<string> {
      const response = await requestTokenWith(running.url, assertionOf(from, id, running.url, changes))
      const { outcome, reason } = await recordOf(response)
      return String(reason ?? outcome)
    }
    return { documents, publish, recordOf, answer }
  })

test('an agent that nobody registered gets a token, by the rule; the ledger says which document proved it', async ({
  running,
  agents,
  host,
}) => {
  const id = agents.publish('/agents/one.json')
  const identity = metadataWorkloadId(id)
  const response = await requestTokenWith(running.url, assertionOf(key, id, running.url), { client_id: id })
  expect(response.status).toBe(200)
  const { access_token, expires_in, scope } = (await response.json()) as Record<string, string>
  expect({ expires_in, scope }).toEqual({ expires_in: 120, scope: 'orders:read' })
  const claims = JSON.parse(Buffer.from(access_token?.split('.')[1] ?? '', 'base64url').toString())
  // The subject is never given to anybody else. client_id is what its caller knows it by.
  expect(claims).toMatchObject({ sub: identity, client_id: id, aud: orders })
  expect(await agents.recordOf(response)).toMatchObject({
    outcome: 'issued',
    client_id: identity,
    credential_id: 'partner-agents',
    authentication_method: 'private_key_jwt',
    detail: {
      client_metadata: id,
      document_sha256: hash('sha256', JSON.stringify(agents.documents['/agents/one.json']), 'base64url'),
      key: key.thumbprint,
    },
  })
  // The document is fetched once, whoever comes.
  expect([await agents.answer(id), await agents.answer(id, stranger)]).toEqual([
    'issued',
    'assertion_signature_wrong',
  ])
  expect(host.asked.filter((path) => path === '/agents/one.json')).toHaveLength(1)
})

test('its assertion is judged like that of any client, and counts once', async ({ running, agents }) => {
  const id = agents.publish('/agents/judged')
  const assertion = assertionOf(key, id, running.url)
  const twice = [
    await requestTokenWith(running.url, assertion),
    await requestTokenWith(running.url, assertion),
  ]
  expect((await Promise.all(twice.map(agents.recordOf))).map(({ reason }) => reason)).toEqual([
    null,
    'assertion_replayed',
  ])
  const now = Math.floor(Date.now() / 1000)
  expect([
    await agents.answer(id, key, { claims: { aud: `${running.url}/token` } }),
    await agents.answer(id, key, { claims: { aud: 'https://elsewhere.example.com' } }),
    await agents.answer(id, key, { claims: { exp: now - 1, iat: now - 60 } }),
    await agents.answer(id, key, { claims: { exp: now + 3_000 } }),
    await agents.answer(id, makeKey('ES256', 'two')),
    // What it says of itself beside its id decides nothing.
    await agents.answer(id, key, { claims: { iss: 'https://somebody.example.com' } }),
  ]).toEqual([
    'assertion_audience_wrong',
    'assertion_audience_wrong',
    'assertion_expired',
    'assertion_lifetime_too_long',
    'assertion_key_unknown',
    'assertion_issuer_untrusted',
  ])
  const other = await requestTokenWith(running.url, assertionOf(key, id, running.url), {
    scope: 'orders:write',
  })
  expect(await agents.recordOf(other)).toMatchObject({
    reason: 'scope_not_granted',
    client_id: metadataWorkloadId(id),
    detail: { client_metadata: id },
  })
})

test('who registers its address makes it a client, which proves itself with what is registered', async ({
  running,
  agents,
}) => {
  const id = agents.publish('/agents/registered-later')
  expect(await agents.answer(id)).toBe('issued')
  await createTestClient(running.context, id, { status: 'disabled' })
  expect(await agents.answer(id)).toBe('client_disabled')
  await setClientStatus(running.context, id, 'active')
  expect(await agents.answer(id)).toBe('client_has_no_key')
})

test('what a rule asks for beside the assertion holds here too', async ({ running, agents }) => {
  const id = agents.publish('/new/bound')
  expect(await agents.answer(id)).toBe('dpop_proof_missing')
  const proof = proofOf(key, `${running.url}/token`)
  const response = await requestTokenWith(running.url, assertionOf(key, id, running.url), {}, { dpop: proof })
  expect(response.status).toBe(200)
  expect(await response.json()).toMatchObject({ token_type: 'DPoP' })
})

test('only what a rule names is admitted', async ({ running, agents }) => {
  const right = agents.publish('/new/right')
  const near = agents.publish('/new/right2')
  const toEndpoint = { claims: { aud: `${running.url}/token` } }
  expect([await agents.answer(right, key, toEndpoint), await agents.answer(near)]).toEqual([
    'issued',
    'assertion_no_rule_fits',
  ])
})

describe('is refused, and nothing is fetched:', () => {
  test.for<[string, (url: string) => string, string]>([
    ['outside of every prefix', (url) => `${url}/elsewhere/a`, 'client_unknown'],
    ['the prefix of a name that goes on', (url) => `${url}.evil.example/agents/a`, 'client_unknown'],
    ['the prefix as a user', (url) => `${url}@evil.example/agents/a`, 'client_unknown'],
    ['dot segments', (url) => `${url}/agents/../elsewhere/a`, 'client_metadata_url_malformed'],
    ['a query', (url) => `${url}/agents/a?b=c`, 'client_metadata_url_malformed'],
    ['a fragment', (url) => `${url}/agents/a#b`, 'client_metadata_url_malformed'],
    ['an escape', (url) => `${url}/agents/%2e%2e/a`, 'client_metadata_url_malformed'],
    ['the prefix itself', (url) => `${url}/agents/`, 'client_metadata_url_malformed'],
    ['a client that is registered', (url) => `${url}/agents/registered`, 'client_has_no_key'],
  ])('%s', async ([, idOf, reason], { host, agents }) => {
    agents.publish('/agents/registered')
    const before = host.asked.length
    expect(await agents.answer(idOf(host.url))).toBe(reason)
    expect(host.asked).toHaveLength(before)
  })
})

test('a document that is refused: the ledger says why, and the caller what everybody hears', async ({
  running,
  agents,
}) => {
  const id = agents.publish('/agents/secret', { client_secret: 'x' })
  const response = await requestTokenWith(running.url, assertionOf(key, id, running.url))
  expect(await agents.recordOf(response)).toMatchObject({
    reason: 'client_metadata_unavailable',
    client_id: id,
    detail: { problem: 'its document has the member client_secret, and must not' },
  })
  const nobody = await requestTokenWith(running.url, assertionOf(key, 'nobody', running.url))
  expect([response.status, await response.text()]).toEqual([nobody.status, await nobody.text()])
  // An assertion of somebody else about it needs an issuer, and a prefix is none.
  const grant = await fetch(`${running.url}/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
      assertion: assertionOf(key, id, running.url, { claims: { iss: id.replace('secret', '') } }),
    }),
  })
  expect(await agents.recordOf(grant)).toMatchObject({ reason: 'assertion_issuer_untrusted' })
})

test('hosts that mean no good: the ledger says what they did, and nothing of what they sent', async ({
  running,
  agents,
  host,
}) => {
  const target = '/elsewhere/document'
  const hostile: Readonly<Record<string, readonly [(response: ServerResponse) => void, RegExp]>> = {
    redirect: [(response) => response.writeHead(302, { location: target }).end(), /redirect \(302\)/],
    huge: [(response) => response.writeHead(200).end(JSON.stringify('x'.repeat(5 * 1024))), /more than 5120/],
    HTML: [(response) => response.writeHead(200).end('<!doctype html><p>sign in'), /no JSON/],
    error: [(response) => response.writeHead(500).end('{"stack":"of it"}'), /status 500/],
    'broken off': [
      (response) => response.writeHead(200, { 'content-length': '9' }).end('{}', () => response.destroy()),
      /./,
    ],
    twice: [
      (response) => response.writeHead(200).end('{"client_id":"a","client_id":"b"}'),
      /everybody reads alike/,
    ],
  }
  host.answer((request, response) => {
    const name = decodeURI(request.url ?? '')
      .replace('/agents/', '')
      .replace('-', ' ')
    hostile[name]?.[0](response)
  })
  const before = host.asked.length
  for (const [name, [, problem]] of Object.entries(hostile)) {
    const id = `${host.url}/agents/${name.replace(' ', '-')}`
    const response = await requestTokenWith(running.url, assertionOf(key, id, running.url))
    const { reason, detail } = await agents.recordOf(response)
    expect({ name, reason }).toEqual({ name, reason: 'client_metadata_unavailable' })
    expect(detail).toEqual({ problem: expect.stringMatching(problem) })
    expect(JSON.stringify(detail)).not.toMatch(/sign in|stack|xxx/)
  }
  // One request each, and none to where the redirect leads.
  expect(host.asked.slice(before)).toHaveLength(Object.keys(hostile).length)
  expect(host.asked).not.toContain(target)
  host.answer(agents.documents)
})

test('a blocked workload, a disabled prefix and rows changed by hand end the access; the metadata says whether such clients may come', async ({
  running,
  agents,
  host,
}) => {
  const id = agents.publish('/agents/ends')
  const { context, database } = running
  const metadata = async () => {
    const response = await fetch(`${running.url}/.well-known/oauth-authorization-server`)
    return (await response.json()) as Record<string, unknown>
  }
  expect(await agents.answer(id)).toBe('issued')
  expect(await metadata()).toMatchObject({
    client_id_metadata_document_supported: true,
    grant_types_supported: expect.arrayContaining(['client_credentials']),
  })
  await blockWorkload(context, metadataWorkloadId(id))
  expect(await agents.answer(id)).toBe('workload_blocked')
  // The block is sealed: without its row the client stays blocked.
  await database.query('DELETE FROM blocked_workload')
  expect(await agents.answer(id)).toBe('workload_blocked')
  await unblockWorkload(context, metadataWorkloadId(id))
  expect(await agents.answer(id)).toBe('issued')
  await setIssuerStatus(context, `${host.url}/agents/`, 'disabled')
  expect(await agents.answer(id)).toBe('client_unknown')
  await setIssuerStatus(context, `${host.url}/agents/`, 'active')
  expect(await agents.answer(id)).toBe('issued')
  // A prefix by hand gives nothing, and a rule by hand neither, in a sealed registry.
  await database.query(
    `INSERT INTO trusted_issuer (issuer, key_source) VALUES ('${host.url}/hand/', 'client_metadata');
     INSERT INTO trust_rule (rule, issuer, conditions, access)
       SELECT 'by-hand', '${host.url}/hand/', '[{"claim":"sub","prefix":"${host.url}/hand/"}]', access
         FROM trust_rule WHERE rule = 'partner-agents'`,
  )
  expect(await agents.answer(agents.publish('/hand/a'))).toBe('client_unknown')
  // Nor does an issuer whose workloads may sign for themselves now.
  await database.query(
    `UPDATE trusted_issuer SET key_source = 'client_metadata' WHERE issuer = '${host.url}/switched/'`,
  )
  expect(await agents.answer(agents.publish('/switched/by-it/a'))).toBe('client_unknown')
  await database.query(`UPDATE trusted_issuer SET status = 'disabled' WHERE key_source = 'client_metadata'`)
  expect(await agents.answer(id)).toBe('client_unknown')
  expect(await metadata()).not.toHaveProperty('client_id_metadata_document_supported')
})
