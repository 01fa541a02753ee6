import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { limits } from '../../src/limits.ts'
import { freshDatabase } from '../support/database.ts'
import { freePort } from '../support/ports.ts'
import { environmentOf, program, start } from '../support/process.ts'
import {
  basic,
  registerClient,
  requestToken,
  startService,
  type TestClient,
  type TestService,
} from '../support/service.ts'

/** Connections, bodies and requests of a stranger at one address, beside a good caller at another one. */

const stranger = '127.0.0.2'

let running: TestService
let good: TestClient

beforeAll(async () => {
  running = await startService()
  good = await registerClient(running.database)
})

afterAll(() => running.close())

const opened: Socket[] = []
afterEach(() => {
  for (const socket of opened.splice(0)) socket.destroy()
})

interface Peer {
  readonly socket: Socket
  readonly received: () => string
}

function openFrom(localAddress: string, sent = ''): Promise<Peer> {
  const port = Number(new URL(running.url).port)
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', localAddress })
    let text = ''
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      text += String(chunk)
    })
    socket.once('connect', () => {
      if (sent !== '') socket.write(sent)
      resolve({ socket, received: () => text })
    })
    opened.push(socket)
  })
}

async function openMany(count: number, sent = ''): Promise<Peer[]> {
  const peers: Peer[] = []
  while (peers.length < count) {
    const batch = Math.min(100, count - peers.length)
    peers.push(...(await Promise.all(Array.from({ length: batch }, () => openFrom(stranger, sent)))))
  }
  return peers
}

const countOpen = (peers: readonly Peer[]): number => peers.filter(({ socket }) => !socket.closed).length

interface Line {
  readonly event: string
  readonly counts: Readonly<Record<string, number>>
  readonly address?: string
}

function linesOf(event: string): Line[] {
  const lines = running.log().trim().split('\n')
  return lines.map((line) => JSON.parse(line) as Line).filter((line) => line.event === event)
}

const counted = (lines: readonly Line[], kind: string): number =>
  lines.reduce((sum, { counts }) => sum + (counts[kind] ?? 0), 0)

const formHead = (length: number, credentials: string): string =>
  `POST /token HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${credentials}\r\n` +
  `Content-Type: application/x-www-form-urlencoded\r\nContent-Length: ${length}\r\n\r\n`

async function expectServed(): Promise<void> {
  expect((await requestToken(running.url, good)).status).toBe(200)
  for (const path of ['/livez', '/readyz']) {
    const peer = await openFrom(
      stranger,
      `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`,
    )
    await expect.poll(peer.received, { interval: 5 }).toMatch(/^HTTP\/1\.1 200 /)
  }
}

describe('from one address', () => {
  test('more idle connections than it may have close the oldest of them, and nobody else is shut out', async () => {
    const excess = 200
    const peers = await openMany(limits.connectionsPerAddressMax + excess)
    await expectServed()
    await expect.poll(() => countOpen(peers)).toBeLessThanOrEqual(limits.connectionsPerAddressMax)
    expect(countOpen(peers.slice(0, excess))).toBe(0)
    await expect.poll(() => counted(linesOf('connections_closed'), 'idle')).toBeGreaterThanOrEqual(excess)
    const lines = linesOf('connections_closed')
    expect(lines.length).toBeLessThan(excess / 4)
    expect(lines[0]).toMatchObject({ address: stranger })
  })

  test('more unfinished bodies than it may have close the oldest of them', async () => {
    const excess = 100
    const size = limits.bodyBytesMax
    const unfinished = formHead(size, basic('nobody', 'x')) + 'x'.repeat(size - 1)
    const peers = await openMany(limits.unfinishedBodiesPerAddressMax + excess, unfinished)
    await expect.poll(() => countOpen(peers)).toBeLessThanOrEqual(limits.unfinishedBodiesPerAddressMax)
    await expectServed()
    await expect
      .poll(() => counted(linesOf('connections_closed'), 'unfinishedBody'))
      .toBeGreaterThanOrEqual(excess)
  })

  test('a thousand requests on twenty connections are all answered, few at a time', async () => {
    const body = 'grant_type=client_credentials'
    const request = formHead(body.length, basic(good.clientId, good.secret)) + body
    const peers = await openMany(20)
    for (const { socket } of peers) socket.write(request.repeat(50))
    await expectServed()
    const answers = (): number =>
      peers.reduce((sum, { received }) => sum + received().split('HTTP/1.1 200').length - 1, 0)
    await expect.poll(answers).toBe(1_000)
  })

  test('broken requests are counted in a line a second', async () => {
    const broken = 300
    await openMany(broken, 'GARBAGE\r\n\r\n')
    const total = (): number => counted(linesOf('broken_request'), 'HPE_INVALID_METHOD')
    await expect.poll(total).toBe(broken)
    expect(linesOf('broken_request').length).toBeLessThan(broken / 4)
    await expectServed()
  })
})

test('connections that never sent a request do not hold up a stop, and one with a request is answered', async () => {
  const stopped = await startService()
  const port = Number(new URL(stopped.url).port)
  const client = await registerClient(stopped.database)
  const body = 'grant_type=client_credentials'
  const open = (): Socket => connect({ port, host: '127.0.0.1' })
  const busy = open()
  const silent = open()
  let received = ''
  busy.on('data', (chunk) => {
    received += String(chunk)
  })
  busy.write(formHead(body.length, basic(client.clientId, client.secret)) + body.slice(0, -1))
  // Both have arrived by the time that a later request is answered.
  expect((await requestToken(stopped.url, client)).status).toBe(200)
  const isClosed = once(silent.resume(), 'close')
  const closing = stopped.close()
  await isClosed
  busy.write(body.slice(-1))
  await once(busy, 'close')
  expect(received).toMatch(/^HTTP\/1\.1 200 /)
  await closing
})

test('a process that may open few files says so and holds fewer connections', async () => {
  const database = await freshDatabase()
  const port = await freePort()
  const openFiles = 250
  const service = start(
    'sh',
    ['-c', `ulimit -n ${openFiles}; exec "$0" "$@"`, process.execPath, program, 'serve'],
    { environment: environmentOf(database.url, { PORT: String(port) }) },
  )
  try {
    await service.until(() => service.output().includes('"event":"listening"'))
    const fits = openFiles - limits.openFilesReserved
    const line =
      service
        .output()
        .split('\n')
        .find((text) => text.includes('"open_files_few"')) ?? '{}'
    expect(JSON.parse(line)).toMatchObject({ openFilesMax: openFiles, connectionsMax: fits })
    for (let number = 0; number < fits + 50; number += 1) {
      const socket = connect({ port, host: '127.0.0.1', localAddress: stranger })
      socket.on('error', () => {})
      opened.push(socket)
    }
    expect((await fetch(`http://127.0.0.1:${port}/readyz`)).status).toBe(200)
    await service.until(() => service.output().includes('"event":"connections_closed"'))
  } finally {
    await service.end('SIGTERM')
    await database.drop()
  }
})
