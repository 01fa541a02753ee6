import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FreshDatabase } from './database.ts'
import { basic, exchange, requestToken, type TestClient } from './service.ts'

export interface Load {
  /** The `jti` of every token that a caller read to its end. */
  readonly tokens: Set<string>
  readonly statuses: number[]
  /** Requests that got no answer. */
  broken: number
  /** Waits for the end of every request. */
  stop(): Promise<void>
}

/**
 * Asks for tokens until stopped, `callers` at a time, each with a short rest after an answer: there is always a
 * request under way, and some CPU left for the tests that run beside it.
 */
export function startLoad(
  url: string,
  client: TestClient,
  { callers = 16, restMilliseconds = 25 }: { callers?: number; restMilliseconds?: number } = {},
): Load {
  let stopped = false
  const load: Load = {
    tokens: new Set(),
    statuses: [],
    broken: 0,
    async stop() {
      stopped = true
      await Promise.all(calling)
    },
  }
  async function call(): Promise<void> {
    while (!stopped) {
      try {
        const response = await requestToken(url, client)
        const answer = (await response.json()) as { access_token?: string }
        load.statuses.push(response.status)
        if (answer.access_token !== undefined) load.tokens.add(jtiOf(answer.access_token))
        if (restMilliseconds > 0) await sleep(restMilliseconds)
      } catch {
        load.broken += 1
        await sleep(5)
      }
    }
  }
  const calling = Array.from({ length: callers }, call)
  return load
}

function jtiOf(token: string): string {
  return JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString()).jti
}

/** How many of these tokens have a record. */
export async function recorded(database: FreshDatabase, tokens: ReadonlySet<string>): Promise<number> {
  const rows = await database.query(
    `SELECT jti FROM audit_record WHERE outcome = 'issued' AND jti = ANY($1)`,
    [[...tokens]],
  )
  return rows.length
}

export interface RawRequest {
  readonly client?: Pick<TestClient, 'clientId' | 'secret'>
  readonly body?: string
}

/**
 * Sends many token requests at once over a few connections, on each one behind the other without waiting: what
 * hundreds of connections would do, without the time that it takes to open them. @returns the answers as text.
 */
export async function flood(
  url: string,
  requests: readonly RawRequest[],
  connections = 25,
): Promise<string[]> {
  const share = Math.ceil(requests.length / connections)
  const shares = Array.from({ length: connections }, (_, index) =>
    requests.slice(index * share, (index + 1) * share),
  )
  const texts = await Promise.all(
    shares
      .filter(({ length }) => length > 0)
      .map((each) =>
        exchange(url, each.map((request, index) => raw(request, index === each.length - 1)).join('')),
      ),
  )
  return texts.flatMap((text) => text.split(/(?=HTTP\/1\.1 \d{3} )/))
}

function raw({ client, body = 'grant_type=client_credentials' }: RawRequest, isLast: boolean): string {
  const authorization =
    client === undefined ? '' : `Authorization: ${basic(client.clientId, client.secret)}\r\n`
  return (
    `POST /token HTTP/1.1\r\nHost: localhost\r\n${authorization}${isLast ? 'Connection: close\r\n' : ''}` +
    `Content-Type: application/x-www-form-urlencoded\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  )
}

export const statusOf = (answer: string): number => Number(answer.slice(9, 12))

export interface Stalled {
  readonly socket: Socket
  /** Sends what is missing, and reads the answer to its end. */
  finish(): Promise<string>
}

/** A request of a stranger whose headers the service has read, and whose body does not come yet. */
export async function stall(url: string, connection = 'close'): Promise<Stalled> {
  const body = 'grant_type=client_credentials'
  let answer = ''
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  const ended = new Promise<string>((resolve) => socket.once('close', () => resolve(answer)))
  socket.on('error', () => {})
  socket.write(
    `POST /token HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${basic('a', 'b')}\r\nExpect: 100-continue\r\n` +
      `Content-Type: application/x-www-form-urlencoded\r\nContent-Length: ${body.length}\r\nConnection: ${connection}\r\n\r\n`,
  )
  // Its "100 Continue".
  await new Promise((resolve) => socket.once('data', resolve))
  socket.on('data', (chunk) => {
    answer += String(chunk)
  })
  return {
    socket,
    finish() {
      socket.write(body)
      return ended
    },
  }
}
