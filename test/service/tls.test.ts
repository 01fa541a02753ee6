/** What a TLS client is offered, and what it gets after SIGHUP. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tls from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { certificate, privateKey, rsaCertificate, rsaPrivateKey } from '../support/certificate.ts'
import { type FreshDatabase, freshDatabase } from '../support/database.ts'
import { freePort } from '../support/ports.ts'
import { environmentOf, type ServiceProcess, startServiceProcess } from '../support/process.ts'
import { startService, type TestService } from '../support/service.ts'
import { until } from '../support/wait.ts'
import { makeCertificate } from '../support/x509.ts'

/** The suite and the certificate's name of a new connection, or the code of the alert that refused it. */
function shake(port: number, options: tls.ConnectionOptions = {}): Promise<string> {
  return new Promise((resolve) => {
    const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options })
    socket.once('secureConnect', () => {
      resolve(`${socket.getCipher().name} ${socket.getPeerCertificate().subject.CN}`)
      socket.destroy()
    })
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
  })
}

describe.each([
  ['ECDSA', certificate, privateKey],
  ['RSA', rsaCertificate, rsaPrivateKey],
])('the suites with a certificate for %s', (kind, cert, key) => {
  let running: TestService
  let port: number

  beforeAll(async () => {
    running = await startService({
      environment: { MINTMARK_TLS_CERTIFICATE: cert, MINTMARK_TLS_PRIVATE_KEY: key },
    })
    port = Number(new URL(running.url).port)
  })
  afterAll(() => running.close())

  test('TLS 1.2: everything that this client can do, one by one, is AEAD with forward secrecy or refused', async () => {
    const accepted: string[] = []
    for (const name of tls.getCiphers().filter((cipher) => !cipher.startsWith('tls_'))) {
      const ciphers = `${name.toUpperCase()}:@SECLEVEL=0`
      const answer = await shake(port, { ciphers, minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' })
      if (!answer.startsWith('ERR_') && !answer.startsWith('E')) accepted.push(name)
      else if (answer.startsWith('ECDHE-')) accepted.push(answer.split(' ')[0] as string)
    }
    expect(accepted.map((name) => name.toUpperCase()).sort()).toEqual(
      ['AES128-GCM-SHA256', 'AES256-GCM-SHA384', 'CHACHA20-POLY1305'].map((name) => `ECDHE-${kind}-${name}`),
    )
  })

  test('TLS 1.2 with CBC only is refused by an alert', async () => {
    const ciphers =
      'ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256:ECDHE-RSA-AES256-SHA:AES128-SHA:@SECLEVEL=0'
    expect(await shake(port, { ciphers, maxVersion: 'TLSv1.2' })).toBe(
      'ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE',
    )
  })

  test('TLS 1.1 is refused, TLS 1.3 is preferred', async () => {
    const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT:@SECLEVEL=0' } as const
    expect(await shake(port, old)).toMatch(/^ERR_SSL_.*ALERT_PROTOCOL_VERSION$/)
    expect(await shake(port)).toMatch(/^TLS_AES_\d{3}_GCM_SHA/)
  })

  test('a caller that offers HTTP/1.0 alone is served, and one that offers HTTP/2 alone is told', async () => {
    expect(await shake(port, { ALPNProtocols: ['http/1.0'] })).toMatch(/^TLS_AES_/)
    expect(await shake(port, { ALPNProtocols: ['h2', 'http/1.1'] })).toMatch(/^TLS_AES_/)
    expect(await shake(port, { ALPNProtocols: ['h2'] })).toMatch(/NO_APPLICATION_PROTOCOL$/)
  })
})

describe('SIGHUP', () => {
  let database: FreshDatabase
  const directory = mkdtempSync(join(tmpdir(), 'mintmark-reload-'))
  const certificateFile = join(directory, 'tls.crt')
  const keyFile = join(directory, 'tls.key')

  beforeAll(async () => {
    database = await freshDatabase()
  })
  afterAll(async () => {
    rmSync(directory, { recursive: true })
    await database.drop()
  })

  function write(cert: string, key: string): void {
    writeFileSync(certificateFile, cert)
    writeFileSync(keyFile, key)
  }

  async function serveTls(
    more: Record<string, string>,
    name: 'serve' | 'start' = 'serve',
  ): Promise<{ readonly service: ServiceProcess; readonly port: number }> {
    write(certificate, privateKey)
    const port = await freePort()
    const environment = environmentOf(database.url, {
      PORT: String(port),
      MINTMARK_DATA_DIR: directory,
      MINTMARK_TLS_CERTIFICATE_FILE: certificateFile,
      MINTMARK_TLS_PRIVATE_KEY_FILE: keyFile,
      ...more,
    })
    const service = await startServiceProcess([name], { environment })
    await service.until(() => /listening on/.test(service.output()))
    return { service, port }
  }

  /** How often a log event was written. */
  const count = (service: ServiceProcess, event: string): number =>
    service.output().split(`"event":"${event}"`).length - 1

  test.each([
    ['serve', '1'],
    ['serve', '2'],
    ['start', '1'],
    ['start', '2'],
  ] as const)('%s with WORKERS=%s: the new certificate, and never a broken one', async (name, workers) => {
    const { service, port } = await serveTls({ WORKERS: workers }, name)
    const each = Number(workers)
    // Once for each worker, because connections go to them in turn.
    const shakeAll = async (): Promise<Set<string | undefined>> => {
      const answers = new Set<string | undefined>()
      for (let index = 0; index < each; index += 1) answers.add((await shake(port)).split(' ')[1])
      return answers
    }
    expect(await shakeAll()).toEqual(new Set(['mintmark-test']))
    // It began with the old certificate, and goes on with it.
    const open = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false })
    await new Promise((resolve) => open.once('secureConnect', resolve))

    write(rsaCertificate, rsaPrivateKey)
    service.child.kill('SIGHUP')
    await until(() => count(service, 'reloaded') === each)
    expect(await shakeAll()).toEqual(new Set(['mintmark-test-rsa']))

    // A key that does not belong to the certificate, then no key at all.
    for (const [round, key] of [privateKey, ''].entries()) {
      write(rsaCertificate, key)
      service.child.kill('SIGHUP')
      await until(() => count(service, 'reload_failed') === (round + 1) * each)
      expect(await shakeAll()).toEqual(new Set(['mintmark-test-rsa']))
    }
    expect(service.output()).toMatch(
      /"event":"reload_failed","reason":"MINTMARK_TLS_PRIVATE_KEY: TLS cannot use it/,
    )
    expect(service.output()).toContain(`MINTMARK_TLS_PRIVATE_KEY_FILE: the file it names is empty.`)

    write(certificate, privateKey)
    service.child.kill('SIGHUP')
    await until(() => count(service, 'reloaded') === 2 * each)
    expect(await shakeAll()).toEqual(new Set(['mintmark-test']))

    const answer = new Promise<string>((resolve) => open.once('data', (chunk) => resolve(String(chunk))))
    open.write('GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
    expect(await answer).toMatch(/^HTTP\/1\.1 200/)
    expect(service.output()).not.toContain('PRIVATE KEY-----')
    expect(await service.end('SIGTERM')).toBe(0)
  })

  test('a session that was begun before can be resumed, on each worker', async () => {
    const { service, port } = await serveTls({ WORKERS: '2' })
    const options = { port, host: '127.0.0.1', rejectUnauthorized: false, maxVersion: 'TLSv1.2' } as const
    const resumed = (session?: Buffer): Promise<{ readonly session: Buffer; readonly reused: boolean }> =>
      new Promise((resolve, reject) => {
        const socket = tls.connect({ ...options, ...(session === undefined ? {} : { session }) })
        let latest: Buffer | undefined
        socket.on('session', (given: Buffer) => {
          latest = given
        })
        socket.once('error', reject).once('end', () => {
          resolve({ session: latest ?? session ?? Buffer.alloc(0), reused: socket.isSessionReused() })
        })
        socket.resume().write('GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
      })
    const { session } = await resumed()
    service.child.kill('SIGHUP')
    await until(() => count(service, 'reloaded') === 2)
    for (let index = 0; index < 4; index += 1) expect((await resumed(session)).reused).toBe(true)
    expect(await service.end('SIGTERM')).toBe(0)
  })

  test('without TLS it says that there is nothing to read again, and goes on', async () => {
    const plain = { MINTMARK_TLS_CERTIFICATE_FILE: '', MINTMARK_TLS_PRIVATE_KEY_FILE: '' }
    const keyEncryptionKey = join(directory, 'key')
    writeFileSync(keyEncryptionKey, `${environmentOf('')['MINTMARK_KEY_ENCRYPTION_KEY']}\n`)
    const { service } = await serveTls({
      ...plain,
      MINTMARK_KEY_ENCRYPTION_KEY: '',
      MINTMARK_KEY_ENCRYPTION_KEY_FILE: keyEncryptionKey,
    })
    service.child.kill('SIGHUP')
    await until(() => count(service, 'reloaded') === 1)
    expect(service.output()).not.toContain('needRestart')
    writeFileSync(keyEncryptionKey, 'A'.repeat(43))
    service.child.kill('SIGHUP')
    await until(() => count(service, 'reloaded') === 2)
    expect(service.output()).toContain('"needRestart":["keyEncryptionKey"]')
    expect(service.output()).not.toContain('A'.repeat(43))
    expect(await service.end('SIGTERM')).toBe(0)
  })
})

test('a certificate that has expired is told, until there is another one', async () => {
  const expired = makeCertificate(undefined, { from: -7_200, until: -3_600 })
  const running = await startService({
    environment: { MINTMARK_TLS_CERTIFICATE: expired.pem, MINTMARK_TLS_PRIVATE_KEY: expired.keyPem },
  })
  const warnings = async () => (await running.service.app.inject('/readyz')).json().warnings
  expect(await warnings()).toEqual(['tls_certificate_expired'])
  running.service.replaceTls({ tls: { certificate, privateKey }, clientTrust: undefined })
  expect(await warnings()).toEqual([])
  await running.close()
})
