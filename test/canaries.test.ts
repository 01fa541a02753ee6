/**
 * We stand on a few things that their owners promise to nobody (docs/DEPENDENCIES.md lists them). Each has a test here
 * that needs nothing else of the service. One that fails after an upgrade says what changed and who relies on it.
 */
import type { Serializable } from 'node:child_process'
import cluster, { type Worker } from 'node:cluster'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createRequire } from 'node:module'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { PreparedCall } from '../src/database/call.ts'

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

describe('pg', () => {
  test('has the connection that a commit is written to (src/database/call.ts)', () => {
    const connection = new pg.Connection() as unknown as Record<string, unknown>
    for (const name of ['parse', 'bind', 'execute', 'sync'])
      expect(connection[name], `pg's Connection has no ${name}() any more`).toBeTypeOf('function')
    expect(
      connection['parsedStatements'],
      'pg keeps the statements that a connection has prepared under another name than parsedStatements',
    ).toEqual({})
    for (const name of ['cork', 'uncork'])
      expect(
        (connection['stream'] as Record<string, unknown>)[name],
        `pg's Connection.stream has no ${name}()`,
      ).toBeTypeOf('function')
  })

  test('calls what a query object has, and prepares a statement once (src/database/call.ts)', async () => {
    const server = new ScriptedPostgres()
    const client = new pg.Client({ host: '127.0.0.1', port: await listen(server.server), user: 'canary' })
    try {
      await client.connect()
      const statement = { name: 'canary', text: 'SELECT $1' }
      const answers = [1, 2].map(() => client.query(new PreparedCall(statement, ['x'])).answer)
      expect(
        await Promise.all(answers),
        'pg does not hand the row of a PreparedCall to handleDataRow and handleReadyForQuery',
      ).toEqual(['answer', 'answer'])
      expect(
        server.received,
        'pg does not send a PreparedCall as parse, bind, execute and sync, or prepares its statement twice',
      ).toBe('PBES BES')
    } finally {
      await client.end()
      server.server.close()
    }
  })

  test('says in these words that the database is away (src/database/faults.ts)', () => {
    const require = createRequire(import.meta.url)
    const folder = dirname(require.resolve('pg/package.json'))
    const source = [join(folder, 'lib/client.js'), createRequire(folder).resolve('pg-pool')]
      .map((path) => readFileSync(path, 'utf8'))
      .join('\n')
    for (const sentence of [
      'Connection terminated',
      'Client has encountered a connection error and is not queryable',
      'timeout exceeded when trying to connect',
      'Client was closed and is not queryable',
      'Query read timeout',
      'timeout expired',
    ])
      expect(source.includes(sentence), `pg has no error "${sentence}" any more`).toBe(true)
  })
})

/** Says what PostgreSQL says to a call that succeeds, and notes by their first letters what it was sent. */
class ScriptedPostgres {
  received = ''
  readonly server = createServer((socket) => {
    let rest = Buffer.alloc(0)
    let started = false
    socket.on('data', (chunk) => {
      rest = Buffer.concat([rest, chunk])
      if (!started) {
        started = true
        rest = rest.subarray(rest.readInt32BE(0))
        socket.write(Buffer.concat([message('R', [0, 0, 0, 0]), message('Z', [0x49])]))
      }
      while (rest.length >= 5 && rest.length >= 1 + rest.readInt32BE(1)) {
        const type = String.fromCharCode(rest.readUInt8(0))
        rest = rest.subarray(1 + rest.readInt32BE(1))
        if (type === 'X') socket.end()
        else this.#take(type, socket)
      }
    })
  })

  #take(type: string, socket: Socket): void {
    const called = type !== 'S' && (this.received === '' || this.received.endsWith('S'))
    this.received += called && this.received !== '' ? ` ${type}` : type
    if (type === 'P') socket.write(message('1', []))
    if (type === 'B') socket.write(message('2', []))
    if (type === 'E') {
      const row = [0, 1, 0, 0, 0, 6, ...Buffer.from('answer')]
      socket.write(Buffer.concat([message('D', row), message('C', [...Buffer.from('SELECT 1\0')])]))
    }
    if (type === 'S') socket.write(message('Z', [0x49]))
  }
}

/** A message of PostgreSQL's protocol: a letter, its length, its content. */
function message(type: string, content: readonly number[]): Buffer {
  const head = Buffer.alloc(5)
  head.write(type)
  head.writeInt32BE(content.length + 4, 1)
  return Buffer.concat([head, Buffer.from(content)])
}

describe("Node's http", () => {
  test('keeps the answer that a socket is busy with under _httpMessage (src/http/broken-request.ts)', async () => {
    type Busy = Socket & { _httpMessage?: (ServerResponse & { req?: IncomingMessage }) | null }
    const sockets: Busy[] = []
    let isAnswer: boolean | undefined
    let isRequest: boolean | undefined
    const server = createHttpServer((request, response) => {
      const socket = request.socket as Busy
      sockets.push(socket)
      isAnswer = socket._httpMessage === response
      isRequest = socket._httpMessage?.req === request
      response.end('x')
    })
    const port = await listen(server)
    await (await fetch(`http://127.0.0.1:${port}/`)).text()
    server.close()
    expect(isAnswer, 'socket._httpMessage is not the answer that is under way').toBe(true)
    expect(isRequest, 'socket._httpMessage.req is not the request that is answered').toBe(true)
    expect(
      sockets[0]?._httpMessage ?? undefined,
      'socket._httpMessage stays after the answer is out',
    ).toBeUndefined()
  })

  test('does not read a new connection of a server with pauseOnConnect (src/http/pause.ts)', async () => {
    const server: Server & { pauseOnConnect?: boolean } = createHttpServer((_request, response) =>
      response.end('x'),
    )
    server.pauseOnConnect = true
    const port = await listen(server)
    const caller = connect(port, '127.0.0.1')
    const answered = once(caller, 'data')
    caller.write('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
    const [socket] = (await once(server, 'connection')) as [Socket]
    // Its bytes have arrived at this machine when those of a later connection have been answered.
    const later = once(server, 'connection') as Promise<[Socket]>
    const answer = fetch(`http://127.0.0.1:${port}/`, { headers: { connection: 'close' } })
    const [other] = await later
    other.resume()
    await (await answer).text()
    expect(socket.bytesRead, 'it was read at once').toBe(0)
    socket.resume()
    expect(String(await answered)).toContain('200 OK')
    server.close()
  })

  test('remembers the address of a connection that was asked for it (src/http/connections.ts)', async () => {
    const server = createServer()
    const port = await listen(server)
    const caller = connect(port, '127.0.0.1')
    const [socket] = (await once(server, 'connection')) as [Socket]
    const address = socket.remoteAddress
    socket.destroy()
    await once(socket, 'close')
    expect(socket.remoteAddress, 'a closed socket does not remember its remoteAddress any more').toBe(address)
    expect(address).toBe('127.0.0.1')
    caller.destroy()
    server.close()
  })
})

/** A worker that takes connections, and ends with 7 once its channel is closed, if Node lets it. */
const workerProgram = `
  import cluster from 'node:cluster'
  import { createServer } from 'node:net'
  cluster.worker.exitedAfterDisconnect = true
  process.on('disconnect', () => setImmediate(() => process.exit(7)))
  const server = createServer((socket) => socket.on('error', () => {}))
  server.listen(0, '127.0.0.1')
`

describe("Node's cluster", () => {
  const directory = mkdtempSync(join(tmpdir(), 'mintmark-canary-'))
  const callers: Socket[] = []
  const handles: { readonly close?: unknown }[] = []
  const answers: { readonly ack?: number; readonly accepted?: boolean }[] = []
  let worker: Worker

  beforeAll(async () => {
    const exec = join(directory, 'worker.mjs')
    writeFileSync(exec, workerProgram)
    cluster.schedulingPolicy = cluster.SCHED_RR
    cluster.setupPrimary({ exec, args: [], execArgv: [] })
    worker = cluster.fork()
    const send = worker.process.send.bind(worker.process)
    worker.process.send = (sent: Serializable, ...more: unknown[]): boolean => {
      if (typeof more[0] === 'object' && more[0] !== null) handles.push(more[0] as { close?: unknown })
      return Reflect.apply(send, worker.process, [sent, ...more])
    }
    worker.process.on('internalMessage', (answer) => {
      if (answer.ack !== undefined) answers.push(answer)
    })
    const [{ port }] = (await once(worker, 'listening')) as [AddressInfo]
    for (let index = 0; index < 2; index += 1) {
      const caller = connect(port, '127.0.0.1')
      caller.on('error', () => {})
      callers.push(caller)
      while (answers.length <= index) await once(worker.process, 'internalMessage')
    }
  })
  afterAll(() => {
    for (const caller of callers) caller.destroy()
    worker.process.kill('SIGKILL')
    rmSync(directory, { recursive: true })
  })

  test('sends connections with process.send, and the answer is an internalMessage (src/process/handover.ts)', () => {
    expect(
      handles.map(({ close }) => typeof close),
      'the primary does not hand connections over by worker.process.send(message, handle)',
    ).toEqual(['function', 'function'])
    expect(
      answers.map(({ ack }) => typeof ack),
      'a worker does not answer each connection with an internalMessage that has an ack',
    ).toEqual(['number', 'number'])
  })

  test('lets a worker go on without its primary after exitedAfterDisconnect (src/process/worker.ts)', async () => {
    const ended = once(worker, 'exit')
    worker.process.disconnect()
    expect(
      await ended,
      'Node ends a worker whose primary is gone, although exitedAfterDisconnect is set',
    ).toEqual([7, null])
  })
})
