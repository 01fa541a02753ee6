/** A development CA signs what others accept, and nothing else: OpenSSL and the TLS of Node judge it. */
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import tls from 'node:tls'
import { describe, expect, test } from 'vitest'
import {
  type CertificateRequest,
  issueCertificate,
  revokeCertificates,
} from '../../src/certificates/authority.ts'
import { renewCertificate } from '../../src/certificates/renewal.ts'
import {
  billing,
  both,
  codeOf,
  day,
  localhost,
  newAuthority,
  now,
  type TestAuthority,
} from '../support/authority.ts'
import { isAtHand, openssl } from '../support/openssl.ts'

/** `true`, or why the server or the client refused the connection. */
async function handshake(authority: TestAuthority, client: string | undefined, server = 'localhost') {
  const ca = authority.read('ca.crt')
  const pairOf = (name: string) => ({
    cert: authority.read(`${name}/tls.crt`),
    key: authority.read(`${name}/tls.key`),
  })
  const listener = tls.createServer({
    ...pairOf(server),
    ca,
    crl: authority.read('ca.crl'),
    requestCert: true,
    rejectUnauthorized: false,
  })
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const accepted = once(listener, 'secureConnection') as Promise<[tls.TLSSocket]>
  const socket = tls.connect({
    host: '127.0.0.1',
    port: (listener.address() as AddressInfo).port,
    ca,
    ...(client === undefined ? {} : pairOf(client)),
  })
  try {
    const refused = once(socket, 'error').then(([error]) => ({ refused: error.code }))
    const outcome = await Promise.race([refused, accepted.then(([peer]) => peer)])
    if ('refused' in outcome) return outcome.refused
    return outcome.authorized ? true : outcome.authorizationError
  } finally {
    socket.destroy()
    listener.close()
  }
}

describe('TLS of Node', () => {
  test('accepts a server and a client of one CA, each for its use only', async () => {
    const authority = await newAuthority()
    for (const request of [localhost, billing, both]) await issueCertificate(authority.context, request)
    expect(await handshake(authority, 'billing')).toBe(true)
    expect(await handshake(authority, 'both', 'both')).toBe(true)
    expect(await handshake(authority, 'localhost')).toBe('INVALID_PURPOSE')
    expect(await handshake(authority, 'both', 'billing')).toBe('INVALID_PURPOSE')
    expect(await handshake(authority, undefined)).toBe('UNABLE_TO_GET_ISSUER_CERT')
  })

  test('accepts no one of another CA, and nobody who was revoked, with the renewed ones', async () => {
    const authority = await newAuthority()
    const other = await newAuthority()
    await issueCertificate(authority.context, localhost)
    await issueCertificate(other.context, localhost)
    await issueCertificate(authority.context, billing)
    const [before, key] = [authority.read('billing/tls.crt'), authority.read('billing/tls.key')]
    await renewCertificate(authority.context, 'billing', { days: undefined, withNewKey: false })
    expect(await handshake(authority, 'billing')).toBe(true)
    const mixed = {
      ...authority,
      read: (name: string) => (name === 'ca.crt' ? other.read(name) : authority.read(name)),
    }
    expect(await handshake(mixed, 'billing')).not.toBe(true)

    const { revoked } = await revokeCertificates(authority.context, 'billing')
    expect(revoked).toHaveLength(2)
    expect(await handshake(authority, 'billing')).toBe('CERT_REVOKED')
    // The certificate that was renewed had not expired.
    const earlier = { 'billing/tls.crt': before, 'billing/tls.key': key } as Record<string, string>
    const withEarlier = { ...authority, read: (name: string) => earlier[name] ?? authority.read(name) }
    expect(await handshake(withEarlier, 'billing')).toBe('CERT_REVOKED')
  })
})

describe.skipIf(!isAtHand('openssl'))('openssl', () => {
  const verify = (
    authority: TestAuthority,
    name: string,
    purpose: string,
    ...more: readonly string[]
  ): string =>
    openssl(
      'verify',
      '-x509_strict',
      ...['-purpose', purpose, '-CAfile', authority.path('ca.crt')],
      ...['-crl_check', '-CRLfile', authority.path('ca.crl'), ...more],
      authority.path(`${name}/tls.crt`),
    )

  test('verifies certificates strictly, with the CRL, and finds what was revoked', async () => {
    const authority = await newAuthority()
    for (const request of [localhost, billing, both]) await issueCertificate(authority.context, request)
    expect(verify(authority, 'localhost', 'sslserver')).toMatch(/: OK\n$/)
    expect(verify(authority, 'billing', 'sslclient')).toMatch(/: OK\n$/)
    expect(verify(authority, 'billing', 'sslserver')).toContain('error 26')
    await revokeCertificates(authority.context, 'billing')
    expect(verify(authority, 'billing', 'sslclient')).toContain('certificate revoked')
    expect(verify(authority, 'localhost', 'sslserver')).toMatch(/: OK\n$/)
    expect(verify(authority, 'localhost', 'sslserver', '-attime', `${now + 31 * day}`)).toContain('expired')
    expect(verify(authority, 'localhost', 'sslserver', '-attime', `${now - 120}`)).toContain('not yet valid')
  })

  test('a leaf cannot sign, and the CA can sign no other CA', async () => {
    const authority = await newAuthority()
    await issueCertificate(authority.context, both)
    const below = authority.path('below.crt')
    const made = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', '/dev/null']
    const signed = [
      '-CA',
      authority.path('both/tls.crt'),
      '-CAkey',
      authority.path('both/tls.key'),
      '-out',
      below,
    ]
    openssl('req', '-x509', '-subj', '/CN=below', '-addext', 'basicConstraints=CA:FALSE', ...made, ...signed)
    const chain = ['-untrusted', authority.path('both/tls.crt')]
    expect(openssl('verify', '-CAfile', authority.path('ca.crt'), ...chain, below)).toContain(
      'invalid CA certificate',
    )
    const text = openssl(
      'x509',
      '-noout',
      '-ext',
      'basicConstraints,keyUsage',
      '-in',
      authority.path('ca.crt'),
    )
    expect(text).toMatch(/Basic Constraints: critical\n\s+CA:TRUE, pathlen:0/)
    expect(text).toMatch(/Key Usage: critical\n\s+Certificate Sign, CRL Sign/)
  })

  test('holds a CA with limits to them, and accepts what is within', async () => {
    const authority = await newAuthority(['example.org', '10.0.0.0/8'])
    const within: CertificateRequest = {
      ...both,
      name: 'orders.example.org',
      names: [
        { kind: 'dns', value: 'orders.example.org' },
        { kind: 'uri', value: 'spiffe://example.org/orders' },
        { kind: 'ip', value: '10.1.2.3' },
        { kind: 'email', value: 'orders@example.org' },
      ],
    }
    await issueCertificate(authority.context, within)
    await issueCertificate(authority.context, localhost)
    await issueCertificate(authority.context, { ...billing, name: 'plain', names: [] })
    for (const name of ['orders.example.org', 'localhost', 'plain'])
      expect(verify(authority, name, 'any'), name).toMatch(/: OK\n$/)

    const outside = [
      { ...localhost, name: 'web', names: [{ kind: 'dns', value: 'example.com' } as const] },
      { ...billing, name: 'web.example', names: [] },
    ]
    const codes = await Promise.all(outside.map((each) => codeOf(issueCertificate(authority.context, each))))
    expect(codes).toEqual(['alternative_name_not_permitted', 'name_not_permitted'])
    // Whoever steals the key is not held by the record, but by the certificate.
    const record = JSON.parse(authority.read('ca.json'))
    writeFileSync(authority.path('ca.json'), JSON.stringify({ ...record, permitted: [] }))
    for (const request of outside) {
      await issueCertificate(authority.context, request)
      expect(verify(authority, request.name, 'any')).toContain('permitted subtree violation')
    }
  })

  test('reads the CRL: signed by the CA, with a number that grows', async () => {
    const authority = await newAuthority()
    const numberOf = (): number => {
      const words = ['-noout', '-text', '-CAfile', authority.path('ca.crt')]
      const text = openssl('crl', '-in', authority.path('ca.crl'), ...words)
      expect(text).toContain('verify OK')
      return Number(/CRL Number: \n\s+(\d+)/.exec(text)?.[1])
    }
    expect(numberOf()).toBe(1)
    await issueCertificate(authority.context, billing)
    await revokeCertificates(authority.context, 'billing')
    expect(numberOf()).toBe(3)
    expect(openssl('asn1parse', '-in', authority.path('ca.crl'))).not.toMatch(/l= +0 cons: SEQUENCE/)
  })
})
