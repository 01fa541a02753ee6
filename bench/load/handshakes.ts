import { readFileSync } from 'node:fs'
import { connect, type TLSSocket } from 'node:tls'
import type { Handshakes, HandshakesResult } from '../handshakes.ts'
import { bytesOf } from '../requests.ts'
import { readAnswer } from './answers.ts'

/**
 * Opens a new TLS connection without resumption for every request, in its own process. `connections` of them
 * run at the same time. Without a request, a connection closes after the handshake. The version, the cipher
 * and the group are fixed, so that two servers do the same work.
 */
const load = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as Handshakes
const { hostname, port } = new URL(load.origin)
const request = load.request === undefined ? undefined : bytesOf(load.request, load.origin)
const certificate = readFileSync(load.certificateFile)
const { clientCertificate } = load
const shown =
  clientCertificate === undefined
    ? {}
    : {
        cert: readFileSync(clientCertificate.certificateFile),
        key: readFileSync(clientCertificate.privateKeyFile),
      }
const statuses: Record<string, number> = {}
const negotiated = new Set<string>()
let answered = 0
let errors = 0

function noteHandshake(socket: TLSSocket): void {
  const { name } = socket.getCipher()
  const group = (socket.getEphemeralKeyInfo() as { name?: string }).name ?? 'unknown group'
  const resumed = socket.isSessionReused() ? ', resumed' : ''
  negotiated.add(`${socket.getProtocol()}, ${name}, ${group}${resumed}`)
}

function once(): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({
      host: hostname,
      port: Number(port),
      ca: certificate,
      ...shown,
      minVersion: 'TLSv1.3',
      ciphers: 'TLS_AES_256_GCM_SHA384',
      ecdhCurve: 'X25519',
    })
    let isAnswered = false
    let received = Buffer.alloc(0)
    socket.once('secureConnect', () => {
      noteHandshake(socket)
      if (request !== undefined) {
        socket.write(request)
        return
      }
      isAnswered = true
      socket.end()
    })
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk])
      const answer = readAnswer(received)
      if (answer === undefined || isAnswered) return
      isAnswered = true
      statuses[answer.status] = (statuses[answer.status] ?? 0) + 1
      socket.end()
    })
    socket.on('error', () => {})
    socket.once('close', () => {
      if (isAnswered) answered += 1
      else errors += 1
      resolve()
    })
  })
}

const startMilliseconds = performance.now()
const endMilliseconds = startMilliseconds + load.durationSeconds * 1_000
await Promise.all(
  Array.from({ length: load.connections }, async () => {
    while (performance.now() < endMilliseconds) await once()
  }),
)
process.send?.(
  {
    durationSeconds: (performance.now() - startMilliseconds) / 1_000,
    answered,
    errors,
    statuses,
    negotiated: [...negotiated].join('; '),
  } satisfies HandshakesResult,
  () => process.disconnect(),
)
