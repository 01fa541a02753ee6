/** Whether somebody believes a forged certificate: found out through the front door, and told from the ledger. */
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished } from 'vitest'
import { command } from '../support/command.ts'
import { sharedTest } from '../support/fixtures.ts'
import { callerOf, mtlsSettings, tokenOver } from '../support/mtls.ts'
import { freePort } from '../support/ports.ts'
import { environmentOf } from '../support/process.ts'
import { startService } from '../support/service.ts'
import { makeCa, makeCertificate, type TestCertificate } from '../support/x509.ts'

const root = makeCa('O=Test,CN=Root')
const front = makeCertificate(undefined, { subject: 'CN=front' })
const thumbprint = front.der && (await crypto.subtle.digest('SHA-256', new Uint8Array(front.der)))
const hex = Buffer.from(thumbprint).toString('hex')

const test = sharedTest.extend('running', { scope: 'file' }, async ({ database }, { onCleanup }) => {
  const running = await startService({
    database,
    environment: {
      ...mtlsSettings(root),
      MINTMARK_CLIENT_CERTIFICATE_HEADER: 'xfcc',
      MINTMARK_CLIENT_CERTIFICATE_PROXY: `sha256:${hex}`,
    },
  })
  onCleanup(() => running.close())
  return running
})

type Forward = (request: IncomingMessage) => Promise<{ status: number; requestId?: string }>

/** A front door that does what it is told with a request. @returns its URL. */
async function frontDoor(forward: Forward): Promise<string> {
  const server = createServer((request, response) => {
    void forward(request).then(({ status, requestId }) => {
      response.writeHead(status, requestId === undefined ? {} : { 'x-request-id': requestId }).end()
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Passes on what its caller wrote in some headers, over a connection of its own. */
const passing =
  (url: string, own: readonly TestCertificate[], names: RegExp): Forward =>
  async ({ headers }) => {
    const passed = Object.entries(headers).filter(([name]) => names.test(name)) as [string, string][]
    return await tokenOver(
      url,
      { client_id: 'proxy-check' },
      { ...callerOf(...own), headers: Object.fromEntries(passed) },
    )
  }

test('a service that nobody stands before believes no header', async ({ running, database }) => {
  const url = await frontDoor(passing(running.url, [], /client/))
  const { code, stdout, stderr } = await command(environmentOf(database.url), 'proxy', 'check', url)
  expect(stdout).toMatch(
    /^Client-Cert +400 +the header, and refused it: certificate_header_untrusted +failed$/m,
  )
  expect(stdout).toMatch(/^X_FORWARDED|^X_Forwarded_Client_Cert +400 .* failed$/m)
  expect(stderr).toMatch(/Every forgery failed, 19 in all\.\n$/)
  expect(code).toBe(0)
})

test('a proxy that passes on what its caller wrote is found out', async ({ running, database }) => {
  const url = await frontDoor(passing(running.url, [front], /^x-forwarded-client-cert$/))
  const given = ['proxy', 'check', `${url}/token`, '--json'] as const
  const { code, stdout, stderr } = await command(environmentOf(database.url), ...given)
  const rows = JSON.parse(stdout) as { forged: string; saw: string; forgery: string; status: number }[]
  const of = (forgery: string) => rows.filter((row) => row.forgery === forgery).map(({ forged }) => forged)
  const name = 'X-Forwarded-Client-Cert'
  expect(of('believed')).toEqual([name, name.toUpperCase(), `${name} with a chain`])
  expect(of('failed')).toContain(`${name} of two hops`)
  expect(of('not_known')).toEqual([])
  expect(rows[0]).toMatchObject({ forged: 'Client-Cert', status: 400, saw: 'no certificate' })
  expect(stderr).toContain('3 forgeries were believed')
  expect(code).toBe(1)
})

test('what is not known is no success', async ({ running, database }) => {
  const careful = passing(running.url, [front], /^$/)
  const url = await frontDoor(async (request) =>
    request.headers['client-cert'] !== undefined
      ? { status: 502 }
      : request.headers['ssl-client-cert'] !== undefined
        ? { status: 400, requestId: 'another' }
        : await careful(request),
  )
  const { code, stdout } = await command(environmentOf(database.url), 'proxy', 'check', url)
  expect(stdout).toMatch(/^Client-Cert +502 +it is not known: .* not known$/m)
  expect(stdout).toMatch(/^ssl-client-cert +400 +there is no record +not known$/m)
  expect(code).toBe(1)
})

test('the certificate of the proxy that counts as every caller’s is found out', async ({
  running,
  database,
}) => {
  const other = makeCertificate(root, { subject: 'CN=other' })
  const url = await frontDoor(passing(running.url, [other], /^$/))
  const { code, stderr } = await command(environmentOf(database.url), 'proxy', 'check', url)
  expect(stderr).toContain("the proxy's own certificate, so every caller counts as the proxy")
  expect(code).toBe(1)
})

test('where nothing can be tried, it says so', async ({ running, database }) => {
  const check = async (url: string) => {
    const { code, stderr, stdout } = await command(environmentOf(database.url), 'proxy', 'check', url)
    expect(stdout).toBe('')
    return `${code} ${stderr}`
  }
  expect(await check(await frontDoor(async () => ({ status: 404 })))).toMatch(/^1 .*without X-Request-Id/)
  expect(await check(await frontDoor(async () => ({ status: 400, requestId: 'a' })))).toMatch(
    /^1 .*no record/,
  )
  const adding: Forward = async () =>
    await tokenOver(running.url, {}, { ...callerOf(front), headers: { 'x-forwarded-client-cert': '' } })
  expect(await check(await frontDoor(adding))).toMatch(
    /^1 .*a header that the proxy adds: certificate_header_mal/,
  )
  expect(await check(`http://127.0.0.1:${await freePort()}`)).toMatch(
    /^1 .*cannot be reached: .*ECONNREFUSED/,
  )
  expect(await check(running.url)).toMatch(/^1 /)
  expect(await check('tokens.example.com')).toMatch(/^2 .*is not an http URL/)
  expect(await check('https://a.example/?b')).toMatch(/^2 .*more than a host and a path/)
})
