import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import type { OpenLoop, OpenLoopResult } from '../open-loop.ts'
import { bytesOf } from '../requests.ts'
import { quantile } from '../statistics.ts'
import { type Answer, readAnswer } from './answers.ts'

/**
 * The open loop, in a process of its own: requests leave at intended times, evenly spaced, whatever became of
 * those before. Latency counts from the intended time, so that a server that stalls is charged for everybody who
 * would have come meanwhile (no coordinated omission). A request that finds all connections busy waits for one, and
 * its wait counts too. Only what this generator itself was late is told apart.
 */
const load = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as OpenLoop

/** Milliseconds after the last request until answers that have not come count as failed. */
const patienceMilliseconds = 5_000
/** Milliseconds for all connections to stand. */
const connectMilliseconds = 2_000
/** Milliseconds after its intended time from which a send counts as late. */
const lateMilliseconds = 5
/** Milliseconds between two wake-ups at least: more would cost more than they are worth. */
const tickMillisecondsMin = 0.25
/** Milliseconds between two bytes of a slow connection. */
const slowByteMilliseconds = 1_000
/** Milliseconds until a lost connection is opened again: a server that refuses them must not be hammered. */
const reopenMilliseconds = 5

const { hostname, port } = new URL(load.origin)
const place = {
  host: hostname,
  port: Number(port),
  noDelay: true,
  ...(load.localAddress === undefined ? {} : { localAddress: load.localAddress }),
}
const requests = load.requests.map((request) => Buffer.from(bytesOf(request, load.origin), 'latin1'))
/** Requests that do not count in the percentiles: until the generator's own code is compiled. */
const lead = Math.round(load.ratePerSecond * load.leadSeconds)
const total = lead + Math.round(load.ratePerSecond * load.durationSeconds)
const intervalMilliseconds = 1_000 / load.ratePerSecond
const latencies = new Float64Array(total)
const statuses: Record<string, number> = {}
const idle: Connection[] = []
/** Numbers of requests that wait for a connection, from `firstWaiting` on. */
const waiting: number[] = []
let firstWaiting = 0
let sent = 0
let settled = 0
let errors = 0
let late = 0
let waited = 0
let startMilliseconds = Number.POSITIVE_INFINITY
let lastAnswerMilliseconds = 0
let allSettled: () => void = () => {}

const intendedAt = (number: number): number => startMilliseconds + number * intervalMilliseconds

class Connection {
  #socket: Socket | undefined
  #received: Buffer | undefined
  /** The number of the request that is under way. */
  #number: number | undefined

  open(): void {
    const socket = connect(place)
    this.#socket = socket
    this.#received = undefined
    socket.once('connect', () => giveWork(this))
    socket.on('data', (chunk) => this.#receive(chunk))
    socket.on('error', () => {})
    socket.once('close', () => this.#closed(socket))
  }

  close(): void {
    const socket = this.#socket
    this.#socket = undefined
    socket?.destroy()
  }

  send(number: number): void {
    this.#number = number
    this.#socket?.write(requests[number % requests.length] as Buffer)
  }

  #receive(chunk: Buffer): void {
    const received = this.#received === undefined ? chunk : Buffer.concat([this.#received, chunk])
    const answer = readAnswer(received)
    this.#received = answer === undefined ? received : undefined
    if (answer !== undefined) this.#complete(answer)
    sendDue()
  }

  #complete({ status, closes }: Answer): void {
    const number = this.#number
    this.#number = undefined
    if (number === undefined) return
    statuses[status] = (statuses[status] ?? 0) + 1
    settle(number)
    if (closes) this.#socket?.destroy()
    else giveWork(this)
  }

  #closed(socket: Socket): void {
    if (socket !== this.#socket) return
    const place = idle.indexOf(this)
    if (place !== -1) idle.splice(place, 1)
    if (this.#number !== undefined) {
      errors += 1
      settle(this.#number)
      this.#number = undefined
    }
    setTimeout(() => {
      if (this.#socket !== undefined) this.open()
    }, reopenMilliseconds)
  }
}

/** The next request that waits for a connection, or a place among the idle. */
function giveWork(connection: Connection): void {
  const number = waiting[firstWaiting]
  if (number === undefined) {
    idle.push(connection)
  } else {
    firstWaiting += 1
    connection.send(number)
  }
}

function sendDue(): void {
  const now = performance.now()
  while (sent < total && intendedAt(sent) <= now) {
    const counts = sent >= lead
    if (counts && now - intendedAt(sent) > lateMilliseconds) late += 1
    const connection = idle.shift()
    if (connection === undefined) {
      waiting.push(sent)
      if (counts) waited += 1
    } else {
      connection.send(sent)
    }
    sent += 1
  }
}

function settle(number: number): void {
  lastAnswerMilliseconds = performance.now()
  latencies[number] = lastAnswerMilliseconds - intendedAt(number)
  settled += 1
  if (settled === total) allSettled()
}

/** Connections that send a request byte by byte and never come to its end. */
function openSlowConnections(count: number): () => void {
  const bytes = requests[0] as Buffer
  const sockets = new Set<Socket>()
  const open = (): void => {
    const socket = connect(place)
    sockets.add(socket)
    let next = 0
    const timer = setInterval(() => {
      socket.write(bytes.subarray(next, next + 1))
      next += 1
    }, slowByteMilliseconds)
    socket.on('error', () => {}).on('data', () => {})
    socket.once('close', () => {
      clearInterval(timer)
      if (sockets.delete(socket)) setTimeout(open, slowByteMilliseconds).unref()
    })
  }
  for (let number = 0; number < count; number += 1) open()
  return () => {
    for (const socket of [...sockets]) {
      sockets.delete(socket)
      socket.destroy()
    }
  }
}

/** Sends everything at its time. The clock starts when the ticker is up, which takes a while. */
async function sendAll(): Promise<void> {
  const done = new Promise<void>((resolve) => {
    allSettled = resolve
  })
  const tickMilliseconds = Math.max(tickMillisecondsMin, intervalMilliseconds)
  const ticks = Math.ceil((total * intervalMilliseconds) / tickMilliseconds) + 2
  const ticker = new Worker(new URL('ticker.ts', import.meta.url), {
    workerData: { intervalMilliseconds: tickMilliseconds, ticks },
  })
  await once(ticker, 'message')
  startMilliseconds = performance.now()
  ticker.on('message', sendDue)
  ticker.postMessage('start')
  // Without a hold on the process, which is to end as soon as it is done.
  const patience = sleep(total * intervalMilliseconds + patienceMilliseconds, undefined, { ref: false })
  await Promise.race([done, patience])
  await ticker.terminate()
}

const connections = Array.from({ length: load.connections }, () => new Connection())
for (const connection of connections) connection.open()
const closeSlow = openSlowConnections(load.slowConnections ?? 0)
const connectDeadline = performance.now() + connectMilliseconds
while (idle.length < connections.length && performance.now() < connectDeadline) await sleep(10)
await sendAll()
const now = performance.now()
for (let number = 0; number < total; number += 1) {
  // Whoever still waits has waited this long at least.
  if (latencies[number] === 0) latencies[number] = now - intendedAt(number)
}
closeSlow()
for (const connection of connections) connection.close()
const sorted = latencies.slice(lead).sort()
process.send?.(
  {
    durationSeconds: (lastAnswerMilliseconds - startMilliseconds) / 1_000,
    answered: settled - errors,
    errors: errors + total - settled,
    statuses,
    p50Milliseconds: quantile(sorted, 0.5),
    p99Milliseconds: quantile(sorted, 0.99),
    p999Milliseconds: quantile(sorted, 0.999),
    maxMilliseconds: quantile(sorted, 1),
    lateShare: late / sorted.length,
    waitedShare: waited / sorted.length,
  } satisfies OpenLoopResult,
  () => process.disconnect(),
)
