/** Long because it is a table of all that an assertion can be, with the answer and the record. */
import { createHash, randomBytes } from 'node:crypto'
import { describe, expect } from 'vitest'
import { type RefusalReason, refusals } from '../../src/refusals.ts'
import {
  type AssertionChanges,
  assertionOf,
  makeKey,
  registerKey,
  registerKeyClient,
  requestTokenWith,
  signatureOf,
  signed,
  type TestKey,
} from '../support/assertion.ts'
import { sharedTest } from '../support/fixtures.ts'
import {
  basic,
  orders,
  registerClient,
  requestToken,
  startService,
  type TestService,
} from '../support/service.ts'

/** Client authentication by assertion (RFC 7523 as updated by RFC 10070), over real HTTP. */

const keys = {
  ec: makeKey('ES256', '2027-01'),
  ed: makeKey('EdDSA', 'ed'),
  ps: makeKey('PS256', 'ps'),
  rs: makeKey('RS256', 'rs'),
  unnamed: makeKey('ES256'),
  revoked: makeKey('ES256', 'revoked'),
  expired: makeKey('ES256', 'expired'),
  foreign: makeKey('ES256', '2027-01'),
}

const test = sharedTest
  .extend('running', { scope: 'file' }, async ({ database }, { onCleanup }) => {
    const running = await startService({
      database,
      environment: {
        MINTMARK_FAILURES_PER_CLIENT_MAX: '100000',
        MINTMARK_FAILURES_PER_ADDRESS_MAX: '100000',
      },
    })
    onCleanup(() => running.close())
    return running
  })
  .extend('registered', { scope: 'file' }, async ({ running: { database } }) => {
    const { ec, ed, ps, rs, unnamed, revoked, expired, foreign } = keys
    await registerKeyClient(database, [ec, ed, ps, rs, unnamed, revoked, expired], { clientId: 'payroll' })
    await database.query(`UPDATE client_key SET revoked_at = now() WHERE kid = 'revoked'`)
    await database.query(`UPDATE client_key SET expires_at = now() - interval '1 s' WHERE kid = 'expired'`)
    await registerKeyClient(database, [makeKey('ES256', 'one')], { clientId: 'disabled' })
    await registerKeyClient(database, [foreign], { clientId: 'other' })
    await registerKeyClient(database, [ec], { clientId: 'old', assertionAudience: 'token_endpoint' })
    await registerKeyClient(database, [], { clientId: 'keyless' })
    return true
  })

interface RecordRow {
  outcome: string
  error: string | null
  reason: string | null
  client_id: string | null
  authentication_method: string | null
  credential_id: string | null
  detail: string | null
}

async function recordOf(running: TestService, response: Response): Promise<RecordRow> {
  const id = response.headers.get('x-request-id')
  const rows = await running.database.query<RecordRow>('SELECT * FROM audit_record WHERE request_id = $1', [
    id,
  ])
  expect(rows, 'exactly one record for a request').toHaveLength(1)
  return rows[0] as RecordRow
}

const now = (): number => Math.floor(Date.now() / 1000)
const from = (running: TestService, key: TestKey, changes: AssertionChanges = {}, clientId = 'payroll') =>
  assertionOf(key, clientId, running.url, changes)

describe('a token', () => {
  const accepted: readonly (readonly [string, TestKey, (url: string) => AssertionChanges])[] = [
    ['by ES256, named by its kid', keys.ec, () => ({})],
    ['by EdDSA', keys.ed, () => ({})],
    ['by Ed25519, the other name of EdDSA (RFC 9864)', keys.ed, () => ({ header: { alg: 'Ed25519' } })],
    ['by PS256', keys.ps, () => ({})],
    ['by RS256, which the key is registered for', keys.rs, () => ({})],
    ['by a key named by its thumbprint', keys.unnamed, () => ({})],
    ['by a key with a kid named by its thumbprint', keys.ec, () => ({ header: { kid: keys.ec.thumbprint } })],
    ['without a kid, where one key is of that algorithm', keys.ed, () => ({ header: { kid: undefined } })],
    ['of typ JWT', keys.ec, () => ({ header: { typ: 'JWT' } })],
    ['of typ jwt', keys.ec, () => ({ header: { typ: 'jwt' } })],
    ['without a typ', keys.ec, () => ({ header: { typ: undefined } })],
    [
      'of the whole media type',
      keys.ec,
      () => ({ header: { typ: 'application/client-authentication+jwt' } }),
    ],
    ['with exp as a fraction', keys.ec, () => ({ claims: { exp: now() + 60.5 } })],
    ['without iat', keys.ec, () => ({ claims: { iat: undefined } })],
    [
      'from a clock that is ahead',
      keys.ec,
      () => ({ claims: { iat: now() + 20, nbf: now() + 20, exp: now() + 320 } }),
    ],
    ['for as long as may be', keys.ec, () => ({ claims: { exp: now() + 300 } })],
    ['with claims that nobody knows', keys.ec, () => ({ claims: { scope: 'all', x: { y: [1] } } })],
    [
      'with keys and addresses in its header',
      keys.ec,
      (url) => ({
        header: { jwk: keys.foreign.publicJwk, jku: `${url}/k`, x5u: `${url}/x`, x5c: ['MII'] },
      }),
    ],
  ]

  test.for(accepted)('%s', async ([, key, changes], { running, registered }) => {
    expect(registered).toBe(true)
    const response = await requestTokenWith(running.url, from(running, key, changes(running.url)))
    expect(await response.json()).toMatchObject({ token_type: 'Bearer' })
    expect(response.status).toBe(200)
    expect(await recordOf(running, response)).toMatchObject({
      outcome: 'issued',
      client_id: 'payroll',
      authentication_method: 'private_key_jwt',
      credential_id: key.thumbprint,
      detail: null,
    })
  })

  test('with the client_id in the body, which agrees', async ({ running, registered }) => {
    expect(registered).toBe(true)
    const response = await requestTokenWith(running.url, from(running, keys.ec), { client_id: 'payroll' })
    expect(response.status).toBe(200)
  })

  test('the metadata offers it (RFC 8414)', async ({ running }) => {
    const response = await fetch(`${running.url}/.well-known/oauth-authorization-server`)
    const metadata = (await response.json()) as Record<string, unknown>
    expect(metadata['token_endpoint_auth_methods_supported']).toEqual([
      'client_secret_basic',
      'client_secret_post',
      'private_key_jwt',
    ])
    expect(metadata['token_endpoint_auth_signing_alg_values_supported']).toEqual([
      'ES256',
      'EdDSA',
      'Ed25519',
      'PS256',
    ])
  })
})

/** What makes an assertion that is refused; given the address of the service, which is its issuer. */
type Make = (url: string) => string
const good = (changes: AssertionChanges, key = keys.ec): Make => {
  return (url) => assertionOf(key, 'payroll', url, changes)
}
const header = (members: Readonly<Record<string, unknown>>, key = keys.ec): Make =>
  good({ header: members }, key)
const claims = (members: () => Readonly<Record<string, unknown>>): Make => {
  return (url) => assertionOf(keys.ec, 'payroll', url, { claims: members() })
}
const about = (clientId: string, key = keys.ec): Make => {
  return (url) => assertionOf(key, clientId, url)
}
const parts = (text: string): [string, string, string] => text.split('.') as [string, string, string]
/** The last character of 32 or 64 bytes in base64url has bits that mean nothing: this one says the same bytes. */
const aliased = (text: string): string => {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  return text.slice(0, -1) + alphabet.charAt(alphabet.indexOf(text.at(-1) ?? '') + 1)
}
const plain = (url: string, members: string): string =>
  `{"iss":"payroll","sub":"payroll","aud":${JSON.stringify(url)},"jti":"${randomBytes(8).toString('hex')}","exp":${now() + 60}${members}}`

const refused: readonly (readonly [title: string, reason: RefusalReason, make: Make])[] = [
  // The form (RFC 7515 §3.1, RFC 7519 §7.2): a request that cannot be read.
  ['five parts, which would be encrypted', 'assertion_malformed', (url) => `${about('payroll')(url)}.a.b`],
  ['two parts', 'assertion_malformed', (url) => parts(about('payroll')(url)).slice(0, 2).join('.')],
  [
    'an empty signature',
    'assertion_malformed',
    (url) => `${parts(about('payroll')(url)).slice(0, 2).join('.')}.`,
  ],
  [
    'the JSON serialisation',
    'assertion_malformed',
    (url) => {
      const [protectedHeader, payload, signature] = parts(about('payroll')(url))
      return JSON.stringify({ protected: protectedHeader, payload, signature })
    },
  ],
  ['a million dots would be too long', 'assertion_malformed', () => '.'.repeat(8_193)],
  [
    'an assertion in an assertion',
    'assertion_malformed',
    (url) => {
      return signed(keys.ec, { alg: 'ES256', cty: 'JWT', kid: '2027-01' }, about('payroll')(url))
    },
  ],
  ['padding', 'assertion_malformed', (url) => `${about('payroll')(url)}==`],
  ['a signature with another last character', 'assertion_malformed', (url) => aliased(about('payroll')(url))],
  [
    'the other alphabet',
    'assertion_malformed',
    (url) => {
      const [head, body] = parts(about('payroll')(url))
      return `${head}.${body}.${Buffer.alloc(64, 0xff).toString('base64').replaceAll('=', '')}`
    },
  ],
  ['claims that are a list', 'assertion_malformed', () => signed(keys.ec, { alg: 'ES256' }, [])],
  ['claims that are no JSON', 'assertion_malformed', () => signed(keys.ec, { alg: 'ES256' }, '{"iss":')],
  [
    'claims with a byte order mark',
    'assertion_malformed',
    (url) => signed(keys.ec, { alg: 'ES256' }, `\ufeff${plain(url, '')}`),
  ],
  [
    'a claim that stands twice',
    'assertion_malformed',
    (url) => signed(keys.ec, { alg: 'ES256', kid: '2027-01' }, plain(url, ',"sub":"payroll"')),
  ],
  [
    'a claim that stands twice, once with an escape',
    'assertion_malformed',
    (url) => signed(keys.ec, { alg: 'ES256', kid: '2027-01' }, plain(url, ',"\\u0073ub":"payroll"')),
  ],
  [
    'a header member that stands twice',
    'assertion_malformed',
    (url) => signed(keys.ec, '{"alg":"none","alg":"ES256","kid":"2027-01"}', plain(url, '')),
  ],
  [
    'claims that nest deep',
    'assertion_malformed',
    (url) =>
      signed(
        keys.ec,
        { alg: 'ES256', kid: '2027-01' },
        plain(url, `,"x":${'['.repeat(2_000)}${']'.repeat(2_000)}`),
      ),
  ],
  [
    'bytes that are no UTF-8',
    'assertion_malformed',
    (url) => {
      const body = Buffer.from(plain(url, ',"x":"\xff"'), 'latin1').toString('base64url')
      const input = `${Buffer.from('{"alg":"ES256"}').toString('base64url')}.${body}`
      return `${input}.${signatureOf(keys.ec, input).toString('base64url')}`
    },
  ],

  // The header (RFC 8725 §3).
  ['crit', 'assertion_header_unsupported', header({ crit: ['exp'], exp: 1 })],
  ['an empty crit', 'assertion_header_unsupported', header({ crit: [] })],
  ['b64', 'assertion_header_unsupported', header({ b64: false })],
  ['a kid that is a number', 'assertion_header_unsupported', header({ kid: 7 })],
  ['a kid of 1,000 characters', 'assertion_header_unsupported', header({ kid: 'k'.repeat(1_000) })],
  ['the typ of an access token', 'assertion_type_wrong', header({ typ: 'at+jwt' })],
  ['the typ of a proof of possession', 'assertion_type_wrong', header({ typ: 'dpop+jwt' })],
  ['the typ of a request object', 'assertion_type_wrong', header({ typ: 'oauth-authz-req+jwt' })],
  ['a typ that is a list', 'assertion_type_wrong', header({ typ: ['JWT'] })],
  ['an empty typ', 'assertion_type_wrong', header({ typ: '' })],
  ['alg none', 'assertion_algorithm_unsupported', header({ alg: 'none' })],
  ['alg nOnE', 'assertion_algorithm_unsupported', header({ alg: 'nOnE' })],
  ['alg HS256', 'assertion_algorithm_unsupported', header({ alg: 'HS256' })],
  ['alg ES384', 'assertion_algorithm_unsupported', header({ alg: 'ES384' })],
  ['no alg', 'assertion_algorithm_unsupported', header({ alg: undefined })],

  // The claims (RFC 7523 §3).
  ['no iss', 'assertion_claims_malformed', claims(() => ({ iss: undefined }))],
  ['no sub', 'assertion_claims_malformed', claims(() => ({ sub: undefined }))],
  ['no aud', 'assertion_claims_malformed', claims(() => ({ aud: undefined }))],
  ['no exp', 'assertion_claims_malformed', claims(() => ({ exp: undefined }))],
  ['no jti', 'assertion_claims_malformed', claims(() => ({ jti: undefined }))],
  ['an empty jti', 'assertion_claims_malformed', claims(() => ({ jti: '' }))],
  ['a jti that is a number', 'assertion_claims_malformed', claims(() => ({ jti: 7 }))],
  ['a jti of 1,000 characters', 'assertion_claims_malformed', claims(() => ({ jti: 'j'.repeat(1_000) }))],
  ['exp as text', 'assertion_claims_malformed', claims(() => ({ exp: String(now() + 60) }))],
  ['exp 1e308', 'assertion_claims_malformed', claims(() => ({ exp: 1e308 }))],
  [
    'exp 1e400',
    'assertion_claims_malformed',
    (url) =>
      signed(keys.ec, { alg: 'ES256', kid: '2027-01' }, plain(url, '').replace(/"exp":\d+/, '"exp":1e400')),
  ],
  ['exp in milliseconds', 'assertion_claims_malformed', claims(() => ({ exp: Date.now() + 60_000 }))],
  ['a negative exp', 'assertion_claims_malformed', claims(() => ({ exp: -1 }))],
  ['iat null', 'assertion_claims_malformed', claims(() => ({ iat: null }))],
  ['exp before iat', 'assertion_claims_malformed', claims(() => ({ iat: now() + 20, exp: now() + 10 }))],
  ['iss is not sub', 'assertion_issuer_untrusted', claims(() => ({ iss: 'other' }))],
  ['sub is another client', 'assertion_issuer_untrusted', claims(() => ({ sub: 'other' }))],

  // The key and the signature.
  ['a client without keys', 'client_has_no_key', about('keyless')],
  ['a client that does not exist', 'client_unknown', about('nobody')],
  ['a kid that nobody registered', 'assertion_key_unknown', header({ kid: '2099-01' })],
  ['a kid that is a path', 'assertion_key_unknown', header({ kid: '../../etc/passwd' })],
  ['a kid that is SQL', 'assertion_key_unknown', header({ kid: "' OR 1=1 --" })],
  ['a kid with NUL', 'assertion_key_unknown', header({ kid: '2027-01\0' })],
  ['no kid, and several keys that it could be', 'assertion_key_unknown', header({ kid: undefined })],
  ['the key of another client', 'assertion_signature_wrong', about('payroll', keys.foreign)],
  ['own key for another client', 'assertion_signature_wrong', about('other')],
  [
    'a signature of zeros',
    'assertion_signature_wrong',
    (url) => {
      const [head, body] = parts(about('payroll')(url))
      return `${head}.${body}.${Buffer.alloc(64).toString('base64url')}`
    },
  ],
  [
    'a signature in DER',
    'assertion_signature_wrong',
    (url) => {
      const [head, body] = parts(about('payroll')(url))
      return `${head}.${body}.${randomBytes(70).toString('base64url')}`
    },
  ],
  [
    'claims that were changed',
    'assertion_signature_wrong',
    (url) => {
      const [head, , signature] = parts(about('payroll')(url))
      return `${head}.${Buffer.from(plain(url, '')).toString('base64url')}.${signature}`
    },
  ],
  [
    'RS256 with a key for PS256',
    'assertion_key_unknown',
    (url) => {
      return assertionOf({ ...keys.ps, algorithm: 'RS256' }, 'payroll', url)
    },
  ],
  [
    'PS256 with a key for RS256',
    'assertion_key_unknown',
    (url) => {
      return assertionOf({ ...keys.rs, algorithm: 'PS256' }, 'payroll', url)
    },
  ],
  ['EdDSA in the header of an ES256 key', 'assertion_key_unknown', header({ alg: 'EdDSA' })],
  ['a revoked key', 'client_key_revoked', about('payroll', keys.revoked)],
  ['an expired key', 'client_key_expired', about('payroll', keys.expired)],

  // The audience and the time.
  ['another audience', 'assertion_audience_wrong', claims(() => ({ aud: 'https://elsewhere.example.com' }))],
  [
    'the issuer with a slash',
    'assertion_audience_wrong',
    (url) => (about('payroll')(url).length > 0 ? assertionOf(keys.ec, 'payroll', `${url}/`) : ''),
  ],
  [
    'the issuer in capitals',
    'assertion_audience_wrong',
    (url) => assertionOf(keys.ec, 'payroll', url.toUpperCase()),
  ],
  [
    'another audience, and the signature of a stranger',
    'assertion_signature_wrong',
    () => assertionOf(keys.foreign, 'payroll', 'https://elsewhere.example.com'),
  ],
  ['an empty list', 'assertion_audience_wrong', claims(() => ({ aud: [] }))],
  ['an object', 'assertion_audience_wrong', claims(() => ({ aud: {} }))],
  [
    'the issuer and another',
    'assertion_audience_wrong',
    (url) =>
      assertionOf(keys.ec, 'payroll', url, { claims: { aud: [url, 'https://elsewhere.example.com'] } }),
  ],
  [
    'the issuer in a list',
    'assertion_audience_token_endpoint',
    (url) => assertionOf(keys.ec, 'payroll', url, { claims: { aud: [url] } }),
  ],
  [
    'the issuer and the token endpoint',
    'assertion_audience_token_endpoint',
    (url) => assertionOf(keys.ec, 'payroll', url, { claims: { aud: [url, `${url}/token`] } }),
  ],
  [
    'the token endpoint',
    'assertion_audience_token_endpoint',
    (url) => assertionOf(keys.ec, 'payroll', `${url}/token`),
  ],
  ['five minutes ago', 'assertion_expired', claims(() => ({ iat: now() - 400, exp: now() - 300 }))],
  ['one second ago', 'assertion_expired', claims(() => ({ exp: now() - 1, iat: now() - 60 }))],
  ['nbf in the future', 'assertion_not_yet_valid', claims(() => ({ nbf: now() + 45 }))],
  ['iat in the future', 'assertion_not_yet_valid', claims(() => ({ iat: now() + 45 }))],
  ['for a day', 'assertion_lifetime_too_long', claims(() => ({ exp: now() + 86_400 }))],
  [
    'for a day, without iat',
    'assertion_lifetime_too_long',
    claims(() => ({ iat: undefined, exp: now() + 86_400 })),
  ],
  [
    'for a day, made yesterday',
    'assertion_lifetime_too_long',
    claims(() => ({ iat: now() - 86_000, exp: now() + 60 })),
  ],
]

describe('refused, with one record, and a word to the holder of the key alone', () => {
  test.for(refused)('%s: %s', async ([, reason, make], { running, registered }) => {
    expect(registered).toBe(true)
    const response = await requestTokenWith(running.url, make(running.url))
    const isForm = reason === 'assertion_malformed'
    // Whoever authenticates in the body gets no 401 (RFC 6749 §5.2).
    expect(response.status).toBe(400)
    const answer = (await response.json()) as Record<string, unknown>
    expect(answer['error']).toBe(isForm ? 'invalid_request' : 'invalid_client')
    if (!isForm) expect(answer['error_description']).toBe(refusals[reason].description)
    expect(await recordOf(running, response)).toMatchObject({
      outcome: 'refused',
      reason,
      // Whose iss and sub differ speaks of somebody else.
      authentication_method: reason === 'assertion_issuer_untrusted' ? 'federated_jwt' : 'private_key_jwt',
    })
  })

  const requests: readonly (readonly [string, string, Record<string, string>, string | undefined])[] = [
    ['the client_id in the body differs', 'client_id_mismatch', { client_id: 'other' }, undefined],
    ['a secret in the body as well', 'authentication_methods_multiple', { client_secret: 'x' }, undefined],
    ['Basic as well', 'authentication_methods_multiple', {}, basic('payroll', 'x')],
    ['another type', 'authentication_method_unsupported', { client_assertion_type: 'urn:x' }, undefined],
  ]
  test.for(requests)('%s: %s', async ([, reason, parameters, authorization], { running, registered }) => {
    expect(registered).toBe(true)
    const response = await fetch(`${running.url}/token`, {
      method: 'POST',
      headers: authorization === undefined ? {} : { authorization },
      body: new URLSearchParams({
        grant_type: 'client_credentials',
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        client_assertion: from(running, keys.ec),
        ...parameters,
      }),
    })
    expect((await recordOf(running, response)).reason).toBe(reason)
  })

  test('our own access token is no assertion', async ({ running, registered }) => {
    expect(registered).toBe(true)
    const issued = await requestTokenWith(running.url, from(running, keys.ec))
    const { access_token: token } = (await issued.json()) as { access_token: string }
    const response = await requestTokenWith(running.url, token)
    expect((await recordOf(running, response)).reason).toBe('assertion_type_wrong')
  })

  test('a client that is registered for a secret, and one that is registered for keys', async ({
    running,
    registered,
  }) => {
    expect(registered).toBe(true)
    const both = await registerClient(running.database, { method: 'client_secret_basic' })
    await registerKey(running.database, both.clientId, keys.ec)
    const byKey = await requestTokenWith(running.url, from(running, keys.ec, {}, both.clientId))
    expect((await recordOf(running, byKey)).reason).toBe('authentication_method_not_registered')
    expect((await requestToken(running.url, both)).status).toBe(200)
    await running.database.query('UPDATE client SET token_endpoint_auth_method = $2 WHERE client_id = $1', [
      both.clientId,
      'private_key_jwt',
    ])
    expect((await requestToken(running.url, both)).status).toBe(401)
    await running.database.query('UPDATE client SET token_endpoint_auth_method = NULL WHERE client_id = $1', [
      both.clientId,
    ])
    expect((await requestToken(running.url, both)).status).toBe(200)
    expect((await requestTokenWith(running.url, from(running, keys.ec, {}, both.clientId))).status).toBe(200)
  })

  test('a disabled client says so in the record only, whatever it signs', async ({ running, registered }) => {
    expect(registered).toBe(true)
    const key = makeKey('ES256', 'k')
    const { clientId } = await registerKeyClient(running.database, [key], {})
    expect((await requestTokenWith(running.url, from(running, key, {}, clientId))).status).toBe(200)
    await running.database.query(`UPDATE client SET status = 'disabled' WHERE client_id = $1`, [clientId])
    const right = await requestTokenWith(running.url, from(running, key, {}, clientId))
    expect(await recordOf(running, right)).toMatchObject({
      reason: 'client_disabled',
      credential_id: key.thumbprint,
    })
    const wrong = await requestTokenWith(
      running.url,
      from(running, keys.ec, { header: { kid: 'k' } }, clientId),
    )
    expect((await recordOf(running, wrong)).reason).toBe('client_disabled')
    expect(await right.text()).toBe(await wrong.text())
  })

  test('a row that is no key, or not the key that it says', async ({ running, registered }) => {
    expect(registered).toBe(true)
    const [one, two] = [makeKey('ES256', 'one'), makeKey('ES256', 'two')]
    const { clientId } = await registerKeyClient(running.database, [{ ...one, thumbprint: two.thumbprint }])
    const swapped = await requestTokenWith(running.url, from(running, one, {}, clientId))
    expect((await recordOf(running, swapped)).reason).toBe('client_key_unusable')
    await running.database.query(
      `UPDATE client_key SET public_jwk = '{"kty":"EC","crv":"P-256","x":"AA"}' WHERE client_id = $1`,
      [clientId],
    )
    const broken = await requestTokenWith(running.url, from(running, one, {}, clientId))
    expect((await recordOf(running, broken)).reason).toBe('client_key_unusable')
  })
})

describe('a caller that names the token endpoint', () => {
  const audiences: readonly (readonly [string, (url: string) => unknown])[] = [
    ['as text', (url) => `${url}/token`],
    ['in a list', (url) => [`${url}/token`]],
    ['in a list with the issuer', (url) => [url, `${url}/token`]],
  ]
  test.for(audiences)(
    '%s is served where its client may, and counted',
    async ([, audience], { running, registered }) => {
      expect(registered).toBe(true)
      const changes = { claims: { aud: audience(running.url) } }
      const response = await requestTokenWith(running.url, from(running, keys.ec, changes, 'old'))
      expect(response.status).toBe(200)
      expect((await recordOf(running, response)).detail).toBe('{"assertion_audience":"token_endpoint"}')
    },
  )

  test('the issuer is served as before, and not counted', async ({ running, registered }) => {
    expect(registered).toBe(true)
    const response = await requestTokenWith(running.url, from(running, keys.ec, {}, 'old'))
    expect((await recordOf(running, response)).detail).toBeNull()
  })

  test('another audience is refused there too', async ({ running, registered }) => {
    expect(registered).toBe(true)
    const changes = { claims: { aud: [running.url, 'https://elsewhere.example.com'] } }
    const response = await requestTokenWith(running.url, from(running, keys.ec, changes, 'old'))
    expect((await recordOf(running, response)).reason).toBe('assertion_audience_wrong')
  })
})

describe('once', () => {
  test('an assertion gets one token', async ({ running, registered }) => {
    expect(registered).toBe(true)
    const assertion = from(running, keys.ec)
    expect((await requestTokenWith(running.url, assertion)).status).toBe(200)
    const again = await requestTokenWith(running.url, assertion)
    expect(again.status).toBe(400)
    expect(await recordOf(running, again)).toMatchObject({
      reason: 'assertion_replayed',
      credential_id: keys.ec.thumbprint,
    })
  })

  test('signed again, and with another end, it is the same', async ({ running, registered }) => {
    expect(registered).toBe(true)
    const jti = randomBytes(8).toString('hex')
    expect((await requestTokenWith(running.url, from(running, keys.ec, { claims: { jti } }))).status).toBe(
      200,
    )
    const later = from(running, keys.ec, { claims: { jti, exp: now() + 120 } })
    expect((await recordOf(running, await requestTokenWith(running.url, later))).reason).toBe(
      'assertion_replayed',
    )
  })

  test('the other signature of the same curve point is the same', async ({ running, registered }) => {
    expect(registered).toBe(true)
    const assertion = from(running, keys.ec)
    const [head, body, signature] = parts(assertion)
    const bytes = Buffer.from(signature, 'base64url')
    const order = BigInt('0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551')
    const s = order - BigInt(`0x${bytes.subarray(32).toString('hex')}`)
    const other = Buffer.concat([bytes.subarray(0, 32), Buffer.from(s.toString(16).padStart(64, '0'), 'hex')])
    expect((await requestTokenWith(running.url, assertion)).status).toBe(200)
    const malleated = await requestTokenWith(running.url, `${head}.${body}.${other.toString('base64url')}`)
    expect((await recordOf(running, malleated)).reason).toBe('assertion_replayed')
  })

  test('two clients may choose the same jti', async ({ running, registered }) => {
    expect(registered).toBe(true)
    const claims = { jti: randomBytes(8).toString('hex') }
    expect((await requestTokenWith(running.url, from(running, keys.ec, { claims }))).status).toBe(200)
    expect(
      (await requestTokenWith(running.url, from(running, keys.foreign, { claims }, 'other'))).status,
    ).toBe(200)
  })

  test('a wrong signature with the jti of somebody uses up nothing', async ({ running, registered }) => {
    expect(registered).toBe(true)
    const claims = { jti: randomBytes(8).toString('hex') }
    const forged = assertionOf({ ...keys.foreign, kid: '2027-01' }, 'payroll', running.url, { claims })
    expect((await requestTokenWith(running.url, forged)).status).toBe(400)
    expect((await requestTokenWith(running.url, from(running, keys.ec, { claims }))).status).toBe(200)
  })

  test('a request that is refused for its scope uses up nothing', async ({ running, registered }) => {
    expect(registered).toBe(true)
    const assertion = from(running, keys.ec)
    const refusedOne = await requestTokenWith(running.url, assertion, { scope: 'orders:delete' })
    expect((await recordOf(running, refusedOne)).reason).toBe('scope_not_granted')
    expect((await requestTokenWith(running.url, assertion, { resource: orders })).status).toBe(200)
  })

  test('what is kept is no jti, and who it is of cannot be seen', async ({ running, registered }) => {
    expect(registered).toBe(true)
    const jti = randomBytes(8).toString('hex')
    await requestTokenWith(running.url, from(running, keys.ec, { claims: { jti } }))
    const digest = createHash('sha256').update(`assertion 7:payroll${jti}`).digest()
    const rows = await running.database.query('SELECT * FROM spent_identifier WHERE digest = $1', [digest])
    expect(rows).toHaveLength(1)
  })
})
