/**
 * The certificate of a caller in the header of a proxy: believed from the proxy that proved itself, judged again, and
 * refused with a record from everybody else. The forms of the headers are in test/http/certificate-header.test.ts.
 */
import { createHash } from 'node:crypto'
import { decodeJwt } from 'jose'
import { describe, expect, test as plain } from 'vitest'
import { sharedTest } from '../support/fixtures.ts'
import {
  type CallOptions,
  callerOf,
  mtlsSettings,
  outcomeOf,
  recordOf,
  registerCertificateClient,
  tokenOver,
} from '../support/mtls.ts'
import { basic, registerClient, startService } from '../support/service.ts'
import {
  type CertificateOptions,
  general,
  makeCa,
  makeCertificate,
  makeRevocationList,
  serverAuth,
  type TestCertificate,
} from '../support/x509.ts'

const root = makeCa('O=Test,CN=Root')
const between = makeCa('O=Test,CN=Between', { pathLength: 0 }, root)
const stranger = makeCa('O=Test,CN=Root')
const leaf = (options: CertificateOptions = {}, issuer: TestCertificate | undefined = root) =>
  makeCertificate(issuer, { subject: 'CN=billing', names: [general.dns('billing.td')], ...options })
const front = (options: CertificateOptions = {}, issuer: TestCertificate | undefined = root) =>
  makeCertificate(issuer, { subject: 'CN=front', names: [general.uri('spiffe://td/front')], ...options })

const pinned = front({ names: [] }, stranger)
const outdated = front({ names: [], until: -5 }, stranger)
const selfSigned = makeCertificate(undefined, {
  subject: 'CN=front',
  names: [general.uri('spiffe://td/front')],
})
const hex = ({ der }: TestCertificate) => createHash('sha256').update(der).digest('hex')
const thumbprint = ({ der }: TestCertificate) => createHash('sha256').update(der).digest('base64url')
const colons = (text: string) => text.toUpperCase().replace(/..(?!$)/g, '$&:')

const proxySettings = {
  MINTMARK_CLIENT_CERTIFICATE_HEADER: 'rfc9440',
  MINTMARK_CLIENT_CERTIFICATE_PROXY: `uri:spiffe://td/front,sha256:${hex(pinned)}, sha256:${colons(hex(outdated))}`,
}

const headerOf = (...chain: readonly TestCertificate[]): Record<string, string> => {
  const [own, ...more] = chain.map(({ der }) => `:${der.toString('base64')}:`)
  if (own === undefined) return {}
  return more.length === 0
    ? { 'client-cert': own }
    : { 'client-cert': own, 'client-cert-chain': more.join(', ') }
}

const shared = sharedTest
  .extend('running', { scope: 'file' }, async ({ database }, { onCleanup }) => {
    const limits = { MINTMARK_FAILURES_PER_CLIENT_MAX: '100000', MINTMARK_FAILURES_PER_ADDRESS_MAX: '100000' }
    const environment = { ...mtlsSettings(root), ...limits, ...proxySettings }
    const running = await startService({ database, environment })
    onCleanup(() => running.close())
    await registerCertificateClient(database, { clientId: 'dns', field: ['san_dns', 'billing.td'] })
    await registerCertificateClient(database, { clientId: 'front', field: ['san_uri', 'spiffe://td/front'] })
    return running
  })
  .extend('outcome', { scope: 'file' }, async ({ running: { database, url } }) => {
    return async (
      connection: readonly TestCertificate[],
      headers: CallOptions['headers'],
      clientId = 'dns',
    ) => {
      const more = headers === undefined ? {} : { headers }
      const answer = await tokenOver(url, { client_id: clientId }, { ...callerOf(...connection), ...more })
      return outcomeOf(database, answer)
    }
  })

function test(
  what: string,
  connection: readonly TestCertificate[],
  headers: Readonly<Record<string, string>>,
  expected: string,
  clientId?: string,
): void {
  shared(what, async ({ outcome }) => {
    expect(await outcome(connection, headers, clientId)).toBe(expected)
  })
}

describe('the proxy that proved itself', () => {
  test('by a name', [front()], headerOf(leaf()), 'issued')
  test('by a name, over a CA between', [front({}, between), between], headerOf(leaf()), 'issued')
  test('by its fingerprint, whoever issued it', [pinned], headerOf(leaf()), 'issued')
  test('passes on a chain', [pinned], headerOf(leaf({}, between), between), 'issued')
  test('has a caller without a certificate', [pinned], {}, 'authentication_missing')
  test('and is no client itself', [front()], {}, 'authentication_missing', 'front')
  test('also where it sends its own', [pinned], headerOf(front()), 'issued', 'front')
  test('callers may come without it', [leaf()], {}, 'issued')
})

describe('is no proxy', () => {
  const header = headerOf(leaf())
  const refused = 'certificate_header_untrusted'
  test('who has no certificate', [], header, refused)
  test('who has one of its own', [leaf()], header, refused)
  test(
    'who has one of its own, of another client',
    [leaf({ names: [general.dns('other.td')] })],
    header,
    refused,
  )
  test('a name that nobody signed', [selfSigned], header, refused)
  test('a name that another CA signed', [front({}, stranger)], header, refused)
  test(
    'a name among others',
    [front({ names: [general.uri('spiffe://td/front'), general.uri('a:b')] })],
    header,
    refused,
  )
  test('the name as another kind', [front({ names: [general.dns('spiffe://td/front')] })], header, refused)
  test('a name in a certificate that has expired', [front({ until: -5 })], header, refused)
  test('a name in a certificate for servers', [front({ extendedKeyUsage: [serverAuth] })], header, refused)
  test('a fingerprint whose certificate has expired', [outdated], header, refused)
  test(
    'another certificate with the same key',
    [front({ names: [], keyOf: pinned }, stranger)],
    header,
    refused,
  )
  test('the certificate only sent along', [leaf(), pinned], header, refused)
  test('who has no certificate, with another form', [], { 'x-forwarded-client-cert': 'Hash=a' }, refused)
  test('who has no certificate, with another spelling', [], { client_cert: 'a' }, refused)
  test('its certificate is nobody, also when it has expired', [outdated], {}, 'authentication_missing')
})

describe('what the proxy says is judged as if the caller had connected', () => {
  const by = (what: string, chain: readonly TestCertificate[], expected: string) =>
    test(what, [pinned], headerOf(...chain), expected)
  by('its CA', [leaf({}, stranger)], 'certificate_untrusted')
  by('a CA between is missing', [leaf({}, between)], 'certificate_untrusted')
  by('its time', [leaf({ until: -5 })], 'certificate_expired')
  by('its beginning', [leaf({ from: 60 })], 'certificate_not_yet_valid')
  by('its use', [leaf({ extendedKeyUsage: [serverAuth] })], 'certificate_usage_wrong')
  by('its strength', [leaf({ key: 'rsa1024' })], 'certificate_weak')
  by('its name', [leaf({ names: [general.dns('other.td')] })], 'certificate_subject_mismatch')
  test('its form', [pinned], { 'client-cert': ':MAA=:' }, 'certificate_malformed')
  test('its spelling', [pinned], { 'client-cert': 'MAA=' }, 'certificate_header_malformed')
  test('an underscore', [pinned], { ...headerOf(leaf()), client_cert: 'a' }, 'certificate_header_unexpected')
})

shared(
  'the record says whose connection it was, and the answer says the same to all',
  async ({ running }) => {
    const { database, url } = running
    const parameters = { client_id: 'dns' }
    const own = leaf()
    const answers = [
      await tokenOver(url, parameters, { ...callerOf(own), headers: headerOf(leaf()) }),
      await tokenOver(url, parameters, { ...callerOf(pinned), headers: { 'client-cert': 'a' } }),
      await tokenOver(url, parameters, { ...callerOf(pinned), headers: { client_cert: 'a' } }),
    ]
    for (const { status, body } of answers)
      expect({ status, body }).toEqual({
        status: 400,
        body: {
          error: 'invalid_request',
          error_description: 'The request has a header that is not accepted from this caller.',
        },
      })
    expect(await recordOf(database, answers[0] as (typeof answers)[0])).toMatchObject({
      reason: 'certificate_header_untrusted',
      credential_id: thumbprint(own),
    })
  },
)

shared('a header twice is refused: the proxy added its own', async ({ running }) => {
  const { database, url } = running
  const value = headerOf(leaf())['client-cert'] as string
  const headers = { 'client-cert': [value, value] } as unknown as Record<string, string>
  const answer = await tokenOver(url, { client_id: 'dns' }, { ...callerOf(pinned), headers })
  expect(await outcomeOf(database, answer)).toBe('certificate_header_repeated')
})

shared('it counts in addition to a secret, and tokens are bound to it', async ({ running }) => {
  const { database, url } = running
  const client = await registerCertificateClient(database, {
    method: null,
    required: ['san_dns', 'billing.td'],
    bound: true,
  })
  const headers = { authorization: basic(client.clientId, client.secret) }
  const ask = (chain: readonly TestCertificate[]) =>
    tokenOver(url, {}, { ...callerOf(pinned), headers: { ...headers, ...headerOf(...chain) } })
  const own = leaf()
  const answer = await ask([own])
  expect(decodeJwt(String(answer.body['access_token']))).toMatchObject({
    cnf: { 'x5t#S256': thumbprint(own) },
  })
  expect(await outcomeOf(database, await ask([]))).toBe('certificate_missing')
  expect(await outcomeOf(database, await ask([leaf({}, stranger)]))).toBe('certificate_untrusted')
})

shared('the gate and the revocation list hold for it', async ({ database }) => {
  const revoked = leaf()
  const environment = {
    ...mtlsSettings(root),
    ...proxySettings,
    MINTMARK_REQUIRE_CLIENT_CERTIFICATE: 'yes',
    MINTMARK_TLS_CLIENT_CRL: makeRevocationList(root, [revoked]),
  }
  const { url, close } = await startService({ database, environment })
  const client = await registerClient(database, {})
  const outcome = async (chain: readonly TestCertificate[]) => {
    const headers = { authorization: basic(client.clientId, client.secret), ...headerOf(...chain) }
    return outcomeOf(database, await tokenOver(url, {}, { ...callerOf(pinned), headers }))
  }
  expect(await outcome([leaf()])).toBe('issued')
  expect(await outcome([])).toBe('certificate_missing')
  expect(await outcome([revoked])).toBe('certificate_revoked')
  await close()
})

shared('without the setting no header counts, and nobody is refused for one', async ({ database }) => {
  const { url, close } = await startService({ database, environment: mtlsSettings(root) })
  for (const headers of [
    headerOf(leaf()),
    { 'ssl-client-cert': 'a' },
    { 'x-forwarded-client-cert': 'Hash=a' },
  ]) {
    const answer = await tokenOver(url, { client_id: 'dns' }, { ...callerOf(pinned), headers })
    expect(await outcomeOf(database, answer)).not.toMatch(/issued|header/)
  }
  await close()
})

plain('a name of the proxy that no certificate can have stops the start', async () => {
  const environment = {
    ...mtlsSettings(root),
    ...proxySettings,
    MINTMARK_CLIENT_CERTIFICATE_PROXY: 'uri:spiffe://td',
  }
  await expect(startService({ environment })).rejects.toThrow(
    /^MINTMARK_CLIENT_CERTIFICATE_PROXY: .* SPIFFE ID/,
  )
})
