/**
 * The client-credentials plan of the OpenID Foundation for FAPI 2.0, module by module, in all four variants: the service and
 * the protected resource of examples/fapi-resource, over real sockets with TLS.
 *
 * Long because it is the table of what the plan sends, with what it wants to see.
 */
import { createHash, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import https from 'node:https'
import tls from 'node:tls'
import { describe, expect } from 'vitest'
import { buildResource } from '../../examples/fapi-resource/resource.js'
import {
  type AssertionChanges,
  assertionOf,
  assertionType,
  makeKey,
  signed,
  type TestKey,
} from '../support/assertion.ts'
import { succeeding } from '../support/command.ts'
import { confirmationOf, type ProofChanges, proofOf } from '../support/dpop.ts'
import { sharedTest } from '../support/fixtures.ts'
import { type Answer, callerOf, mtlsSettings, outcomeOf, tokenOver } from '../support/mtls.ts'
import { freePort } from '../support/ports.ts'
import { scratch } from '../support/scratch.ts'
import { startService } from '../support/service.ts'
import { makeCa, makeCertificate, type TestCertificate } from '../support/x509.ts'

const methods = ['private_key_jwt', 'mtls'] as const
const constraints = ['dpop', 'mtls'] as const
interface Variant {
  readonly method: (typeof methods)[number]
  readonly constraint: (typeof constraints)[number]
}
const variants: readonly Variant[] = methods.flatMap((method) =>
  constraints.map((constraint) => ({ method, constraint })),
)

const audience = 'https://accounts.example.com'
const root = makeCa('O=Test,CN=FAPI Root')

/** A client of the plan, with everything that it could bring. */
interface Client {
  readonly clientId: string
  readonly key: TestKey
  readonly certificate: TestCertificate
  readonly proofKey: TestKey
}

/** They take long to make, so all first clients have the same. */
const rsaKeys = [makeKey('PS256'), makeKey('PS256')] as const

/** Its two clients have keys of their own, and what names them in their certificates differs. */
function twoClients({ method, constraint }: Variant): readonly [Client, Client] {
  const made = ([key, proofKey]: readonly [TestKey, TestKey], number: number): Client => {
    const clientId = `${method}-${constraint}-${number}`
    const certificate = makeCertificate(root, { subject: `O=Test,CN=${clientId}` })
    return { clientId, key, certificate, proofKey }
  }
  return [made(rsaKeys, 1), made([makeKey('EdDSA'), makeKey('ES256')], 2)]
}

const clientsOf = new Map(variants.map((variant) => [variant, twoClients(variant)]))

/** As a seed file says it. */
function registered({ method, constraint }: Variant, { clientId, key }: Client) {
  return {
    client_id: clientId,
    fapi: true,
    ...(method === 'mtls'
      ? {
          token_endpoint_auth_method: 'tls_client_auth',
          tls_client_auth_subject_dn: `CN=${clientId},O=Test`,
        }
      : {
          token_endpoint_auth_method: 'private_key_jwt',
          jwks: { keys: [{ ...key.publicJwk, alg: key.algorithm, kid: key.thumbprint }] },
        }),
    ...(constraint === 'mtls'
      ? { tls_client_certificate_bound_access_tokens: true }
      : { dpop_bound_access_tokens: true }),
    access: [{ audience, scopes: ['accounts:read'] }],
  }
}

const settings = mtlsSettings(root)
const ownFetch: typeof fetch = (input) =>
  new Promise((resolve, reject) => {
    https
      .get(String(input), { rejectUnauthorized: false, agent: false }, async (response) => {
        const chunks: Buffer[] = []
        for await (const chunk of response) chunks.push(chunk as Buffer)
        const headers = { 'content-type': String(response.headers['content-type']) }
        resolve(new Response(Buffer.concat(chunks), { status: response.statusCode ?? 0, headers }))
      })
      .on('error', reject)
  })

const test = sharedTest
  .extend('running', { scope: 'file' }, async ({ database, run }, { onCleanup }) => {
    const files = scratch()
    writeFileSync(
      files.path('clients.json'),
      JSON.stringify({
        resources: [{ audience, scopes: ['accounts:read'], signing_algorithm: 'PS256' }],
        clients: [...clientsOf].flatMap(([variant, clients]) =>
          clients.map((client) => registered(variant, client)),
        ),
      }),
    )
    await succeeding(run)('seed', files.path('clients.json')).finally(() => files.remove())
    const many = { MINTMARK_FAILURES_PER_CLIENT_MAX: '100000', MINTMARK_FAILURES_PER_ADDRESS_MAX: '100000' }
    const running = await startService({
      database,
      environment: { ...settings, ...many, MINTMARK_SIGNING_ALGORITHMS: 'ES256,PS256' },
    })
    onCleanup(() => running.close())
    return { ...running, issuer: running.url.replace('http:', 'https:') }
  })
  .extend('origin', { scope: 'file' }, async ({ running }, { onCleanup }) => {
    const origin = `https://localhost:${await freePort()}`
    const server = buildResource({
      issuer: running.issuer,
      audience,
      origin,
      scope: 'accounts:read',
      certificate: String(settings['MINTMARK_TLS_CERTIFICATE']),
      privateKey: String(settings['MINTMARK_TLS_PRIVATE_KEY']),
      fetch: ownFetch,
    })
    server.listen(Number(new URL(origin).port), '127.0.0.1')
    await once(server, 'listening')
    onCleanup(() => {
      server.closeAllConnections()
      server.close()
    })
    return origin
  })

interface TokenChanges {
  readonly assertion?: AssertionChanges
  /** Instead of the client's own. Null: none. */
  readonly assertionKey?: TestKey | null
  readonly audience?: string
  readonly proof?: ProofChanges | null
  readonly certificate?: TestCertificate | null
  readonly parameters?: Readonly<Record<string, string>>
}

/** A token request of a variant, with some changes. */
function askFor(
  issuer: string,
  variant: Variant,
  client: Client,
  changes: TokenChanges = {},
): Promise<Answer> {
  const isKey = variant.method === 'private_key_jwt'
  const usesCertificate = !isKey || variant.constraint === 'mtls'
  const { assertionKey = isKey ? client.key : null, proof = variant.constraint === 'dpop' ? {} : null } =
    changes
  const { certificate = usesCertificate ? client.certificate : null } = changes
  const parameters = {
    scope: 'accounts:read',
    ...(isKey ? {} : { client_id: client.clientId }),
    ...(assertionKey === null
      ? {}
      : {
          client_assertion_type: assertionType,
          client_assertion: assertionOf(
            assertionKey,
            client.clientId,
            changes.audience ?? issuer,
            changes.assertion,
          ),
        }),
    ...changes.parameters,
  }
  const headers: Record<string, string> =
    proof === null ? {} : { dpop: proofOf(client.proofKey, `${issuer}/token`, proof) }
  return tokenOver(issuer, parameters, {
    ...(certificate === null ? {} : callerOf(certificate)),
    headers,
  })
}

interface Shown {
  readonly status: number
  readonly headers: Readonly<Record<string, unknown>>
}

/** `GET` at the resource. */
function get(url: string, headers: readonly string[], certificate?: TestCertificate): Promise<Shown> {
  return new Promise((resolve, reject) => {
    const { pathname, search, port, host } = new URL(url)
    const own = certificate === undefined ? {} : callerOf(certificate)
    const request = https.request(
      { host: '127.0.0.1', port, path: pathname + search, rejectUnauthorized: false, agent: false, ...own },
      (response) => {
        response.resume()
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: { ...response.headers } }),
        )
      },
    )
    request.setHeader('host', host)
    for (let index = 0; index < headers.length; index += 2) {
      const [name = '', value = ''] = headers.slice(index, index + 2)
      request.appendHeader(name, value)
    }
    request.on('error', reject).end()
  })
}

const athOf = (token: string): string => createHash('sha256').update(token).digest('base64url')

/** A proof for the resource. */
const resourceProof = (
  key: TestKey,
  url: string,
  token: string,
  { header, claims }: ProofChanges = {},
): string =>
  proofOf(key, url, { ...(header && { header }), claims: { htm: 'GET', ath: athOf(token), ...claims } })

interface ShowChanges {
  readonly scheme?: string
  /** The one whose key and certificate are used. */
  readonly holder?: Client
  readonly proof?: ProofChanges
}

/** Shows a token at the resource as its variant does. */
async function show(
  origin: string,
  { constraint }: Variant,
  client: Client,
  token: string,
  { scheme, holder = client, proof }: ShowChanges = {},
): Promise<Shown> {
  const url = `${origin}/accounts?page=1`
  const isDpop = constraint === 'dpop'
  const authorization = `${scheme ?? (isDpop ? 'DPoP' : 'Bearer')} ${token}`
  const shown = isDpop ? ['DPoP', resourceProof(holder.proofKey, `${origin}/accounts`, token, proof)] : []
  return await get(url, ['Authorization', authorization, ...shown], isDpop ? undefined : holder.certificate)
}

async function tokenOf(issuer: string, variant: Variant, client: Client): Promise<string> {
  const { status, body } = await askFor(issuer, variant, client)
  expect(body).toMatchObject({ expires_in: 300, scope: 'accounts:read' })
  expect(body).not.toHaveProperty('refresh_token')
  expect([status, body['token_type']]).toEqual([200, variant.constraint === 'dpop' ? 'DPoP' : 'Bearer'])
  return String(body['access_token'])
}

/** What the plan accepts as the refusal of a request. */
function expectRefusal({ status, body }: Answer, ...errors: readonly string[]): void {
  expect([400, 401]).toContain(status)
  expect(errors).toContain(body['error'])
  expect(body['error_description']).toMatch(/^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/)
}

/** @returns the protocol and the suite, or the code of the error. */
function shake(url: string, options: tls.ConnectionOptions = {}): Promise<string> {
  return new Promise((resolve) => {
    const socket = tls.connect({
      host: '127.0.0.1',
      port: Number(new URL(url).port),
      rejectUnauthorized: false,
      ...options,
    })
    socket.on('secureConnect', () => {
      resolve(`${socket.getProtocol()} ${socket.getCipher().standardName}`)
      socket.destroy()
    })
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(String(error.code)))
  })
}

describe.for(variants)('$method with $constraint', (variant) => {
  const { method, constraint } = variant
  const [client, second] = clientsOf.get(variant) as readonly [Client, Client]
  const isKey = method === 'private_key_jwt'
  const isDpop = constraint === 'dpop'

  test('discovery-end-point-verification', async ({ running: { issuer } }) => {
    const response = await ownFetch(`${issuer}/.well-known/oauth-authorization-server`)
    const metadata = (await response.json()) as Record<string, unknown>
    expect(metadata).toMatchObject({
      issuer,
      token_endpoint: `${issuer}/token`,
      grant_types_supported: expect.arrayContaining(['client_credentials']),
      token_endpoint_auth_methods_supported: expect.arrayContaining([isKey ? method : 'tls_client_auth']),
    })
    const algorithms = isDpop
      ? 'dpop_signing_alg_values_supported'
      : 'token_endpoint_auth_signing_alg_values_supported'
    expect(metadata[algorithms]).toEqual(['ES256', 'EdDSA', 'Ed25519', 'PS256'])
    expect(metadata['tls_client_certificate_bound_access_tokens']).toBe(true)
  })

  test('happy-flow', async ({ running: { issuer }, origin }) => {
    for (const each of [client, second]) {
      const token = await tokenOf(issuer, variant, each)
      const thumbprint = createHash('sha256').update(each.certificate.der).digest('base64url')
      expect(confirmationOf(token)).toEqual(
        isDpop ? { jkt: each.proofKey.thumbprint } : { 'x5t#S256': thumbprint },
      )
      const shown = await show(origin, variant, each, token)
      expect(shown).toMatchObject({ status: 200, headers: { date: expect.any(String) } })
      // The token of the second client with what the first one has.
      if (each !== second) continue
      expect((await show(origin, variant, each, token, { holder: client })).status).toBe(401)
      expect((await get(`${origin}/accounts?access_token=${token}`, [])).status).toBe(400)
    }
  })

  test('access-token-type-header-case-sensitivity', async ({ running: { issuer }, origin }) => {
    const token = await tokenOf(issuer, variant, client)
    for (const scheme of isDpop ? ['dPoP', 'dpop', 'DPOP'] : ['bEARER', 'bearer']) {
      expect((await show(origin, variant, client, token, { scheme })).status).toBe(200)
    }
  })

  test('ensure-client-id-in-token-endpoint', async ({ running: { issuer } }) => {
    // The name of the second client, with the key or the certificate of the first.
    const answer = await askFor(issuer, variant, second, {
      certificate: isKey && isDpop ? null : client.certificate,
      assertionKey: isKey ? client.key : null,
      parameters: { client_id: second.clientId },
    })
    expectRefusal(answer, 'invalid_client', 'invalid_grant')
  })

  test('ensure-holder-of-key-required', async ({ running: { issuer }, origin }) => {
    const [withoutProof, withoutCertificate] = [{ proof: null }, { certificate: null }]
    expectRefusal(
      await askFor(issuer, variant, client, isDpop ? withoutProof : withoutCertificate),
      ...(isDpop ? ['invalid_request', 'invalid_dpop_proof'] : ['invalid_client', 'invalid_request']),
    )
    for (const url of [issuer, origin]) {
      expect(await shake(url)).toMatch(/^TLSv1\.3 /)
      expect(await shake(url, { maxVersion: 'TLSv1.2' })).toMatch(/^TLSv1\.2 TLS_ECDHE_\w+_AES_\d+_GCM_/)
      const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT:@SECLEVEL=0' } as const
      expect(await shake(url, old)).toMatch(/^ERR_SSL_/)
      const blocks = 'ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES256-SHA:AES128-SHA:AES128-GCM-SHA256:@SECLEVEL=0'
      expect(await shake(url, { maxVersion: 'TLSv1.2', ciphers: blocks })).toMatch(/^ERR_SSL_/)
    }
    const chacha = 'ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305'
    expect(await shake(origin, { maxVersion: 'TLSv1.2', ciphers: chacha })).toMatch(/^ERR_SSL_/)
  })

  test('who is held to a method and comes with another is refused', async ({ running }) => {
    const { issuer, database } = running
    const outcome = async (changes: TokenChanges) => {
      const answer = await askFor(issuer, variant, client, changes)
      expectRefusal(answer, 'invalid_client', 'invalid_request')
      return await outcomeOf(database, answer)
    }
    const other: TokenChanges = isKey
      ? { assertionKey: null, certificate: client.certificate, parameters: { client_id: client.clientId } }
      : { assertionKey: client.key }
    expect(await outcome(other)).toBe(isKey ? 'client_has_no_certificate' : 'client_has_no_key')
    // And to a constraint.
    const unbound: TokenChanges = isDpop
      ? { proof: null, certificate: client.certificate }
      : { proof: {}, certificate: null }
    const missing = isKey ? 'certificate_missing' : 'authentication_missing'
    expect(await outcome(unbound)).toBe(isDpop ? 'dpop_proof_missing' : missing)
    expect(await outcome({ assertionKey: null, certificate: null, proof: null })).toBe(
      'authentication_missing',
    )
  })

  if (!isDpop) return

  test('check-dpop-proof-nbf-exp', async ({ running, origin }) => {
    const { issuer, database } = running
    const now = Math.floor(Date.now() / 1000)
    const claims = { nbf: now, exp: now + 300 }
    const { status, body } = await askFor(issuer, variant, client, { proof: { claims } })
    expect(status).toBe(200)
    const shown = await show(origin, variant, client, String(body['access_token']), { proof: { claims } })
    expect(shown.status).toBe(200)
    const outcome = async (changed: Record<string, unknown>) =>
      outcomeOf(database, await askFor(issuer, variant, client, { proof: { claims: changed } }))
    expect(await outcome({ nbf: now + 61, exp: now + 300 })).toBe('dpop_proof_not_yet_valid')
    expect(await outcome({ exp: now - 1 })).toBe('dpop_proof_expired')
  })

  test.for([
    ['before', -10],
    ['after', 10],
  ] as const)('ensure-dpopproof-with-iat-10seconds-%s-succeeds', async ([, by], { running, origin }) => {
    const proof = { claims: { iat: Math.floor(Date.now() / 1000) + by } }
    const { status, body } = await askFor(running.issuer, variant, client, { proof })
    expect(status).toBe(200)
    expect((await show(origin, variant, client, String(body['access_token']), { proof })).status).toBe(200)
  })

  test('dpop-negative-tests', async ({ running: { issuer }, origin }) => {
    const token = await tokenOf(issuer, variant, client)
    const url = `${origin}/accounts`
    const key = client.proofKey
    const shown = async (proofs: readonly string[], scheme = 'DPoP', name = 'DPoP'): Promise<number> =>
      (
        await get(`${url}?page=1`, [
          'Authorization',
          `${scheme} ${token}`,
          ...proofs.flatMap((proof) => [name, proof]),
        ])
      ).status
    const tried = (changes: ProofChanges = {}): Promise<number> =>
      shown([resourceProof(key, url, token, changes)])
    const right = (): string => resourceProof(key, url, token)

    expect(await shown([right()], 'DPoP', 'DPOP')).toBe(200)
    expect(await tried({ claims: { htu: `${url}?page=1#top` } })).toBe(200)
    expect(await tried({ header: { extra: 1 }, claims: { extra: 1 } })).toBe(200)
    expect(await tried({ claims: { htu: `HTTPS://LOCALHOST:${new URL(url).port}/accounts` } })).toBe(200)

    const now = Math.floor(Date.now() / 1000)
    const wrong: readonly ProofChanges[] = [
      ...['jti', 'htm', 'htu', 'iat', 'ath'].map((name) => ({ claims: { [name]: undefined } })),
      ...['typ', 'alg', 'jwk'].map((name) => ({ header: { [name]: undefined } })),
      { header: { typ: 'jwt' } },
      { header: { alg: 'none' } },
      { header: { alg: 'RS256' } },
      { header: { jwk: key.privateKey.export({ format: 'jwk' }) } },
      { claims: { htm: 'PUT' } },
      { claims: { htu: 'https://other.example.com/accounts' } },
      { claims: { iat: now + 3_600 } },
      { claims: { iat: now - 3_600 } },
      { claims: { ath: athOf('another') } },
    ]
    for (const changes of wrong) expect([changes, await tried(changes)]).toEqual([changes, 401])
    const text = right()
    const [header, claims, signature = ''] = text.split('.')
    const unsigned = `${header}.${claims}.${signature.startsWith('A') ? 'B' : 'A'}${signature.slice(1)}`
    const stranger = signed(
      makeKey('ES256'),
      { alg: 'ES256', typ: 'dpop+jwt', jwk: makeKey('ES256').publicJwk },
      { jti: randomUUID(), htm: 'GET', htu: url, iat: now, ath: athOf(token) },
    )
    const refusedProofs: readonly (readonly string[])[] = [
      [right(), right()],
      ['not a proof'],
      [unsigned],
      [stranger],
      [resourceProof(makeKey('ES256'), url, token)],
      [],
    ]
    for (const proofs of refusedProofs) expect([400, 401]).toContain(await shown(proofs))
    // A token that is bound is no bearer token, with its proof and without.
    expect(await shown([], 'Bearer')).toBe(401)
    expect(await shown([right()], 'Bearer')).toBe(401)
    expect(await shown([text])).toBe(200)
    expect(await shown([text])).toBe(401)
    expect(await shown([right()])).toBe(200)
  })
})

describe.for(variants.filter(({ method }) => method === 'private_key_jwt'))(
  '$method with $constraint',
  (variant) => {
    const [client, second] = clientsOf.get(variant) as readonly [Client, Client]

    test('ensure-signed-client-assertion-with-RS256-fails', async ({ running }) => {
      const answer = await askFor(running.issuer, variant, client, {
        assertionKey: { ...client.key, algorithm: 'RS256' },
      })
      expectRefusal(answer, 'invalid_client')
      // Also a proof of possession.
      const rsa = { ...client, proofKey: { ...client.proofKey, algorithm: 'RS256' as const } }
      const proven = await askFor(running.issuer, variant, rsa, { proof: {} })
      expectRefusal(proven, 'invalid_dpop_proof')
      expect(await outcomeOf(running.database, proven)).toBe('dpop_algorithm_unsupported')
    })

    test('ensure-client-assertion-in-token-endpoint', async ({ running: { issuer } }) => {
      const parameters = { client_id: client.clientId }
      expectRefusal(
        await askFor(issuer, variant, client, { assertionKey: null, parameters }),
        'invalid_client',
        'invalid_request',
      )
    })

    test('ensure-client-assertion-with-exp-is-5-minutes-in-past-fails', async ({ running: { issuer } }) => {
      const now = Math.floor(Date.now() / 1000)
      const assertion = { claims: { iat: now - 360, exp: now - 300 } }
      expectRefusal(await askFor(issuer, variant, client, { assertion }), 'invalid_client', 'invalid_request')
    })

    test('ensure-client-assertion-with-wrong-aud-fails', async ({ running: { issuer } }) => {
      for (const wrong of ['https://other.example.com', `${issuer}/token`, `${issuer}/`])
        expectRefusal(await askFor(issuer, variant, client, { audience: wrong }), 'invalid_client')
      const assertion = { claims: { aud: [issuer] } }
      expectRefusal(await askFor(issuer, variant, client, { assertion }), 'invalid_client')
    })

    test('ensure-client-assertion-with-no-sub-fails', async ({ running: { issuer } }) => {
      const assertion = { claims: { sub: undefined } }
      expectRefusal(await askFor(issuer, variant, client, { assertion }), 'invalid_client', 'invalid_request')
    })

    test('the clock of a client may be ahead by ten seconds, and not by a minute', async ({ running }) => {
      const now = Math.floor(Date.now() / 1000)
      const answer = (by: number) =>
        askFor(running.issuer, variant, second, {
          assertion: { claims: { iat: now + by, nbf: now + by, exp: now + by + 60 } },
        })
      expect((await answer(10)).status).toBe(200)
      expectRefusal(await answer(62), 'invalid_client')
    })
  },
)

test('the other name of EdDSA will do, for assertions and proofs', async ({
  running: { issuer },
  origin,
}) => {
  const variant = variants.find(({ constraint }) => constraint === 'dpop') as Variant
  const [, second] = clientsOf.get(variant) as readonly [Client, Client]
  const header = { alg: 'Ed25519' }
  const client = { ...second, proofKey: makeKey('EdDSA') }
  const { status, body } = await askFor(issuer, variant, client, { assertion: { header }, proof: { header } })
  expect(status).toBe(200)
  const shown = await show(origin, variant, client, String(body['access_token']), { proof: { header } })
  expect(shown.status).toBe(200)
})

test('a token that is not bound is refused at the resource', async ({ running, origin, run }) => {
  // Set back to what a client may be without the profile.
  const variant = variants.find(
    ({ method, constraint }) => method === 'mtls' && constraint === 'mtls',
  ) as Variant
  const clientId = 'not-held'
  const certificate = makeCertificate(root, { subject: `O=Test,CN=${clientId}` })
  const created = await run(
    ...['clients', 'create', clientId, '--auth-method', 'tls_client_auth'],
    ...['--tls-client-auth-subject-dn', `CN=${clientId},O=Test`, '--access', `${audience}=accounts:read`],
  )
  expect(created.code).toBe(0)
  const client = { ...(clientsOf.get(variant) as readonly [Client, Client])[0], clientId, certificate }
  const { body } = await askFor(running.issuer, variant, client)
  const token = String(body['access_token'])
  expect(confirmationOf(token)).toBeUndefined()
  const shown = await show(origin, variant, client, token)
  expect([shown.status, shown.headers['www-authenticate']]).toEqual([
    401,
    expect.stringContaining('error="invalid_token"'),
  ])
})

test('a row that was changed by hand weakens nothing', async ({ running }) => {
  const { issuer, database } = running
  await database.query('ALTER TABLE client DROP CONSTRAINT client_fapi_held')
  const [dpop] = variants
  const [client] = clientsOf.get(dpop as Variant) as readonly [Client, Client]
  const outcome = async (changes: TokenChanges) =>
    outcomeOf(database, await askFor(issuer, dpop as Variant, client, changes))
  const change = (assignment: string) =>
    database.query(`UPDATE client SET ${assignment} WHERE client_id = $1`, [client.clientId])
  await change(`dpop_bound_access_tokens = false, assertion_audience = 'token_endpoint'`)
  expect(await outcome({ proof: null })).toBe('token_not_bound')
  expect(await outcome({ audience: `${issuer}/token` })).toBe('assertion_audience_token_endpoint')
  expect(await outcome({})).toBe('issued')
  await database.query(`UPDATE client_key SET algorithm = 'RS256' WHERE client_id = $1`, [client.clientId])
  const assertionKey = { ...client.key, algorithm: 'RS256' as const }
  expect(await outcome({ assertionKey })).toBe('assertion_algorithm_unsupported')
  await database.query(`UPDATE client_key SET algorithm = 'PS256' WHERE client_id = $1`, [client.clientId])
  await database.query(`UPDATE resource SET signing_algorithm = 'RS256'`)
  expect(await outcome({})).toBe('token_algorithm_not_allowed')
  await database.query(`UPDATE resource SET signing_algorithm = 'PS256'`)
  await change(`dpop_bound_access_tokens = true, assertion_audience = 'issuer'`)
  expect(await outcome({})).toBe('issued')
})
