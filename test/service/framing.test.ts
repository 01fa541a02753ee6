/** Where a proxy in front and this service may disagree about a message, it is refused, and said. */
import { expect } from 'vitest'
import { sharedTest } from '../support/fixtures.ts'
import { exchange, startService } from '../support/service.ts'
import { until } from '../support/wait.ts'

const test = sharedTest.extend('running', { scope: 'file' }, async ({ database }, { onCleanup }) => {
  const running = await startService({ database })
  onCleanup(() => running.close())
  return running
})

const chunked = 'Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n'

/** What it is, the bytes, the status, and how the log counts it. */
const framings = [
  ['no Host', 'GET /livez HTTP/1.1\r\n\r\n', 400, 'HOST_MISSING'],
  ['a Host that is none', 'GET /livez HTTP/1.1\r\nHost: a b\r\n\r\n', 400, 'HOST_MALFORMED'],
  ['another HTTP', 'GET /livez HTTP/2.0\r\nHost: a\r\n\r\n', 505, 'HTTP_VERSION'],
  ['a method of another protocol', 'DESCRIBE /token RTSP/1.0\r\n\r\n', 505, 'HTTP_VERSION'],
  ['no version', 'GET /livez\r\n\r\n', 505, 'HTTP_VERSION'],
  [
    'chunks in HTTP/1.0',
    `POST /token HTTP/1.0\r\nConnection: keep-alive\r\n${chunked}`,
    501,
    'TRANSFER_CODING',
  ],
  [
    'two codings',
    `POST /token HTTP/1.1\r\nHost: a\r\n${chunked.replace(': ', ': gzip, ')}`,
    501,
    'TRANSFER_CODING',
  ],
  ['a tunnel', 'CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n', 405, 'CONNECT'],
  [
    'an expectation',
    'GET /livez HTTP/1.1\r\nHost: a\r\nExpect: x\r\nConnection: close\r\n\r\n',
    417,
    'EXPECTATION',
  ],
  [
    'a coding without an end',
    'POST /token HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\nabc',
    501,
    'TRANSFER_CODING',
  ],
  ['a malformed URL', 'GET /%zz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n', 400, 'URL_MALFORMED'],
] as const

test('what Node takes, or refuses without a word, is refused with our headers and counted in the log', async ({
  running,
}) => {
  for (const [title, bytes, status] of framings) {
    const answer = (await exchange(running.url, bytes)).toLowerCase()
    expect([title, answer]).toEqual([title, expect.stringMatching(new RegExp(`^http/1\\.1 ${status} `))])
    expect([title, answer]).toEqual([title, expect.stringContaining("default-src 'none'")])
    expect([title, answer]).toEqual([title, expect.stringContaining('connection: close')])
    expect([title, answer.match(/http\/1\.1 \d{3} /g)]).toEqual([title, [expect.anything()]])
  }
  const isCounted = (code: string): boolean => new RegExp(`"counts":\\{[^}]*"${code}":`).test(running.log())
  await until(() => framings.every(([, , , code]) => isCounted(code)))
})

test('a Host of every form that there is gets its answer', async ({ running }) => {
  for (const host of ['', 'a', 'a.example:8080', '127.0.0.1', '[::1]:80', 'xn--a_b.example:'])
    expect(
      await exchange(running.url, `GET /livez HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`),
    ).toMatch(/^HTTP\/1\.1 200 /)
})
