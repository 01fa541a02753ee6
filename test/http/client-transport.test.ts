/** Over TLS with a CA of one’s own: whatever a service answers, the caller has an answer or an error, and goes on. */
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Transport } from '../../packages/client/src/transport.ts'
import { makeCertificate } from '../support/x509.ts'

/** What the server writes to each connection. */
let answer = ''
let url: string
let transport: Transport
const directory = mkdtempSync(join(tmpdir(), 'mintmark-transport-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

beforeAll(async () => {
  const { pem, keyPem } = makeCertificate(undefined, {
    subject: 'CN=localhost',
    keyUsage: null,
    extendedKeyUsage: null,
  })
  const server = createServer({ cert: pem, key: keyPem }, (socket) => {
    socket.on('error', () => undefined)
    socket.once('data', () => socket.write(answer))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  afterAll(() => server.close())
  const caFile = join(directory, 'ca.pem')
  writeFileSync(caFile, pem)
  transport = new Transport({ caFile }, fetch)
  url = `https://localhost:${(server.address() as AddressInfo).port}/`
})

describe('an answer that is none', () => {
  test.each([
    ['a status that Fetch does not know', 'HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n'],
    ['a reason with a control character', 'HTTP/1.1 200 O\x01K\r\nContent-Length: 0\r\n\r\n'],
    [
      'another protocol that nobody asked for',
      'HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n',
    ],
  ])('%s', async (_name, written) => {
    answer = written
    const failed = transport.fetch(url).catch((error: unknown) => error)
    expect(await failed).toBeInstanceOf(Error)
  })
})

test('an answer is read', async () => {
  answer = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine'
  expect(await (await transport.fetch(url)).text()).toBe('fine')
})
