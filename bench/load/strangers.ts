import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Strangers in their own process: connections from one address that do nothing, or send what they never finish, or
 * send many requests at once. Bounded in number and time. One that the server closes is opened again.
 */
export interface Strangers {
  readonly host: string
  readonly port: number
  readonly localAddress: string
  readonly connections: number
  /** New connections a second, at most. */
  readonly opensPerSecond: number
  /** Sent once on each connection. */
  readonly first: string
  /** Sent again for each answer, so that as many requests stay in flight. */
  readonly again: string
  readonly durationSeconds: number
}

export interface StrangersResult {
  readonly opened: number
  readonly closed: number
  readonly answers: number
}

const load = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as Strangers
const { host, port, localAddress } = load
const sockets = new Set<Socket>()
let opened = 0
let closed = 0
let answers = 0

function open(): void {
  const socket = connect({ host, port, localAddress, noDelay: true })
  sockets.add(socket)
  socket.on('error', () => {})
  socket.once('connect', () => {
    opened += 1
    socket.write(load.first)
  })
  socket.on('data', (chunk: Buffer) => {
    const arrived = chunk.toString('latin1').split('HTTP/1.1 ').length - 1
    answers += arrived
    if (load.again !== '') socket.write(load.again.repeat(arrived))
  })
  socket.once('close', () => {
    closed += 1
    sockets.delete(socket)
  })
}

const stepMilliseconds = 20
const endsAt = performance.now() + load.durationSeconds * 1_000
while (performance.now() < endsAt) {
  const most = Math.ceil((load.opensPerSecond * stepMilliseconds) / 1_000)
  for (let number = 0; number < most && sockets.size < load.connections; number += 1) open()
  await sleep(stepMilliseconds)
}
const result: StrangersResult = { opened, closed, answers }
for (const socket of sockets) socket.destroy()
process.send?.(result)
process.disconnect()
