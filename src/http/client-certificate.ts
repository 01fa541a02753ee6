import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { type PresentedCertificate, presentedCertificate } from '../authentication/certificate.ts'
import { limits } from '../limits.ts'

/**
 * How the certificate of a caller arrives: with its connection. The handshake proved that the caller has its key, and
 * nothing else: OpenSSL's verdict is as old as the connection, so it is never used.
 */
export function certificateOf({ socket }: IncomingMessage): PresentedCertificate | undefined {
  let presented = ofConnections.get(socket)
  if (presented === undefined) {
    presented = readFrom(socket)
    ofConnections.set(socket, presented)
  }
  return presented === 'none' ? undefined : presented
}

/** A connection has one certificate from its beginning to its end: it is never negotiated again (tls.ts). */
const ofConnections = new WeakMap<Socket, PresentedCertificate | 'none'>()

function readFrom(socket: Socket): PresentedCertificate | 'none' {
  if (!(socket instanceof TLSSocket)) return 'none'
  const leaf = socket.getPeerX509Certificate()
  if (leaf === undefined) return 'none'
  const intermediates: Buffer[] = []
  // The certificates as they were sent. One more than may be sent is enough to refuse them.
  for (let next = leaf.issuerCertificate; next !== undefined; next = next.issuerCertificate) {
    intermediates.push(next.raw)
    if (intermediates.length > limits.certificatesPresentedMax) break
  }
  return presentedCertificate(leaf.raw, intermediates)
}
