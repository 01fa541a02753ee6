/** What is fetched for keys, from servers that mean no good. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import { test as base, expect } from 'vitest'
import { guardedFetch } from '../../src/http/guarded-fetch.ts'
import { parseNetwork } from '../../src/lib/network.ts'
import { limits } from '../../src/limits.ts'
import { issuerCertificate } from '../support/certificate.ts'
import { type Answer, startKeyServer } from '../support/key-server.ts'

const local = guardedFetch({ allowedNetworks: [parseNetwork('127.0.0.0/8')], authorities: issuerCertificate })
const strict = guardedFetch({ allowedNetworks: [], authorities: issuerCertificate })

const test = base.extend('server', async ({ task: _ }, { onCleanup }) => {
  const server = await startKeyServer()
  onCleanup(() => server.close())
  return server
})

test('a document is fetched, with how long it may be kept', async ({ server }) => {
  server.answer((request, response) => {
    expect(request.headers).toMatchObject({ 'accept-encoding': 'identity' })
    response.writeHead(200, { 'cache-control': 'public, max-age=120' }).end('{"keys":[]}')
  })
  expect(await local(`${server.url}/keys?a=b`)).toEqual({ text: '{"keys":[]}', maxAgeSeconds: 120 })
  expect(server.asked).toEqual(['/keys?a=b'])
})

test('whoever asks for fewer bytes gets no more, whatever the answer says of its length', async ({
  server,
}) => {
  server.answer((_request, response) => response.writeHead(200).end('x'.repeat(101)))
  expect(await local(`${server.url}/a`, 101)).toMatchObject({ text: 'x'.repeat(101) })
  await expect(local(`${server.url}/a`, 100)).rejects.toThrow('more than 100 bytes')
  server.answer((_request, response) =>
    response.writeHead(200, { 'content-length': '101' }).end('x'.repeat(101)),
  )
  await expect(local(`${server.url}/a`, 100)).rejects.toThrow('more than 100 bytes')
})

const target = 'https://localhost:1/'
test.for<[string, Answer, RegExp]>([
  ['a redirect', (_, response) => response.writeHead(302, { location: target }).end(), /redirect \(302\)/],
  ['a permanent one', (_, response) => response.writeHead(308, { location: '/' }).end(), /redirect \(308\)/],
  ['an error', (_, response) => response.writeHead(500).end('x'), /status 500/],
  ['no content', (_, response) => response.writeHead(204).end(), /status 204/],
  [
    'a compressed answer',
    (_, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync('x'.repeat(10_000_000))),
    /compressed/,
  ],
  [
    'a length that is too long',
    (_, response) => response.writeHead(200, { 'content-length': '200000000' }).write('x'),
    /more than/,
  ],
  [
    'an answer that never ends',
    (_, response) => {
      response.writeHead(200)
      const chunk = Buffer.alloc(64 * 1024, 'x')
      const more = (): void => {
        if (!response.destroyed) response.write(chunk, more)
      }
      more()
    },
    /more than/,
  ],
  [
    'an answer that breaks off',
    (_, response) => response.writeHead(200, { 'content-length': '10' }).write('x', () => response.destroy()),
    /breaks off|cannot be reached/,
  ],
  [
    'headers without end',
    (_, response) => response.writeHead(200, { a: 'x'.repeat(2 * limits.headerBytesMax) }).end(),
    /cannot be reached/,
  ],
  ['no answer but a hang-up', (_, response) => response.destroy(), /cannot be reached/],
])('%s is none', async ([, answer, problem], { server }) => {
  server.answer(answer)
  await expect(local(server.url)).rejects.toThrow(problem)
})

test('one byte now and then: given up in time', async ({ server }) => {
  server.answer((_, response) => {
    response.writeHead(200)
    const timer = setInterval(() => response.write(' '), 20)
    response.on('close', () => clearInterval(timer))
  })
  const hasty = guardedFetch({
    allowedNetworks: [parseNetwork('127.0.0.0/8')],
    authorities: issuerCertificate,
    milliseconds: 300,
  })
  await expect(hasty(server.url)).rejects.toThrow('it does not answer in time')
})

test.for([
  'http://localhost/',
  'ftp://localhost/',
  'https://user:password@localhost/',
  'https://user@localhost/',
  'file:///etc/passwd',
  'localhost',
])('%s is no address', async (url) => {
  await expect(local(url)).rejects.toThrow(/address/)
})

test.for([
  'https://127.0.0.1/',
  'https://127.1/',
  'https://2130706433/',
  'https://0x7f.1/',
  'https://0.0.0.0/',
  'https://10.0.0.7/',
  'https://172.16.0.1/',
  'https://192.168.0.1/',
  'https://100.64.0.1/',
  'https://169.254.169.254/latest/meta-data/',
  'https://[::1]/',
  'https://[::]/',
  'https://[::ffff:10.0.0.1]/',
  'https://[::ffff:a00:1]/',
  'https://[::10.0.0.1]/',
  'https://[fd00:ec2::254]/',
  'https://[3::1]/',
  'https://[2001:db8::1]/',
  'https://[4000::1]/',
  'https://[fe80::1]/',
  'https://[64:ff9b::a00:1]/',
  'https://[2002:a00:1::]/',
  'https://224.0.0.1/',
  'https://255.255.255.255/',
])('%s is no public address', async (url) => {
  await expect(strict(url)).rejects.toThrow(/no public address \(MINTMARK_FETCH_PRIVATE_NETWORKS/)
})

test('a name that leads to this machine is not followed, and nobody is asked', async ({ server }) => {
  await expect(strict(server.url)).rejects.toThrow(
    'localhost has no public address (MINTMARK_FETCH_PRIVATE_NETWORKS allows others)',
  )
  expect(server.asked).toEqual([])
})

test('a server that speaks no TLS, and one whose certificate nobody vouches for', async ({ server }) => {
  const unknowing = guardedFetch({ allowedNetworks: [parseNetwork('127.0.0.0/8')] })
  await expect(unknowing(server.url)).rejects.toThrow(
    /certificate is not trusted \((DEPTH_ZERO|SELF_SIGNED|UNABLE)\w+; MINTMARK_FETCH_CERTIFICATE_AUTHORITIES/,
  )
  // The name counts, and not only the authority.
  await expect(local(`https://127.0.0.2:${server.port}/`)).rejects.toThrow(/cannot be reached/)
  const plain = createServer((_, response) => response.end('{}'))
  await new Promise<void>((resolve) => plain.listen(0, '127.0.0.1', resolve))
  const { port } = plain.address() as AddressInfo
  await expect(local(`https://localhost:${port}/`)).rejects.toThrow(/cannot be reached/)
  plain.close()
})
