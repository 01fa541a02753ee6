import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { Agent, request as httpsRequest } from 'node:https'
import { Readable } from 'node:stream'
import { TokenError } from './errors.ts'
import { readPrivateKey, type SigningKey } from './key.ts'

/** Files of a client certificate, such as those that cert-manager or `mintmark ca` write. */
export interface CertificateFiles {
  readonly certificateFile: string
  readonly privateKeyFile: string
}

export interface TransportFiles {
  readonly certificate?: CertificateFiles | undefined
  /** The CAs that sign servers’ certificates, in PEM. Default: those of Node. */
  readonly caFile?: string | undefined
}

interface Loaded {
  readonly agent: Agent
  readonly key: SigningKey | undefined
}

/** Seconds for which an idle connection is kept. Each is for one certificate, so a renewed one begins another. */
const idleSeconds = 30

/**
 * `fetch` over TLS with a client certificate or with CAs of one’s own, which Node’s own `fetch` has no option for. The
 * files are read again when they have changed. A certificate beside the key of another one is not used: whoever replaces
 * the files has not finished. It follows no redirects.
 */
export class Transport {
  readonly #files: TransportFiles
  readonly #plainFetch: typeof fetch
  #loaded: Loaded | undefined
  #seen = ''
  #generation = 0

  constructor(files: TransportFiles, plainFetch: typeof fetch) {
    this.#files = files
    this.#plainFetch = plainFetch
  }

  readonly fetch: typeof fetch = async (input, init) => {
    const request = new Request(input, init)
    if (new URL(request.url).protocol !== 'https:') return await this.#plainFetch(request)
    return await send(request, this.#current().agent)
  }

  /** Another number after each renewal. A token may be bound to the certificate with which it was asked for. */
  get generation(): number {
    try {
      this.#current()
    } catch {
      // Whoever sends something hears of it.
    }
    return this.#generation
  }

  /** The key of the certificate. @throws TokenError if it cannot be read, or cannot sign. */
  get signingKey(): SigningKey {
    const { key } = this.#current()
    if (key === undefined)
      throw new TokenError('credential_unreadable', 'There is no certificate with a key that signs.')
    return key
  }

  #current(): Loaded {
    const paths = [
      this.#files.certificate?.certificateFile,
      this.#files.certificate?.privateKeyFile,
      this.#files.caFile,
    ]
    try {
      const seen = paths.map(fingerprint).join()
      if (this.#loaded === undefined || seen !== this.#seen) {
        this.#loaded = load(this.#files)
        this.#generation += 1
        this.#seen = seen
      }
    } catch (error) {
      // What was read before goes on until the files are right.
      if (this.#loaded === undefined) throw error
    }
    return this.#loaded
  }
}

/** Changes whenever a file is replaced, also behind a symbolic link. */
function fingerprint(path: string | undefined): string {
  if (path === undefined) return ''
  try {
    const { ino, size, mtimeMs, ctimeMs } = statSync(path)
    return `${ino}/${size}/${mtimeMs}/${ctimeMs}`
  } catch (error) {
    throw unreadable(path, error)
  }
}

function load({ certificate, caFile }: TransportFiles): Loaded {
  const ca = caFile === undefined ? {} : { ca: readPem(caFile) }
  const connection = { keepAlive: true, timeout: idleSeconds * 1000, minVersion: 'TLSv1.2' } as const
  if (certificate === undefined) return { agent: new Agent({ ...connection, ...ca }), key: undefined }
  const cert = readPem(certificate.certificateFile)
  const key = readPem(certificate.privateKeyFile)
  let isPair: boolean
  try {
    isPair = new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))
  } catch (error) {
    throw unreadable(certificate.certificateFile, error)
  }
  if (!isPair)
    throw new TokenError(
      'credential_unreadable',
      `${certificate.privateKeyFile} is not the key of ${certificate.certificateFile}.`,
    )
  return { agent: new Agent({ ...connection, ...ca, cert, key }), key: signingKeyOf(key) }
}

/** TLS knows more kinds of keys than signatures of requests. */
function signingKeyOf(pem: string): SigningKey | undefined {
  try {
    return readPrivateKey(pem)
  } catch {
    return undefined
  }
}

function readPem(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw unreadable(path, error)
  }
}

function unreadable(path: string, cause: unknown): TokenError {
  const { code } = cause as NodeJS.ErrnoException
  return new TokenError('credential_unreadable', `${path}: cannot be used (${code ?? 'it is not PEM'}).`, {
    cause,
  })
}

/** Statuses whose answers have no body (Fetch §2.2.3). */
const withoutBody = [101, 204, 205, 304]

async function send(request: Request, agent: Agent): Promise<Response> {
  const body = request.body === null ? undefined : Buffer.from(await request.arrayBuffer())
  const headers: Record<string, string> = Object.fromEntries(request.headers)
  if (body !== undefined) headers['content-length'] = String(body.length)
  return await new Promise((resolve, reject) => {
    const outgoing = httpsRequest(request.url, {
      method: request.method,
      headers,
      agent,
      signal: request.signal,
    })
    // Not once: what happens after the answer has begun is heard by whoever reads it.
    outgoing.on('error', (error) => reject(request.signal.aborted ? request.signal.reason : error))
    // Without an error, for example after an answer with another protocol, which nobody asked for.
    outgoing.once('close', () => reject(new TypeError('The connection was closed without an answer.')))
    outgoing.once('response', (incoming) => {
      const status = incoming.statusCode ?? 0
      if (request.redirect === 'error' && status >= 300 && status < 400 && status !== 304) {
        incoming.destroy()
        reject(new TypeError('The answer is a redirect, and none is allowed.'))
        return
      }
      try {
        resolve(responseOf(incoming, status))
      } catch (error) {
        // A status or a header that Fetch does not know. Thrown here, it would end the process.
        incoming.destroy()
        reject(error)
      }
    })
    outgoing.end(body)
  })
}

function responseOf(incoming: IncomingMessage, status: number): Response {
  const headers = new Headers()
  for (let index = 0; index < incoming.rawHeaders.length; index += 2)
    headers.append(incoming.rawHeaders[index] ?? '', incoming.rawHeaders[index + 1] ?? '')
  const init = { status, statusText: incoming.statusMessage ?? '', headers }
  if (withoutBody.includes(status)) {
    incoming.resume()
    return new Response(null, init)
  }
  return new Response(Readable.toWeb(incoming) as ReadableStream, init)
}
