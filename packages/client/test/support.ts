import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { onTestFinished } from 'vitest'
import { createTokenSource, type TokenSource, type TokenSourceOptions } from '../src/index.ts'
import type { Time } from '../src/time.ts'

export interface SeenRequest {
  readonly method: string
  readonly path: string
  readonly headers: IncomingMessage['headers']
  readonly body: string
  readonly form: URLSearchParams
}

export type Answer = (response: ServerResponse, request: SeenRequest) => unknown

export interface TestServer {
  readonly url: string
  /** All but those of the metadata. */
  readonly requests: SeenRequest[]
  /** The next answers, in order. The last one is given again and again. */
  answers: Answer[]
  /** Replaces the metadata. */
  metadata: Answer | undefined
  close(): Promise<void>
}

/** A token endpoint, or a relying service, that answers what a test says. */
export async function startServer(...answers: Answer[]): Promise<TestServer> {
  const server = createServer(async (request, response) => {
    const { method = '', url: path = '', headers } = request
    const body = await text(request).catch(() => '')
    if (path.startsWith('/.well-known/')) {
      const seen = { method, path, headers, body, form: new URLSearchParams() }
      const usual = () => json({ issuer: its.url, token_endpoint: `${its.url}/token` })(response)
      await (its.metadata === undefined ? usual() : its.metadata(response, seen))
      return
    }
    const seen = { method, path, headers, body, form: new URLSearchParams(body) }
    its.requests.push(seen)
    const answer = its.answers.length > 1 ? its.answers.shift() : its.answers[0]
    await answer?.(response, seen)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const its: TestServer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests: [],
    answers,
    metadata: undefined,
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close').catch(() => undefined)
    },
  }
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return its
}

export const json =
  (body: unknown, status = 200, headers: Record<string, string> = {}) =>
  (response: ServerResponse): void => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
  }

/** A token with a number, so that a test can tell one from the next. */
export function tokens(more: Record<string, unknown> = {}): Answer {
  let count = 0
  return (response) => {
    count += 1
    json({ access_token: `token-${count}`, token_type: 'Bearer', expires_in: 100, ...more })(response)
  }
}

export const never: Answer = () => undefined

/** A clock that a test sets. Whoever sleeps moves it. */
export class FakeTime implements Time {
  now = 1_800_000_000
  monotonic = 1_000
  chance = 0.5
  readonly slept: number[] = []
  readonly nowSeconds = (): number => this.now
  readonly monotonicSeconds = (): number => this.monotonic
  readonly random = (): number => this.chance
  sleep: Time['sleep'] = async (seconds, signal) => {
    signal.throwIfAborted()
    this.slept.push(seconds)
    this.pass(seconds)
  }

  pass(seconds: number): void {
    this.now += seconds
    this.monotonic += seconds
  }
}

export const newKey = () => generateKeyPairSync('ec', { namedCurve: 'P-256' })

/** Something that a test opens from outside, so that it knows in which order things happen. */
export function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open = (): void => undefined
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open }
}

/** The code and the status of the error that a promise ends with. */
export const failureOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'done',
    (error) => error,
  )

export const orders = 'https://orders.example.com'

/** A token source whose time a test sets, and the endpoint that it asks. */
export async function newSource(
  answers: readonly Answer[] = [tokens()],
  options: Partial<TokenSourceOptions> = {},
): Promise<{ server: TestServer; time: FakeTime; source: TokenSource; failures: unknown[] }> {
  const server = await startServer(...answers)
  const time = new FakeTime()
  const failures: unknown[] = []
  const source = createTokenSource({
    issuer: server.url,
    clientId: 'billing',
    clientSecret: 'secret',
    time,
    onRenewalFailed: (error) => failures.push(error),
    ...options,
  })
  return { server, time, source, failures }
}
