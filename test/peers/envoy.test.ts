/** A real Envoy in front, which ends TLS and passes the certificate of its caller on, set up as the guide says. */
import { readFileSync } from 'node:fs'
import { describe, expect } from 'vitest'
import { command } from '../support/command.ts'
import { findEnvoy, openEnvoy } from '../support/envoy.ts'
import { sharedTest } from '../support/fixtures.ts'
import {
  type CallOptions,
  callerOf,
  mtlsSettings,
  outcomeOf,
  registerCertificateClient,
  tokenOver,
} from '../support/mtls.ts'
import { environmentOf, root as repository } from '../support/process.ts'
import { startService } from '../support/service.ts'
import { general, makeCa, makeCertificate, type TestCertificate } from '../support/x509.ts'

const envoy = findEnvoy()

const root = makeCa('O=Test,CN=Root')
const between = makeCa('O=Test,CN=Between', {}, root)
const stranger = makeCa('O=Test,CN=Root')
const leaf = (issuer = root, more = {}) =>
  makeCertificate(issuer, { subject: 'CN=billing', names: [general.dns('billing.td')], ...more })
const front = makeCertificate(root, { subject: 'CN=front', names: [general.uri('spiffe://td/front')] })
const settings = mtlsSettings(root)

const guide = readFileSync(`${repository}docs/guides/mtls.md`, 'utf8')
const configuration = /<!-- envoy -->\n```yaml\n([\s\S]*?)```/.exec(guide)?.[1] ?? ''

const files = {
  'tls.crt': settings['MINTMARK_TLS_CERTIFICATE'] ?? '',
  'tls.key': settings['MINTMARK_TLS_PRIVATE_KEY'] ?? '',
  'mintmark-ca.crt': settings['MINTMARK_TLS_CERTIFICATE'] ?? '',
  'client-ca.crt': root.pem,
  'front.crt': front.pem,
  'front.key': front.keyPem,
}

/** The configuration of the guide, on this machine. */
const configured =
  (serviceUrl: string, change: (text: string) => string) =>
  (port: number, directory: string): string =>
    change(configuration)
      .replace('address: 0.0.0.0, port_value: 443', `address: 127.0.0.1, port_value: ${port}`)
      .replace(
        'address: mintmark.internal, port_value: 8080',
        `address: 127.0.0.1, port_value: ${new URL(serviceUrl).port}`,
      )
      .replaceAll('mintmark.internal', 'localhost')
      .replaceAll('/etc/envoy/', `${directory}/`)

const test = sharedTest.extend('open', async ({ database }, { onCleanup }) => {
  const opened: { close(): Promise<void> }[] = []
  onCleanup(async () => {
    for (const each of opened.reverse()) await each.close()
  })
  return async (change = (text: string) => text) => {
    if (!('program' in envoy)) throw new Error(envoy.missing)
    const running = await startService({
      database,
      environment: {
        ...settings,
        MINTMARK_CLIENT_CERTIFICATE_HEADER: 'xfcc',
        MINTMARK_CLIENT_CERTIFICATE_PROXY: 'uri:spiffe://td/front',
      },
    })
    opened.push(running)
    const proxy = await openEnvoy(envoy.program, files, configured(running.url, change))
    opened.push(proxy)
    const { clientId } = await registerCertificateClient(database, { field: ['san_dns', 'billing.td'] })
    const outcome = async (chain: readonly TestCertificate[], more: CallOptions = {}) =>
      outcomeOf(
        database,
        await tokenOver(proxy.url, { client_id: clientId }, { ...callerOf(...chain), ...more }),
      )
    const check = () =>
      command(environmentOf(database.url), 'proxy', 'check', proxy.url, '--ca', proxy.path('tls.crt'))
    return { outcome, check }
  }
})

test.runIf('missing' in envoy)(
  `NOT TESTED: Envoy, because ${'missing' in envoy ? envoy.missing : ''}`,
  () => {},
)

const forged = `Hash=${'0'.repeat(64)};Cert="${encodeURIComponent(leaf().pem)}"`

describe.runIf('program' in envoy)('Envoy', () => {
  test('a token for the certificate of the caller, and for no other', async ({ open }) => {
    const { outcome } = await open()
    expect(await outcome([leaf()])).toBe('issued')
    expect(await outcome([leaf(root, { key: 'rsa' })])).toBe('issued')
    // Its chain is passed on, which nginx cannot.
    expect(await outcome([leaf(between), between])).toBe('issued')
    expect(await outcome([])).toBe('authentication_missing')
    expect(await outcome([leaf(stranger)])).toBe('certificate_untrusted')
    expect(await outcome([leaf(root, { names: [general.dns('other.td')] })])).toBe(
      'certificate_subject_mismatch',
    )
    const subject = 'O=a\\,b "c";Cert\\=d,CN=billing'
    expect(await outcome([leaf(root, { subject, names: [general.dns('billing.td')] })])).toBe('issued')
  })

  test('what a caller writes is replaced', async ({ open }) => {
    const { outcome } = await open()
    for (const written of [
      'X-Forwarded-Client-Cert',
      'x-forwarded-client-cert',
      'Client-Cert',
      'ssl-client-cert',
    ]) {
      const headers = { [written]: forged }
      expect(await outcome([], { headers }), written).toBe('authentication_missing')
      expect(await outcome([leaf(stranger)], { headers }), written).toBe('certificate_untrusted')
      expect(await outcome([leaf()], { headers }), written).toBe('issued')
    }
    // Envoy answers this one itself.
    expect(await outcome([leaf()], { headers: { x_forwarded_client_cert: forged } })).toBe('400')
  })

  test('"proxy check" says that every forgery failed', async ({ open }) => {
    const { check } = await open()
    const { code, stdout, stderr } = await check()
    expect(stdout).not.toMatch(/BELIEVED|not known/)
    expect(stderr).toMatch(/^Every forgery failed, \d+ in all\.\n$/)
    expect(code).toBe(0)
  })

  test('"proxy check" says that one is believed, where Envoy passes the header on', async ({ open }) => {
    const { check } = await open((text) => text.replace('SANITIZE_SET', 'ALWAYS_FORWARD_ONLY'))
    const { code, stdout } = await check()
    expect(stdout).toMatch(
      /^X-Forwarded-Client-Cert +\d+ +the made-up certificate: client_unknown +BELIEVED$/m,
    )
    expect(code).toBe(1)
  })

  test.for([
    ['appends to the header', 'SANITIZE_SET', 'APPEND_FORWARD', 'certificate_header_malformed'],
    ['sends names alone', 'cert: true, chain: true', 'uri: true, dns: true', 'certificate_header_malformed'],
    ['lets underscores pass', 'REJECT_REQUEST', 'ALLOW', 'certificate_header_unexpected'],
  ] as const)('one that %s: refused', async ([, from, to, expected], { open }) => {
    const { outcome } = await open((text) => text.replace(from, to))
    const headers = { [to === 'ALLOW' ? 'x_forwarded_client_cert' : 'X-Forwarded-Client-Cert']: forged }
    expect(await outcome([leaf()], { headers })).toBe(expected)
  })

  test('one without a certificate of its own: refused', async ({ open }) => {
    const { outcome } = await open((text) =>
      text.replace(/ +tls_certificates:\n.*front\.crt.*\n.*front\.key.*\n/, ''),
    )
    expect(await outcome([leaf()])).toBe('certificate_header_untrusted')
  })
})
