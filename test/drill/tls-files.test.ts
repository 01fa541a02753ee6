/** Files of TLS are read again when they change, by every worker, and nobody notices but those who should. */
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import https from 'node:https'
import tls from 'node:tls'
import { expect } from 'vitest'
import { test } from '../support/fixtures.ts'
import { callerOf, outcomeOf, registerCertificateClient, tokenOver } from '../support/mtls.ts'
import { environmentOf, startServiceProcess } from '../support/process.ts'
import type { Scratch } from '../support/scratch.ts'
import { until } from '../support/wait.ts'
import {
  general,
  makeCa,
  makeCertificate,
  makeRevocationList,
  type TestCertificate,
} from '../support/x509.ts'

const server = (name: string) =>
  makeCertificate(undefined, { subject: `CN=${name}`, keyUsage: null, extendedKeyUsage: null })

/** A volume as Kubernetes mounts it: the files lead to `..data`, which is replaced as a whole. */
function volumeIn(files: Scratch, first: Readonly<Record<string, string>>) {
  const root = files.path('volume')
  mkdirSync(root, { mode: 0o700 })
  let version = 0
  function put(content: Readonly<Record<string, string>>): void {
    version += 1
    const directory = `..${version}`
    mkdirSync(`${root}/${directory}`, { mode: 0o700 })
    for (const [name, text] of Object.entries(content))
      writeFileSync(`${root}/${directory}/${name}`, text, { mode: 0o600 })
    symlinkSync(directory, `${root}/..data_tmp`)
    renameSync(`${root}/..data_tmp`, `${root}/..data`)
    if (version > 2) rmSync(`${root}/..${version - 2}`, { recursive: true })
  }
  put(first)
  for (const name of Object.keys(first)) symlinkSync(`..data/${name}`, `${root}/${name}`)
  return { put, path: (name: string) => `${root}/${name}` }
}

/** The name in the certificate that new connections get. */
function serverName(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({
      port: Number(new URL(url).port),
      host: '127.0.0.1',
      rejectUnauthorized: false,
    })
    socket.once('error', reject).once('secureConnect', () => {
      resolve(String(socket.getPeerCertificate().subject.CN))
      socket.destroy()
    })
  })
}

test('under load, with two workers: a renewed certificate, two CAs, then one, then a list', async ({
  database,
  files,
  track,
}) => {
  const [before, after] = [makeCa('CN=Before'), makeCa('CN=After')]
  const [first, second] = [server('first'), server('second')]
  const content = (own: TestCertificate, cas: readonly TestCertificate[], list: string, key = own) => ({
    'tls.crt': own.pem,
    'tls.key': key.keyPem,
    'ca.crt': cas.map(({ pem }) => pem).join(''),
    'ca.crl': list,
  })
  const none = makeRevocationList(before, []) + makeRevocationList(after, [])
  const volume = volumeIn(files, content(first, [before], none))
  const started = await startServiceProcess(['serve'], {
    environment: environmentOf(database.url, {
      WORKERS: '2',
      MINTMARK_TLS_CERTIFICATE_FILE: volume.path('tls.crt'),
      MINTMARK_TLS_PRIVATE_KEY_FILE: volume.path('tls.key'),
      MINTMARK_TLS_CLIENT_CA_FILE: volume.path('ca.crt'),
      MINTMARK_TLS_CLIENT_CRL_FILE: volume.path('ca.crl'),
    }),
  })
  const service = track(started)
  await service.until(() => /listening on/.test(service.output()))
  const { clientId } = await registerCertificateClient(database, { field: ['san_dns', 'billing.td'] })
  const made = (ca: TestCertificate) => makeCertificate(ca, { names: [general.dns('billing.td')] })
  const [old, renewed] = [made(before), made(after)]
  const ask = async (options: Parameters<typeof tokenOver>[2]) =>
    outcomeOf(database, await tokenOver(service.url, { client_id: clientId }, options))
  const open = Array.from(
    { length: 4 },
    () => new https.Agent({ keepAlive: true, maxSockets: 1, ...callerOf(old) }),
  )
  const ofOpen = () => Promise.all(open.map((agent) => ask({ agent })))
  const everywhere = (outcome: string) => Array(4).fill(outcome)
  const ofNew = (certificate: TestCertificate) => Promise.all(open.map(() => ask(callerOf(certificate))))
  const count = (event: string) => service.output().split(`"event":"${event}"`).length - 1

  /** Callers that ask all the time: on open connections and on new ones. They have a certificate that counts. */
  let certificate = old
  let isOver = false
  const moved = new Set<boolean>()
  const outcomes: Record<string, number> = {}
  const load = Promise.all(
    [true, false].map(async (isKept) => {
      let agent: https.Agent | undefined
      let own: TestCertificate | undefined
      while (!isOver) {
        if (own !== certificate) {
          agent?.destroy()
          own = certificate
          agent = isKept ? new https.Agent({ keepAlive: true, ...callerOf(own) }) : undefined
        }
        const outcome = await ask(agent === undefined ? callerOf(own) : { agent })
        outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
        if (own === renewed) moved.add(isKept)
      }
      agent?.destroy()
    }),
  )

  expect(await ofOpen()).toEqual(everywhere('issued'))
  expect(await ofNew(renewed)).toEqual(everywhere('certificate_untrusted'))
  volume.put(content(second, [before, after], none))
  await service.until(() => count('reloaded') === 2)
  expect(await serverName(service.url)).toBe('second')
  expect([...(await ofOpen()), ...(await ofNew(renewed))]).toEqual(Array(8).fill('issued'))

  // A pair that does not belong together, and half of a CA: what was read before goes on.
  volume.put(content(first, [before, after], none, second))
  await service.until(() => count('reload_failed') === 2)
  volume.put({ ...content(second, [after], none), 'ca.crt': before.pem + after.pem.slice(0, 200) })
  await service.until(() => count('reload_failed') === 4)
  expect(service.output()).toMatch(/"reason":"MINTMARK_TLS_PRIVATE_KEY: TLS cannot use it/)
  expect(service.output()).toMatch(
    /"reason":"MINTMARK_TLS_CLIENT_CA: cannot be used: it has a block of PEM that is not/,
  )
  expect(await serverName(service.url)).toBe('second')
  expect([...(await ofOpen()), ...(await ofNew(renewed))]).toEqual(Array(8).fill('issued'))

  certificate = renewed
  await until(() => moved.size === 2)
  volume.put(content(second, [after], none))
  await service.until(() => count('reloaded') === 4)
  expect(await ofOpen()).toEqual(everywhere('certificate_untrusted'))
  expect(await ofNew(old)).toEqual(everywhere('certificate_untrusted'))
  expect(await ofNew(renewed)).toEqual(everywhere('issued'))
  await until(() => (outcomes['issued'] ?? 0) > 20)
  isOver = true
  await load
  expect(outcomes).toEqual({ issued: expect.any(Number) })

  volume.put(content(second, [after], makeRevocationList(after, [renewed])))
  await service.until(() => count('reloaded') === 6)
  expect(await ofNew(renewed)).toEqual(everywhere('certificate_revoked'))
  for (const agent of open) agent.destroy()
  expect(await service.end('SIGTERM')).toBe(0)
})
