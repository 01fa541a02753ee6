import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import type { OpenLoop, OpenLoopResult, Turn } from '../open-loop.ts'
import { bytesOf } from '../requests.ts'
import { quantile } from '../statistics.ts'
import { type Answer, readAnswer } from './answers.ts'

/**
 * The open loop, in its own process. Requests have intended times in equal intervals, which do not depend on
 * earlier answers. Latency counts from the intended time. So a stall of the server counts for every request
 * that was due during the stall (no coordinated omission). If all connections are busy, a request waits for
 * one, and this wait counts too. Requests that the generator itself sent late are reported separately.
 */
const load = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as OpenLoop

/** Milliseconds after the last request until missing answers count as failed. */
const patienceMilliseconds = 5_000
/** Milliseconds in which all connections should be open. */
const connectMilliseconds = 2_000
/** A request counts as late if it is sent more than this many milliseconds after its intended time. */
const lateMilliseconds = 5
/** The shortest time in milliseconds between two wake-ups. Shorter ones cost CPU time without any gain. */
const tickMillisecondsMin = 0.25
/** Milliseconds between two bytes of a slow connection. */
const slowByteMilliseconds = 1_000
/**
 * Milliseconds until a lost connection is opened again, so that a server that refuses connections is not
 * flooded.
 */
const reopenMilliseconds = 5

/** The replicas that requests go to, in turn, as through a load balancer. */
const origins = [load.origin, ...(load.moreOrigins ?? [])]
const down = new Set<string>()

const placeOf = (origin: string) => ({
  host: new URL(origin).hostname,
  port: Number(new URL(origin).port),
  noDelay: true,
  ...(load.localAddress === undefined ? {} : { localAddress: load.localAddress }),
})
const place = placeOf(load.origin)

const requests = load.requests.map((request) => Buffer.from(bytesOf(request, load.origin), 'latin1'))
/**
 * The number of first requests that are not in the percentiles, because the generator's code is not compiled
 * yet.
 */
const lead = Math.round(load.ratePerSecond * load.leadSeconds)
const total = lead + Math.round(load.ratePerSecond * load.durationSeconds)
const intervalMilliseconds = 1_000 / load.ratePerSecond
const latencies = new Float64Array(total)
const statuses: Record<string, number> = {}
const idle: Connection[] = []
/** The numbers of the requests that wait for a connection. Entries before `firstWaiting` are done. */
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

/** The next replica that takes requests; undefined while there is none. */
function nextOrigin(): string | undefined {
  const up = origins.filter((origin) => !down.has(origin))
  turns += 1
  return up[turns % up.length]
}
let turns = 0

process.on('message', ({ origin, takesRequests }: Turn) => {
  if (takesRequests) down.delete(origin)
  else down.add(origin)
  // Connections are spread anew, each as soon as it has no request.
  for (const connection of connections) connection.turn()
})

class Connection {
  #socket: Socket | undefined
  #origin = ''
  #turns = false
  #received: Buffer | undefined
  /** The number of the current request. */
  #number: number | undefined

  open(): void {
    const origin = nextOrigin()
    if (origin === undefined) {
      this.#openLater()
      return
    }
    const socket = connect(placeOf(origin))
    this.#socket = socket
    this.#origin = origin
    this.#turns = false
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

  /** Moves to another replica, now or after the answer that it waits for. */
  turn(): void {
    this.#turns = true
    if (this.#number !== undefined) return
    this.#leaveIdle()
    this.#socket?.destroy()
  }

  #openLater(): void {
    setTimeout(() => this.open(), reopenMilliseconds)
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
    if (closes || this.#turns) this.#socket?.destroy()
    else giveWork(this)
  }

  /** Before its socket is closed: until Node says that it is, another request would be sent on it and lost. */
  #leaveIdle(): void {
    const index = idle.indexOf(this)
    if (index !== -1) idle.splice(index, 1)
  }

  #closed(socket: Socket): void {
    if (socket !== this.#socket) return
    this.#leaveIdle()
    if (this.#number !== undefined) {
      errors += 1
      settle(this.#number)
      this.#number = undefined
    }
    if (down.has(this.#origin)) this.open()
    else this.#openLater()
  }
}

/** Sends the next waiting request on a connection, or adds the connection to the idle ones. */
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

/** Opens connections that send a request byte by byte and never complete it. */
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

/**
 * Sends every request at its time. The time starts when the ticker is ready, because its start takes a while.
 */
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
  // The timer must not keep the process running, so it has no reference.
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
  // A request without an answer has waited for at least this time.
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
