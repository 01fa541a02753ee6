/** A proxy on the same machine, which proves itself by being able to write to a Unix socket. */
import { createHash } from 'node:crypto'
import { existsSync, statSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { createServer } from 'node:net'
import { expect } from 'vitest'
import { listenOnProxySocket } from '../../src/http/proxy-socket.ts'
import { removeDeadSocket } from '../../src/lib/dead-socket.ts'
import { test as processTest, sharedTest } from '../support/fixtures.ts'
import { recordOf, registerCertificateClient } from '../support/mtls.ts'
import { freePort } from '../support/ports.ts'
import { environmentOf, start, startServiceProcess } from '../support/process.ts'
import { scratch } from '../support/scratch.ts'
import { startService } from '../support/service.ts'
import { general, makeCa, makeCertificate } from '../support/x509.ts'

const root = makeCa('O=Test,CN=Root')
const leaf = makeCertificate(root, { subject: 'CN=billing', names: [general.dns('billing.td')] })
const stranger = makeCertificate(makeCa('O=Test,CN=Root'), { names: [general.dns('billing.td')] })
const headerOf = ({ der }: { readonly der: Buffer }) => ({ 'client-cert': `:${der.toString('base64')}:` })
const settings = {
  MINTMARK_ISSUER: 'http://127.0.0.1:8080',
  MINTMARK_TLS_CLIENT_CA: root.pem,
  MINTMARK_CLIENT_CERTIFICATE_HEADER: 'rfc9440',
}

/** `POST /token` through a socket, or at a port. */
function send(
  to: { readonly socketPath: string } | { readonly port: string },
  headers: Readonly<Record<string, string>>,
  clientId = 'billing',
): Promise<{ status: number; requestId: string; body: Record<string, unknown> }> {
  const body = new URLSearchParams({ grant_type: 'client_credentials', client_id: clientId }).toString()
  const type = { 'content-type': 'application/x-www-form-urlencoded' }
  return new Promise((resolve, reject) => {
    const sent = request(
      { ...to, path: '/token', method: 'POST', headers: { ...type, ...headers } },
      (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk
        })
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            requestId: String(response.headers['x-request-id']),
            body: JSON.parse(text) as Record<string, unknown>,
          }),
        )
      },
    )
    sent.once('error', reject)
    sent.end(body)
  })
}

const test = sharedTest
  .extend('directory', { scope: 'file' }, async ({ database: _ }, { onCleanup }) => {
    const directory = scratch()
    onCleanup(() => directory.remove())
    return directory
  })
  .extend('running', { scope: 'file' }, async ({ database, directory }, { onCleanup }) => {
    const path = directory.path('proxy.sock')
    const running = await startService({
      database,
      environment: { ...settings, MINTMARK_PROXY_SOCKET: path },
    })
    onCleanup(() => running.close())
    const { proxySocket } = running.service.app
    if (proxySocket === undefined) throw new Error('there is no socket')
    await listenOnProxySocket(proxySocket, path)
    await registerCertificateClient(database, { clientId: 'billing', field: ['san_dns', 'billing.td'] })
    return { database, path, port: new URL(running.url).port }
  })
  .extend('outcome', { scope: 'file' }, async ({ running: { database, path, port } }) => {
    return async (through: 'socket' | 'port', headers: Readonly<Record<string, string>>) => {
      const answer = await send(through === 'socket' ? { socketPath: path } : { port }, headers)
      const record = await recordOf(database, answer)
      const [address] = await database.query<{ address: string }>(
        'SELECT address FROM audit_record WHERE request_id = $1',
        [answer.requestId],
      )
      return `${record?.reason ?? record?.outcome} ${record?.credential_id ?? '-'} ${address?.address}`
    }
  })

const thumbprint = ({ der }: { readonly der: Buffer }) => createHash('sha256').update(der).digest('base64url')

test('what the proxy says of its callers counts', async ({ outcome }) => {
  const from = { 'x-forwarded-for': '203.0.113.9' }
  expect(await outcome('socket', { ...headerOf(leaf), ...from })).toBe(
    `issued ${thumbprint(leaf)} 203.0.113.9`,
  )
  expect(await outcome('socket', headerOf(leaf))).toMatch(/^issued /)
})

test('its certificates are judged as those of a connection', async ({ outcome }) => {
  expect(await outcome('socket', headerOf(stranger))).toMatch(/^certificate_untrusted /)
  expect(await outcome('socket', {})).toMatch(/^authentication_missing /)
  expect(await outcome('socket', { 'client-cert': 'a' })).toMatch(/^certificate_header_malformed /)
})

test('of addresses that are written one after the other, its own word counts', async ({ outcome }) => {
  const written = { 'x-forwarded-for': '198.51.100.1, unix, 203.0.113.9' }
  expect(await outcome('socket', { ...headerOf(leaf), ...written })).toMatch(/ 203\.0\.113\.9$/)
  const withName = { 'x-forwarded-for': '198.51.100.1, unix' }
  expect(await outcome('socket', { ...headerOf(leaf), ...withName })).toMatch(/ \[withheld: .*\]$/)
})

test('nothing of this counts at the port', async ({ outcome }) => {
  const headers = { ...headerOf(leaf), 'x-forwarded-for': '203.0.113.9' }
  expect(await outcome('port', headers)).toBe('certificate_header_untrusted - 127.0.0.1')
})

test('owner and group may write to it, and nobody else', ({ running: { path } }) => {
  expect(statSync(path).mode & 0o777).toBe(0o660)
})

test('the file of a killed process is removed, and nothing else', async ({ files, running }) => {
  const dead = files.path('dead.sock')
  const listen = `require('node:net').createServer().listen(${JSON.stringify(dead)}, () => process.kill(process.pid, 'SIGKILL'))`
  await start(process.execPath, ['-e', listen]).ended
  expect(existsSync(dead)).toBe(true)
  await removeDeadSocket(dead)
  expect(existsSync(dead)).toBe(false)
  await removeDeadSocket(running.path)
  expect(existsSync(running.path)).toBe(true)
  const file = files.path('file')
  writeFileSync(file, '')
  await removeDeadSocket(file)
  expect(existsSync(file)).toBe(true)
})

test('where somebody listens, or where it cannot be, the start says so', async ({ files, running }) => {
  const server = createServer() as unknown as Parameters<typeof listenOnProxySocket>[0]
  await expect(listenOnProxySocket(server, running.path)).rejects.toThrow(
    `MINTMARK_PROXY_SOCKET: cannot listen on ${running.path}: another process listens there`,
  )
  await expect(listenOnProxySocket(server, files.path('none/a.sock'))).rejects.toThrow(
    'its directory does not exist',
  )
})

processTest('workers share it, and it is gone when they end', async ({ database, files, track }) => {
  const path = files.path('proxy.sock')
  await start(process.execPath, [
    '-e',
    `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`,
  ]).ended
  await registerCertificateClient(database, { clientId: 'billing', field: ['san_dns', 'billing.td'] })
  const environment = environmentOf(database.url, {
    ...settings,
    WORKERS: '2',
    MINTMARK_PROXY_SOCKET: path,
    PORT: String(await freePort()),
  })
  const service = track(await startServiceProcess(['serve'], { environment }))
  await service.until(() => service.output().includes('"event":"listening"'))
  for (let count = 0; count < 4; count += 1)
    expect((await send({ socketPath: path }, headerOf(leaf))).status).toBe(200)
  expect(await service.end('SIGTERM')).toBe(0)
  expect(existsSync(path)).toBe(false)
})
