/**
 * Clients that prove themselves with the certificate of their connection (RFC 8705), over real sockets and certificates.
 *
 * Long because it is a table of what a caller can bring, with the answer and the record.
 */
import { createHash } from 'node:crypto'
import https from 'node:https'
import tls from 'node:tls'
import { decodeJwt } from 'jose'
import { describe, expect } from 'vitest'
import { listenMtls } from '../../src/http/mtls-listener.ts'
import { assertionOf, assertionType, makeKey, registerKey, type TestKey } from '../support/assertion.ts'
import { sharedTest } from '../support/fixtures.ts'
import {
  type Answer,
  type CallOptions,
  callerOf,
  connected,
  mtlsSettings,
  outcomeOf,
  recordOf,
  registerCertificateClient,
  tokenOver,
} from '../support/mtls.ts'
import { freePort } from '../support/ports.ts'
import { shiftedClock } from '../support/rotation.ts'
import { basic, orders, registerClient, startService } from '../support/service.ts'
import {
  type CertificateOptions,
  general,
  ia5,
  makeCa,
  makeCertificate,
  makeRevocationList,
  nameConstraints,
  printable,
  serverAuth,
  type TestCertificate,
  type TestName,
  usage,
} from '../support/x509.ts'

const root = makeCa('O=Test,CN=Root')
const between = makeCa('O=Test,CN=Between', { pathLength: 0 }, root)
const stranger = makeCa('O=Test,CN=Root')

/** Names of every kind. */
const names = [
  general.dns('billing.td'),
  general.uri('spiffe://td/billing'),
  general.ip(10, 0, 0, 7),
  general.email('billing@td'),
]
const subject: TestName = [[['O', 'Test']], [['OU', 'pay, roll']], [['CN', 'billing']]]
const leaf = (options: CertificateOptions = {}, issuer: TestCertificate | undefined = root) =>
  makeCertificate(issuer, { subject, names, ...options })
const named = (...own: readonly Buffer[]) => leaf({ names: own })

const fields = {
  dn: ['subject_dn', 'CN=billing,OU=pay\\, roll,O=Test'],
  dns: ['san_dns', 'billing.td'],
  uri: ['san_uri', 'spiffe://td/billing'],
  ip: ['san_ip', '10.0.0.7'],
  email: ['san_email', 'billing@td'],
} as const

const shared = sharedTest
  .extend('running', { scope: 'file' }, async ({ database }, { onCleanup }) => {
    const limits = { MINTMARK_FAILURES_PER_CLIENT_MAX: '100000', MINTMARK_FAILURES_PER_ADDRESS_MAX: '100000' }
    const running = await startService({ database, environment: { ...mtlsSettings(root), ...limits } })
    onCleanup(() => running.close())
    return running
  })
  .extend('registered', { scope: 'file' }, async ({ running: { database } }) => {
    for (const [clientId, field] of Object.entries(fields)) {
      await registerCertificateClient(database, { clientId, field })
    }
    await registerCertificateClient(database, { clientId: 'cn', field: ['subject_dn', 'CN=billing'] })
    await registerCertificateClient(database, { clientId: 'other', field: ['san_dns', 'other.td'] })
    await registerCertificateClient(database, { clientId: 'any', method: null, field: fields.dns })
    await registerClient(database, { clientId: 'secret' })
    await registerCertificateClient(database, { clientId: 'disabled', field: fields.dns })
    await database.query(`UPDATE client SET status = 'disabled' WHERE client_id = 'disabled'`)
    return true
  })

/** What becomes of a request with a certificate and a client id. */
function test(
  what: string,
  chain: readonly TestCertificate[],
  expected: string | Readonly<Record<string, string>>,
  options: CallOptions = {},
): void {
  shared(what, async ({ running, registered }) => {
    expect(registered).toBe(true)
    const { database, url } = running
    const wanted = typeof expected === 'string' ? { dns: expected } : expected
    const found: Record<string, string> = {}
    for (const clientId of Object.keys(wanted)) {
      const answer = await tokenOver(url, { client_id: clientId }, { ...callerOf(...chain), ...options })
      found[clientId] = await outcomeOf(database, answer)
      if (answer.status !== 0 && answer.status !== 200) {
        const description = 'Client authentication failed.'
        expect(answer).toMatchObject({
          status: 400,
          body: { error: 'invalid_client', error_description: description },
        })
      }
    }
    expect(found).toEqual(wanted)
  })
}

describe('a token', () => {
  const all = { dn: 'issued', dns: 'issued', uri: 'issued', ip: 'issued', email: 'issued', any: 'issued' }
  test('for each field that may name a client', [leaf()], all)
  test('over a CA between, which the caller sends', [leaf({}, between), between], 'issued')
  test('with RSA', [leaf({ key: 'rsa' })], 'issued')
  test('with Ed25519', [leaf({ key: 'ed25519' })], 'issued')
  test('over TLS 1.2', [leaf()], 'issued', { maxVersion: 'TLSv1.2' })

  shared('its record names the certificate', async ({ running, registered }) => {
    expect(registered).toBe(true)
    const own = leaf()
    const answer = await tokenOver(running.url, { client_id: 'uri' }, callerOf(own))
    expect(answer.body).toMatchObject({ token_type: 'Bearer' })
    expect(decodeJwt(String(answer.body['access_token']))['cnf']).toBeUndefined()
    const thumbprint = await crypto.subtle.digest('SHA-256', new Uint8Array(own.der))
    expect(await recordOf(running.database, answer)).toEqual({
      outcome: 'issued',
      reason: null,
      client_id: 'uri',
      authentication_method: 'tls_client_auth',
      credential_id: Buffer.from(thumbprint).toString('base64url'),
      detail: null,
    })
  })
})

describe('a refusal', () => {
  test('M-02: another CA with the same name', [leaf({}, stranger)], 'certificate_untrusted')
  test('M-02: with that CA sent along', [leaf({}, stranger), stranger], 'certificate_untrusted')
  test('of its own', [makeCertificate(undefined, { subject, names })], 'certificate_untrusted')
  test('the CA between is missing', [leaf({}, between)], 'certificate_untrusted')
  test('M-03: expired', [leaf({ until: -5 })], 'certificate_expired')
  test('M-03: not valid yet', [leaf({ from: 3_600 })], 'certificate_not_yet_valid')
  test(
    'M-07: a CA',
    [leaf({ isCa: true, keyUsage: usage.digitalSignature | usage.keyCertSign })],
    'certificate_usage_wrong',
  )
  test('for servers', [leaf({ extendedKeyUsage: [serverAuth] })], 'certificate_usage_wrong')
  test('for nothing that it says', [leaf({ extendedKeyUsage: null })], 'certificate_usage_wrong')
  test('M-08: RSA of 1024 bits', [leaf({ key: 'rsa1024' })], 'certificate_weak')
  test('M-08: SHA-1', [leaf({ digest: 'sha1' })], 'certificate_weak')
  test('M-08: version 1', [leaf({ version: 0 })], 'certificate_malformed')
  // TLS 1.3 has no signature for it, so it is not sent.
  test('M-08: DSA', [leaf({ key: 'dsa' })], 'authentication_missing')
  test(
    'M-09: a CA that may have none below it',
    ((below) => [leaf({}, below), below, between])(makeCa('CN=Below', {}, between)),
    'certificate_untrusted',
  )
  test(
    'M-09: names that the CA may not certify',
    ((limited) => [leaf({}, limited), limited])(
      makeCa('CN=Limited', { extensions: [nameConstraints('permitted', general.dns('elsewhere'))] }, root),
    ),
    'certificate_untrusted',
  )
  test(
    'M-09: CAs in a circle',
    ((a, b) => {
      const [one, two] = [makeCa('CN=A', { keyOf: a }, b), makeCa('CN=B', { keyOf: b }, a)]
      return [leaf({}, one), one, two]
    })(makeCa('CN=A'), makeCa('CN=B')),
    'certificate_untrusted',
  )
  test(
    'M-09: a hundred certificates',
    [leaf(), ...Array.from({ length: 100 }, () => between)],
    'certificate_chain_malformed',
  )
  test('M-15: NUL in a DNS name', [named(general.dns('billing.td\0.evil'))], 'certificate_malformed')
  test('M-15: NUL in the common name', [leaf({ subject: [[['CN', printable('billing\0.evil')]]] })], {
    cn: 'certificate_malformed',
  })
  test('M-18: a wildcard', [named(general.dns('*.td'))], 'certificate_subject_mismatch')
  test(
    'M-20: another client’s certificate behind its own',
    [named(general.dns('somebody.td')), leaf()],
    'certificate_subject_mismatch',
  )
  test('T-25: the certificate of another client', [leaf()], { other: 'certificate_subject_mismatch' })
  test('a client with a secret', [leaf()], { secret: 'client_has_no_certificate' })
  test('a client that is not there', [leaf()], { nobody: 'client_unknown' })
  test('a client that is disabled', [leaf()], { disabled: 'client_disabled' })
  test('a client that is disabled, and a stranger', [leaf({}, stranger)], { disabled: 'client_disabled' })
  test('no certificate', [], 'authentication_missing')

  describe('M-11: the whole subject, and in its order', () => {
    const whose = (parts: TestName) => [leaf({ subject: parts })]
    test('two common names', whose([[['O', 'Test']], [['CN', 'billing']], [['CN', 'other']]]), {
      cn: 'certificate_subject_mismatch',
    })
    test(
      'two in one part',
      whose([
        [
          ['CN', 'billing'],
          ['CN', 'other'],
        ],
      ]),
      { cn: 'certificate_subject_mismatch' },
    )
    test('the common name alone', whose([[['CN', 'billing']]]), {
      cn: 'issued',
      dn: 'certificate_subject_mismatch',
    })
    test('turned around', whose([...subject].reverse()), { dn: 'certificate_subject_mismatch' })
    test('more at its end', whose([...subject, [['UID', '1']]]), { dn: 'certificate_subject_mismatch' })
    test(
      'two parts in one',
      whose([
        [['O', 'Test']],
        [
          ['OU', 'pay, roll'],
          ['CN', 'billing'],
        ],
      ]),
      { dn: 'certificate_subject_mismatch' },
    )
    test('a comma that is one', whose([[['O', 'Test']], [['OU', 'pay']], [['CN', 'billing']]]), {
      dn: 'certificate_subject_mismatch',
    })
    test('written in it', whose([[['O', 'Test,OU=pay\\, roll,CN=billing']]]), {
      dn: 'certificate_subject_mismatch',
    })
    test('in another case', whose([[['O', 'Test']], [['OU', 'pay, roll']], [['CN', 'Billing']]]), {
      dn: 'certificate_subject_mismatch',
    })
    test(
      'in another encoding',
      whose([[['O', printable('Test')]], [['OU', 'pay, roll']], [['CN', printable('billing')]]]),
      { dn: 'issued' },
    )
  })

  describe('M-16: the right text in the wrong place', () => {
    const everywhere = (text: string) => [
      leaf({
        subject: [[['CN', text]], [['emailAddress', ia5(text)]]],
        names: [general.other('1.3.6.1.4.1.311.20.2.3', text), general.directory([[['CN', text]]])],
      }),
    ]
    const wrong = 'certificate_subject_mismatch'
    test('a DNS name', everywhere('billing.td'), { dns: wrong })
    test('a URI', everywhere('spiffe://td/billing'), { uri: wrong })
    test('an address', everywhere('10.0.0.7'), { ip: wrong })
    test('an e-mail address', everywhere('billing@td'), { email: wrong })
    test(
      'a DNS name as a URI or an e-mail address',
      [named(general.uri('billing.td'), general.email('billing.td'))],
      { dns: wrong },
    )
    test('a URI as a DNS name', [named(general.dns('spiffe://td/billing'))], { uri: wrong })
    test('an address as a DNS name or a URI', [named(general.dns('10.0.0.7'), general.uri('10.0.0.7'))], {
      ip: wrong,
    })
    test('an address of IPv4 within IPv6', [named(general.ip(...Array(10).fill(0), 255, 255, 10, 0, 0, 7))], {
      ip: wrong,
    })
    test('two names in one', [named(general.dns('a.td'), general.uri('urn:a,%20DNS:billing.td'))], {
      dns: wrong,
    })
  })

  describe('M-17: SPIFFE IDs', () => {
    const wrong = { uri: 'certificate_subject_mismatch' }
    for (const uri of [
      'spiffe://other/billing',
      'spiffe://TD/billing',
      'SPIFFE://td/billing',
      'spiffe://td:443/billing',
      'spiffe://td/billing?x=1',
      'spiffe://td/billing#x',
      'spiffe://td/x/../billing',
      'spiffe://td/%62illing',
      'spiffe://td/billing%2e',
      'spiffe://td/billing/',
      'spiffe://td//billing',
      'spiffe://user@td/billing',
      'spiffe://td/Billing',
    ]) {
      test(uri, [named(general.uri(uri))], wrong)
    }
    test('two', [named(general.uri('spiffe://td/billing'), general.uri('spiffe://td/other'))], wrong)
    test('and another URI', [named(general.uri('spiffe://td/billing'), general.uri('https://td'))], wrong)
    test(
      'twice the same',
      [named(general.uri('spiffe://td/billing'), general.uri('spiffe://td/billing'))],
      wrong,
    )
    test('none', [named(general.dns('td'))], wrong)
  })
})

describe('the connection', () => {
  shared('M-10: without the key of the certificate there is none', async ({ running }) => {
    const own = leaf()
    // Node refuses a pair that does not belong together, so the key is changed in the certificate.
    const mixed = leaf({ keyOf: { ...own, publicKey: leaf().publicKey } })
    expect(() => tls.createSecureContext({ cert: mixed.pem, key: own.keyPem })).toThrow(/mismatch/)
    const answer = await tokenOver(
      running.url,
      { client_id: 'dns' },
      { cert: own.pem, key: leaf().keyPem },
    ).catch((error: Error) => error.message)
    expect(answer).toMatch(/mismatch/)
  })

  shared(
    'M-31, M-32: no session is resumed, so each connection has the certificate that it shows',
    async ({ running, registered }) => {
      expect(registered).toBe(true)
      const { database, url } = running
      for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
        const first = await connected(url, { ...callerOf(leaf()), maxVersion })
        const session = await new Promise<Buffer>((resolve) => {
          first.once('session', resolve)
          first.write('GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n')
          first.once('data', () => setTimeout(() => resolve(first.getSession() as Buffer), 50))
        })
        first.destroy()
        const resumed = await connected(url, { session, maxVersion })
        expect(resumed.isSessionReused()).toBe(false)
        resumed.destroy()
        const without = await tokenOver(url, { client_id: 'dns' }, { session, maxVersion })
        expect(await outcomeOf(database, without)).toBe('authentication_missing')
        const other = await tokenOver(
          url,
          { client_id: 'dns' },
          { session, maxVersion, ...callerOf(named(general.dns('other.td'))) },
        )
        expect(await outcomeOf(database, other)).toBe('certificate_subject_mismatch')
      }
    },
  )

  shared('M-34: nothing is negotiated again', async ({ running }) => {
    const socket = await connected(running.url, { ...callerOf(leaf()), maxVersion: 'TLSv1.2' })
    const refused = new Promise((resolve) => {
      socket.once('error', (error) => resolve(`an alert: ${error.message}`))
      socket.once('close', () => resolve('closed'))
      socket.renegotiate({ rejectUnauthorized: false }, (error) =>
        resolve(error === null ? 'negotiated' : 'refused'),
      )
    })
    expect(await refused).not.toBe('negotiated')
    socket.destroy()
  })

  shared('the handshake names no CA, so that callers send what they have', async ({ running }) => {
    const socket = await connected(running.url, callerOf(makeCertificate(undefined, { subject: 'CN=own' })))
    expect(socket.authorizationError).not.toBe('')
    const answer = await tokenOver(
      running.url,
      { client_id: 'dns' },
      callerOf(makeCertificate(undefined, { subject: 'CN=own' })),
    )
    expect(await outcomeOf(running.database, answer)).toBe('certificate_untrusted')
    socket.destroy()
  })

  shared('a certificate beside another credential is no second method', async ({ running }) => {
    const client = await registerClient(running.database, {})
    const headers = { authorization: basic(client.clientId, client.secret) }
    for (const chain of [[leaf()], [leaf({}, stranger)], [leaf({ until: -5 })]]) {
      const answer = await tokenOver(running.url, {}, { ...callerOf(...chain), headers })
      expect(await outcomeOf(running.database, answer)).toBe('issued')
    }
  })

  shared('the metadata offers it (RFC 8705 §3.3)', async ({ running }) => {
    const socket = await connected(running.url, {})
    socket.write(
      'GET /.well-known/oauth-authorization-server HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n',
    )
    let text = ''
    for await (const chunk of socket) text += String(chunk)
    const metadata = JSON.parse(text.slice(text.indexOf('{'), text.lastIndexOf('}') + 1))
    expect(metadata).toMatchObject({
      token_endpoint_auth_methods_supported: [
        'client_secret_basic',
        'client_secret_post',
        'private_key_jwt',
        'tls_client_auth',
        'self_signed_tls_client_auth',
      ],
      tls_client_certificate_bound_access_tokens: true,
    })
    expect(metadata).not.toHaveProperty('mtls_endpoint_aliases')
  })
})

describe('a key that the client is registered with (RFC 8705 §2.2)', () => {
  const own = makeCertificate(undefined, { subject: 'CN=mine', isCa: true })
  const keyOf = (certificate: TestCertificate, kid: string): TestKey => {
    const publicJwk = certificate.publicKey.export({ format: 'jwk' }) as Record<string, string>
    const { kty, crv, x, y } = publicJwk
    const { thumbprint: _, ...key } = makeKey('ES256', kid)
    const text = JSON.stringify({ crv, kty, x, y })
    const thumbprint = createHash('sha256').update(text).digest('base64url')
    return { ...key, publicJwk, thumbprint, privateKey: certificate.privateKey }
  }

  shared('whoever signed it, and however', async ({ running, registered }) => {
    expect(registered).toBe(true)
    const { database, url } = running
    const method = 'self_signed_tls_client_auth'
    const { clientId } = await registerCertificateClient(database, { method, clientId: 'selfsigned' })
    const outcome = async (...chain: readonly TestCertificate[]) =>
      outcomeOf(database, await tokenOver(url, { client_id: clientId }, callerOf(...chain)))
    expect(await outcome(own)).toBe('client_has_no_key')
    const key = keyOf(own, 'mine')
    await registerKey(database, clientId, key)
    expect(await outcome(own)).toBe('issued')
    expect(await outcome(makeCertificate(undefined, { subject: 'CN=again', keyOf: own }))).toBe('issued')
    expect(await outcome(leaf({ keyOf: own }))).toBe('issued')
    // M-21: the same name and another key.
    expect(await outcome(makeCertificate(undefined, { subject: 'CN=mine' }))).toBe('certificate_key_unknown')
    expect(await outcome(leaf())).toBe('certificate_key_unknown')
    expect(await outcome(leaf(), own)).toBe('certificate_key_unknown')
    expect(await outcome(makeCertificate(undefined, { subject: 'CN=mine', keyOf: own, until: -5 }))).toBe(
      'certificate_expired',
    )
    expect(await outcome(makeCertificate(undefined, { subject: 'CN=mine', keyOf: own, from: 60 }))).toBe(
      'certificate_not_yet_valid',
    )
    const answer = await tokenOver(url, { client_id: clientId }, callerOf(own))
    expect(await recordOf(database, answer)).toMatchObject({
      authentication_method: method,
      outcome: 'issued',
    })
    await database.query('UPDATE client_key SET revoked_at = now() WHERE thumbprint = $1', [key.thumbprint])
    expect(await outcome(own)).toBe('client_key_revoked')
  })

  shared('a client of the one kind does not get by with the other', async ({ running, registered }) => {
    expect(registered).toBe(true)
    const { database, url } = running
    const jwt = await registerCertificateClient(database, { method: 'private_key_jwt' })
    await database.query('DELETE FROM client_secret WHERE client_id = $1', [jwt.clientId])
    await registerKey(database, jwt.clientId, keyOf(own, 'mine'))
    const answer = await tokenOver(url, { client_id: jwt.clientId }, callerOf(own))
    expect(await outcomeOf(database, answer)).toBe('client_has_no_certificate')
    // Its method is asked for as well, where a certificate names it.
    const named_ = await registerCertificateClient(database, {
      method: 'client_secret_basic',
      field: fields.dns,
    })
    const other = await tokenOver(url, { client_id: named_.clientId }, callerOf(leaf()))
    expect(await outcomeOf(database, other)).toBe('authentication_method_not_registered')
  })
})

describe('a certificate in addition', () => {
  shared('to a secret: this machine, and this service', async ({ running, registered }) => {
    expect(registered).toBe(true)
    const { database, url } = running
    const client = await registerCertificateClient(database, { method: null, required: fields.uri })
    const headers = { authorization: basic(client.clientId, client.secret) }
    const outcome = async (chain: readonly TestCertificate[], more: CallOptions = { headers }) =>
      outcomeOf(database, await tokenOver(url, {}, { ...callerOf(...chain), ...more }))
    expect(await outcome([leaf()])).toBe('issued')
    expect(await outcome([])).toBe('certificate_missing')
    expect(await outcome([named(general.uri('spiffe://td/other'))])).toBe('certificate_subject_mismatch')
    expect(await outcome([leaf({}, stranger)])).toBe('certificate_untrusted')
    expect(await outcome([leaf({ until: -5 })])).toBe('certificate_expired')
    const wrong = { headers: { authorization: basic(client.clientId, `${client.secret.slice(0, -1)}_`) } }
    expect(await outcome([leaf()], wrong)).toMatch(/^secret_/)
    // The certificate alone is not enough.
    const alone = await tokenOver(url, { client_id: client.clientId }, callerOf(leaf()))
    expect(await outcomeOf(database, alone)).toBe('client_has_no_certificate')
    const answer = await tokenOver(url, {}, { ...callerOf(leaf()), headers })
    const record = await recordOf(database, answer)
    expect(record).toMatchObject({
      credential_id: client.secretId,
      authentication_method: 'client_secret_basic',
    })
    expect(JSON.parse(record?.detail ?? '')).toEqual({ certificate: expect.stringMatching(/^[\w-]{43}$/) })
  })

  shared('to an assertion, which is not used up by a refusal', async ({ running, registered }) => {
    expect(registered).toBe(true)
    const { database, url } = running
    const { clientId } = await registerCertificateClient(database, {
      method: 'private_key_jwt',
      required: fields.dns,
    })
    const key = makeKey('ES256', 'k')
    await registerKey(database, clientId, key)
    const assertion = {
      client_assertion_type: assertionType,
      client_assertion: assertionOf(key, clientId, url.replace('http:', 'https:')),
    }
    const outcome = async (chain: readonly TestCertificate[]) =>
      outcomeOf(database, await tokenOver(url, assertion, callerOf(...chain)))
    expect(await outcome([])).toBe('certificate_missing')
    expect(await outcome([leaf()])).toBe('issued')
    expect(await outcome([leaf()])).toBe('assertion_replayed')
  })

  shared('tokens are bound to it (RFC 8705 §3)', async ({ running, registered }) => {
    expect(registered).toBe(true)
    const { database, url } = running
    const own = leaf({}, stranger)
    const thumbprint = async ({ der }: TestCertificate) =>
      Buffer.from(await crypto.subtle.digest('SHA-256', new Uint8Array(der))).toString('base64url')
    const client = await registerCertificateClient(database, { method: null, bound: true })
    const headers = { authorization: basic(client.clientId, client.secret) }
    const claims = ({ body }: Answer) => decodeJwt(String(body['access_token']))
    const answer = await tokenOver(url, {}, { ...callerOf(own), headers })
    expect(claims(answer)['cnf']).toEqual({ 'x5t#S256': await thumbprint(own) })
    expect(await outcomeOf(database, await tokenOver(url, {}, { headers }))).toBe('certificate_missing')
    const byCertificate = await registerCertificateClient(database, { field: fields.dn, bound: true })
    const trusted = leaf()
    const bound = await tokenOver(url, { client_id: byCertificate.clientId }, callerOf(trusted))
    expect(claims(bound)['cnf']).toEqual({ 'x5t#S256': await thumbprint(trusted) })
  })
})

describe('a service of its own', () => {
  shared(
    'M-30: a certificate that expires on an open connection counts no longer from that second',
    async ({ database }) => {
      const { clock, jump } = shiftedClock()
      const running = await startService({ database, environment: mtlsSettings(root), clock })
      const { clientId } = await registerCertificateClient(database, { field: fields.dns })
      const agent = new https.Agent({ keepAlive: true, maxSockets: 1, ...callerOf(leaf({ until: 8 })) })
      const outcome = async () =>
        outcomeOf(database, await tokenOver(running.url, { client_id: clientId }, { agent }))
      expect(await outcome()).toBe('issued')
      // The clock may be ahead by so much, and not jump by more at once.
      jump(4)
      expect(await outcome()).toBe('issued')
      jump(4)
      expect(await outcome()).toBe('certificate_expired')
      const { sockets, freeSockets } = agent
      expect(Object.values(freeSockets).flat().length + Object.values(sockets).flat().length).toBe(1)
      agent.destroy()
      await running.close()
    },
  )

  shared(
    'the gate: no request without a certificate of the CA, whatever else it brings',
    async ({ database }) => {
      const environment = { ...mtlsSettings(root), MINTMARK_REQUIRE_CLIENT_CERTIFICATE: 'yes' }
      const running = await startService({ database, environment })
      const client = await registerClient(database, {})
      const byCertificate = await registerCertificateClient(database, { field: fields.dns })
      const headers = { authorization: basic(client.clientId, client.secret) }
      const outcome = async (
        chain: readonly TestCertificate[],
        more: Record<string, string> = {},
        with_ = headers,
      ) => outcomeOf(database, await tokenOver(running.url, more, { ...callerOf(...chain), headers: with_ }))
      expect(await outcome([leaf()])).toBe('issued')
      expect(await outcome([named()])).toBe('issued')
      expect(await outcome([])).toBe('certificate_missing')
      expect(await outcome([leaf({}, stranger)])).toBe('certificate_untrusted')
      expect(await outcome([leaf({ until: -5 })])).toBe('certificate_expired')
      expect(await outcome([leaf({ extendedKeyUsage: [serverAuth] })])).toBe('certificate_usage_wrong')
      const none = {} as typeof headers
      expect(await outcome([leaf()], { client_id: byCertificate.clientId }, none)).toBe('issued')
      expect(await outcome([leaf({}, stranger)], { client_id: byCertificate.clientId }, none)).toBe(
        'certificate_untrusted',
      )
      const answer = await tokenOver(running.url, {}, { ...callerOf(leaf()), headers })
      const { detail } = (await recordOf(database, answer)) ?? {}
      expect(JSON.parse(detail ?? '')).toEqual({ certificate: expect.stringMatching(/^[\w-]{43}$/) })
      // Guesses do not get far enough to be counted.
      expect(await outcome([], {}, { authorization: basic('nobody', client.secret) })).toBe(
        'certificate_missing',
      )
      await running.close()
    },
  )

  shared('M-40: CAs or lists that cannot be used stop the start', async ({ database }) => {
    for (const [name, text] of [
      ['MINTMARK_TLS_CLIENT_CA', root.pem.slice(0, -40)],
      ['MINTMARK_TLS_CLIENT_CA', leaf().pem],
      ['MINTMARK_TLS_CLIENT_CRL', makeRevocationList(root, []).slice(0, -40)],
    ] as const) {
      const environment = { ...mtlsSettings(root), [name]: text }
      await expect(startService({ database, environment })).rejects.toThrow(`${name}: cannot be used: it has`)
    }
  })

  shared('a second listener asks, and the first one does not', async ({ database }) => {
    const port = await freePort()
    const environment = { ...mtlsSettings(root), MINTMARK_MTLS_PORT: String(port) }
    const running = await startService({ database, environment })
    const { app } = running.service
    if (app.mtlsServer === undefined) throw new Error('there is no second listener')
    await listenMtls(app.mtlsServer, '127.0.0.1', port)
    const { clientId } = await registerCertificateClient(database, { field: fields.dns })
    const outcome = async (url: string) =>
      outcomeOf(database, await tokenOver(url, { client_id: clientId }, callerOf(leaf())))
    expect(await outcome(running.url)).toBe('authentication_missing')
    expect(await outcome(`https://127.0.0.1:${port}`)).toBe('issued')
    const plain = await connected(running.url, {})
    plain.write(
      'GET /.well-known/oauth-authorization-server HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
    )
    let text = ''
    for await (const chunk of plain) text += String(chunk)
    expect(text).toContain(`"mtls_endpoint_aliases":{"token_endpoint":"https://127.0.0.1:${port}/token"}`)
    const held = await connected(`https://127.0.0.1:${port}`, {})
    const ended = new Promise((resolve) => held.once('close', resolve))
    held.resume()
    await running.close()
    await ended
    await expect(connected(`https://127.0.0.1:${port}`, {})).rejects.toThrow(/ECONNREFUSED/)
  })

  shared('a revocation list that is too old refuses, and readiness warns of it', async ({ database }) => {
    const environment = {
      ...mtlsSettings(root),
      MINTMARK_TLS_CLIENT_CRL: makeRevocationList(root, [], { until: -5 }),
    }
    const running = await startService({ database, environment })
    const { clientId } = await registerCertificateClient(database, { field: fields.dns })
    const outcome = async () =>
      outcomeOf(database, await tokenOver(running.url, { client_id: clientId }, callerOf(leaf())))
    const warnings = async () => {
      const socket = await connected(running.url, {})
      socket.write('GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
      let text = ''
      for await (const chunk of socket) text += String(chunk)
      return text.slice(text.indexOf('{'))
    }
    expect(await outcome()).toBe('certificate_revocation_unknown')
    expect(await warnings()).toContain('client_revocation_list_old')
    const revocationLists = makeRevocationList(root, [])
    running.service.replaceTls({ tls: undefined, clientTrust: { authorities: root.pem, revocationLists } })
    expect(await outcome()).toBe('issued')
    expect(await warnings()).not.toContain('client_revocation_list_old')
    await running.close()
  })

  shared('another CA counts on open connections at once', async ({ database }) => {
    const next = makeCa('O=Test,CN=Next')
    const running = await startService({ database, environment: mtlsSettings(root) })
    const { clientId } = await registerCertificateClient(database, {
      field: fields.dns,
      access: { [orders]: [] },
    })
    const callers = [root, next].map((ca) => new https.Agent({ keepAlive: true, ...callerOf(leaf({}, ca)) }))
    const outcomes = () =>
      Promise.all(
        callers.map(async (agent) =>
          outcomeOf(database, await tokenOver(running.url, { client_id: clientId }, { agent })),
        ),
      )
    const trust = (...authorities: readonly TestCertificate[]) =>
      running.service.replaceTls({
        tls: undefined,
        clientTrust: { authorities: authorities.map(({ pem }) => pem).join(''), revocationLists: undefined },
      })
    expect(await outcomes()).toEqual(['issued', 'certificate_untrusted'])
    trust(root, next)
    expect(await outcomes()).toEqual(['issued', 'issued'])
    trust(next)
    expect(await outcomes()).toEqual(['certificate_untrusted', 'issued'])
    expect(() => trust(leaf())).toThrow(
      /^MINTMARK_TLS_CLIENT_CA: cannot be used: it has as its block 1 .* no CA/,
    )
    expect(await outcomes()).toEqual(['certificate_untrusted', 'issued'])
    for (const agent of callers) agent.destroy()
    await running.close()
  })
})
