/** A server of keys that a test can turn hostile, over TLS on this machine. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { issuerCertificate, issuerPrivateKey } from './certificate.ts'

export interface KeyServer {
  /** `https://localhost:<port>`. */
  readonly url: string
  readonly port: number
  /** The paths that were asked for, in order. */
  readonly asked: readonly string[]
  /** What is answered from now on. */
  answer(with_: Answer): void
  close(): Promise<void>
}

/** A JSON document for each path, or what a hostile one does. */
export type Answer =
  | Readonly<Record<string, unknown>>
  | ((request: IncomingMessage, response: ServerResponse) => void)

export async function startKeyServer(first: Answer = {}): Promise<KeyServer> {
  const asked: string[] = []
  let current = first
  const server = createServer({ cert: issuerCertificate, key: issuerPrivateKey }, (request, response) => {
    asked.push(request.url ?? '')
    if (typeof current === 'function') return current(request, response)
    const document = current[request.url ?? '']
    if (document === undefined) return response.writeHead(404).end()
    return response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(document))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `https://localhost:${port}`,
    port,
    asked,
    answer(with_) {
      current = with_
    },
    async close() {
      server.closeAllConnections()
      if (server.listening) await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** What lets a service fetch from such a server. */
export const fetchingLocally = {
  MINTMARK_FETCH_PRIVATE_NETWORKS: '127.0.0.0/8',
  MINTMARK_FETCH_CERTIFICATE_AUTHORITIES: issuerCertificate,
}
