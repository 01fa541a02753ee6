/** A real nginx in front, which ends TLS and passes the certificate of its caller on, set up as the guide says. */
import { readFileSync } from 'node:fs'
import { describe, expect } from 'vitest'
import { listenOnProxySocket } from '../../src/http/proxy-socket.ts'
import { command } from '../support/command.ts'
import { sharedTest } from '../support/fixtures.ts'
import type { FrontProxy } from '../support/front-proxy.ts'
import {
  type CallOptions,
  callerOf,
  mtlsSettings,
  outcomeOf,
  registerCertificateClient,
  tokenOver,
} from '../support/mtls.ts'
import { hasNjs, nginxVersion, openNginx } from '../support/nginx.ts'
import { environmentOf, root as repository } from '../support/process.ts'
import { startService } from '../support/service.ts'
import { general, makeCa, makeCertificate, type TestCertificate } from '../support/x509.ts'

const present = nginxVersion() !== undefined

const root = makeCa('O=Test,CN=Root')
const stranger = makeCa('O=Test,CN=Root')
const leaf = (issuer = root, more = {}) =>
  makeCertificate(issuer, { subject: 'CN=billing', names: [general.dns('billing.td')], ...more })
const front = makeCertificate(root, { subject: 'CN=front', names: [general.uri('spiffe://td/front')] })
const settings = mtlsSettings(root)

const guide = readFileSync(`${repository}docs/guides/mtls.md`, 'utf8')
const blockOf = (name: string): string =>
  new RegExp(`<!-- ${name} -->\n\`\`\`\\w+\n([^]*?)\`\`\``).exec(guide)?.[1] ?? ''

const nginxFiles = {
  'tls.crt': settings['MINTMARK_TLS_CERTIFICATE'] ?? '',
  'tls.key': settings['MINTMARK_TLS_PRIVATE_KEY'] ?? '',
  'mintmark-ca.crt': settings['MINTMARK_TLS_CERTIFICATE'] ?? '',
  'front.crt': front.pem,
  'front.key': front.keyPem,
  'certificate.js': blockOf('njs'),
}

/** The configuration of the guide, on this machine. */
const configured =
  (serviceUrl: string, change: (text: string) => string) =>
  (port: number, directory: string): string =>
    change(blockOf('nginx'))
      .replace('listen 443', `listen 127.0.0.1:${port}`)
      .replace('mintmark.internal:8080', new URL(serviceUrl).host)
      .replace('proxy_ssl_name mintmark.internal', 'proxy_ssl_name localhost')
      .replaceAll('/etc/nginx/', `${directory}/`)

const asRfc9440 = (text: string) =>
  `js_import certificate from /etc/nginx/certificate.js;\njs_set $client_cert certificate.header;\n${text}`
    .replace('ssl-client-cert $ssl_client_escaped_cert', 'ssl-client-cert ""')
    .replace('Client-Cert ""', 'Client-Cert $client_cert')

const forms = {
  nginx: (text: string) => text,
  rfc9440: asRfc9440,
} as const

const test = sharedTest.extend('open', async ({ database }, { onCleanup }) => {
  const opened: { close(): Promise<void> }[] = []
  onCleanup(async () => {
    for (const each of opened.reverse()) await each.close()
  })
  return async (form: keyof typeof forms, change = (text: string) => text, socket?: string) => {
    const environment = {
      ...settings,
      MINTMARK_CLIENT_CERTIFICATE_HEADER: form,
      ...(socket === undefined
        ? { MINTMARK_CLIENT_CERTIFICATE_PROXY: 'uri:spiffe://td/front' }
        : { MINTMARK_PROXY_SOCKET: socket }),
    }
    const running = await startService({ database, environment })
    opened.push(running)
    const { proxySocket } = running.service.app
    if (proxySocket !== undefined && socket !== undefined) await listenOnProxySocket(proxySocket, socket)
    const nginx: FrontProxy = await openNginx(
      nginxFiles,
      configured(running.url, (text) => change(forms[form](text))),
    )
    opened.push(nginx)
    const { clientId } = await registerCertificateClient(database, { field: ['san_dns', 'billing.td'] })
    const outcome = async (chain: readonly TestCertificate[], more: CallOptions = {}, url = nginx.url) =>
      outcomeOf(database, await tokenOver(url, { client_id: clientId }, { ...callerOf(...chain), ...more }))
    const check = () =>
      command({ ...environmentOf(database.url) }, 'proxy', 'check', nginx.url, '--ca', nginx.path('tls.crt'))
    return { database, running, nginx, outcome, check }
  }
})

test.skipIf(present)('NOT TESTED: nginx', () => {
  process.stderr.write('NOT TESTED: nginx, because this machine has none. Debian has it as a package.\n')
})
test.skipIf(!present || hasNjs)('NOT TESTED: Client-Cert from nginx', () => {
  process.stderr.write('NOT TESTED: Client-Cert from nginx, because libnginx-mod-http-js is missing.\n')
})

const headersOf = ({ der, pem }: TestCertificate): Readonly<Record<string, string>> => ({
  'Client-Cert': `:${der.toString('base64')}:`,
  'ssl-client-cert': encodeURIComponent(pem),
})

describe.runIf(present).each(['nginx', 'rfc9440'] as const)('%s', (form) => {
  const runs = form === 'nginx' || hasNjs

  test.runIf(runs)('a token for the certificate of the caller, and for no other', async ({ open }) => {
    const { outcome } = await open(form)
    expect(await outcome([leaf()])).toBe('issued')
    expect(await outcome([leaf(root, { key: 'rsa' })])).toBe('issued')
    expect(await outcome([])).toBe('authentication_missing')
    expect(await outcome([leaf(stranger)])).toBe('certificate_untrusted')
    // nginx answers this one itself.
    expect(await outcome([leaf(root, { until: -5 })])).toBe('400')
    expect(await outcome([leaf(root, { names: [general.dns('other.td')] })])).toBe(
      'certificate_subject_mismatch',
    )
  })

  test.runIf(runs)('what a caller writes is replaced', async ({ open }) => {
    const { outcome } = await open(form)
    for (const [name, value] of Object.entries(headersOf(leaf()))) {
      for (const written of [name, name.toUpperCase(), name.replaceAll('-', '_')]) {
        const headers = { [written]: value }
        expect(await outcome([], { headers }), written).toBe('authentication_missing')
        expect(await outcome([leaf(stranger)], { headers }), written).toBe('certificate_untrusted')
        expect(await outcome([leaf()], { headers: { [written]: 'x' } }), written).toBe('issued')
      }
    }
  })
})

describe.runIf(present)('"proxy check" says', () => {
  test('that every forgery failed, where nginx is set up as the guide says', async ({ open }) => {
    for (const form of ['nginx', ...(hasNjs ? (['rfc9440'] as const) : [])] as const) {
      const { check } = await open(form)
      const { code, stdout, stderr } = await check()
      expect(stdout).toMatch(/^Client-Cert +\d+ +no certificate +failed$/m)
      expect(stdout).toMatch(/space before the colon +400 +nothing: it was refused before +failed$/m)
      expect(stdout).toMatch(
        /^ssl-client-cert, beside a certificate +\d+ +the certificate of the connection +failed$/m,
      )
      expect(stdout).not.toMatch(/BELIEVED|not known/)
      expect(stderr).toBe('Every forgery failed, 22 in all.\n')
      expect(code).toBe(0)
    }
  })

  test('that one is believed, where nginx does not replace the header', async ({ open }) => {
    const { check } = await open('nginx', (text) => text.replace(/.*\$ssl_client_escaped_cert;\n/, ''))
    const { code, stdout, stderr } = await check()
    expect(stdout).toMatch(/^ssl-client-cert +\d+ +the made-up certificate: client_unknown +BELIEVED$/m)
    expect(stdout).toMatch(/^ssl-client-cert, twice .* refused it: certificate_header_repeated +failed$/m)
    expect(stderr).toMatch(/ believed: anybody can act as any client\. /)
    expect(code).toBe(1)
  })

  test('that one is believed, where nginx prefers what the caller wrote', async ({ open }) => {
    const { check } = await open('nginx', (text) =>
      text.replace('ssl-client-cert $ssl_client_escaped_cert', 'ssl-client-cert $http_ssl_client_cert'),
    )
    const { code, stdout } = await check()
    expect(stdout).toMatch(
      /^ssl-client-cert, beside a certificate +\d+ +the made-up certificate: .* BELIEVED$/m,
    )
    expect(code).toBe(1)
  })

  test('what it could not try, where nginx refuses unknown certificates itself', async ({ open }) => {
    const { check } = await open('nginx', (text) =>
      text.replace(
        'ssl_verify_client optional_no_ca',
        'ssl_verify_client optional; ssl_client_certificate /etc/nginx/mintmark-ca.crt',
      ),
    )
    const { code, stderr } = await check()
    expect(stderr).toMatch(
      /so nothing was tried on such a connection\.\nEvery forgery failed, 19 in all\.\n$/,
    )
    expect(code).toBe(0)
  })

  test('what a careless nginx passes on, and the service refuses', async ({ open }) => {
    const { check } = await open('nginx', (text) => `underscores_in_headers on;\n${text}`)
    const { code, stdout } = await check()
    expect(stdout).toMatch(/^ssl_client_cert .* refused it: certificate_header_unexpected +failed$/m)
    expect(code).toBe(0)
  })
})

describe.runIf(present)('a proxy that is set up carelessly', () => {
  const [, value = ''] = Object.entries(headersOf(leaf()))[1] ?? []

  test('passes underscores on: refused', async ({ open }) => {
    const { outcome } = await open('nginx', (text) => `underscores_in_headers on;\n${text}`)
    expect(await outcome([], { headers: { ssl_client_cert: value } })).toBe('certificate_header_unexpected')
    expect(await outcome([leaf()], { headers: { ssl_client_cert: value } })).toBe(
      'certificate_header_unexpected',
    )
  })

  test('passes another form on: refused', async ({ open }) => {
    const { outcome } = await open('nginx', (text) => text.replace(/.*Client-Cert "";\n/g, ''))
    const headers = { 'X-Forwarded-Client-Cert': 'Hash=a' }
    expect(await outcome([], { headers })).toBe('certificate_header_unexpected')
  })

  test('has no certificate of its own: refused', async ({ open }) => {
    const { outcome } = await open('nginx', (text) => text.replace(/.*proxy_ssl_certificate.*\n/g, ''))
    expect(await outcome([leaf()])).toBe('certificate_header_untrusted')
  })
})

describe.runIf(present)('nginx on the same machine', () => {
  test('connects to a Unix socket, and needs no certificate of its own', async ({
    open,
    files: { path },
  }) => {
    const socket = path('proxy.sock')
    const { outcome, check } = await open(
      'nginx',
      (text) =>
        text
          .replace('server mintmark.internal:8080', `server unix:${socket}`)
          .replace('https://mintmark', 'http://mintmark')
          .replace(/.*proxy_ssl_.*\n/g, ''),
      socket,
    )
    expect(await outcome([leaf()])).toBe('issued')
    expect(await outcome([])).toBe('authentication_missing')
    expect(await outcome([leaf(stranger)])).toBe('certificate_untrusted')
    const { code, stderr } = await check()
    expect(stderr).toBe('Every forgery failed, 22 in all.\n')
    expect(code).toBe(0)
  })
})
