import { randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import { Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { hintOf, makeSecret } from '../../src/authentication/secret.ts'
import type { NewSecret } from '../../src/authentication/secret-hash.ts'
import { type Config, readConfig } from '../../src/config.ts'
import { untilDatabaseAnswers } from '../../src/database/check.ts'
import { keyEncryptionKey } from '../../src/keys/seal.ts'
import type { ScheduleSettings } from '../../src/keys/state.ts'
import type { Clock } from '../../src/lib/clock.ts'
import { openService, type Service } from '../../src/server.ts'
import { createLog } from '../../src/telemetry/log.ts'
import { type FreshDatabase, freshDatabase } from './database.ts'
import { fullHash } from './full-hash.ts'
import { freePort } from './ports.ts'

export interface TestService {
  readonly service: Service
  readonly database: FreshDatabase
  /** `http://127.0.0.1:<port>`, also its issuer. */
  readonly url: string
  /** Everything logged so far. */
  readonly log: () => string
  /** May be called again. */
  close(): Promise<void>
}

export interface TestServiceOptions {
  readonly database?: FreshDatabase
  readonly environment?: Record<string, string>
  readonly clock?: Clock
  readonly key?: Buffer
}

/** What seals the keys of every test service that brings no key of its own. */
export const testKey = randomBytes(32)

/**
 * Keys that live seconds: the shortest schedule that may be, so that a test sees rotations. Published for 7 s
 * before they sign, and a new one every 7 s.
 */
export const drillSchedule = {
  keyLifetimeSeconds: 14,
  tokenLifetimeSecondsMax: 1,
  jwksMaxAgeSeconds: 1,
  verifierCooldownSeconds: 1,
  clockSkewSeconds: 1,
} as const satisfies ScheduleSettings

/** The settings by which the service gets a schedule. */
export function scheduleEnvironment(schedule: ScheduleSettings): Record<string, string> {
  return {
    MINTMARK_KEY_LIFETIME_SECONDS: String(schedule.keyLifetimeSeconds),
    MINTMARK_TOKEN_LIFETIME_SECONDS_MAX: String(schedule.tokenLifetimeSecondsMax),
    MINTMARK_JWKS_MAX_AGE_SECONDS: String(schedule.jwksMaxAgeSeconds),
    MINTMARK_VERIFIER_COOLDOWN_SECONDS: String(schedule.verifierCooldownSeconds),
    MINTMARK_CLOCK_SKEW_SECONDS: String(schedule.clockSkewSeconds),
  }
}

/** The real service, listening on a free port, on a database of its own unless it is given one. */
export async function startService(options: TestServiceOptions = {}): Promise<TestService> {
  const database = options.database ?? (await freshDatabase())
  const port = await freePort()
  const config: Config = readConfig({
    PORT: String(port),
    DATABASE_URL: database.url,
    MINTMARK_LOG_LEVEL: 'debug',
    ...options.environment,
  })
  const lines: string[] = []
  const destination = new Writable({
    write(chunk, _encoding, done) {
      lines.push(String(chunk))
      done()
    },
  })
  // Where all tests begin at once, the database may well answer late.
  const service = await untilDatabaseAnswers(() =>
    openService({
      config,
      databaseUrl: database.url,
      keyEncryptionKeys: [keyEncryptionKey(options.key ?? testKey)],
      log: createLog(config.logLevel, destination),
      ...(options.clock === undefined ? {} : { clock: options.clock }),
    }),
  )
  await service.app.listen({ host: config.host, port: config.port })
  let closed: Promise<void> | undefined
  async function close(): Promise<void> {
    await service.close()
    if (options.database === undefined) await database.drop()
  }
  return {
    service,
    database,
    url: `http://127.0.0.1:${port}`,
    log: () => lines.join(''),
    close() {
      closed ??= close()
      return closed
    },
  }
}

export const orders = 'https://orders.example.com'
export const invoices = 'https://invoices.example.com'

export interface TestClient {
  readonly clientId: string
  readonly secretId: string
  readonly secret: string
}

export interface TestClientOptions {
  readonly clientId?: string
  /** Null: none is named. */
  readonly method?: string | null
  readonly access?: Readonly<Record<string, readonly string[]>>
  readonly networks?: readonly string[]
  readonly expiresAt?: Date
  /** Whether to check its secret costs what it costs outside of tests. Tests of load and of time need that. */
  readonly isCostly?: boolean
}

/** A well-formed secret that nobody has. */
export const unknownSecret = (): string => makeSecret(randomBytes).secret

/** @param memoryCost KiB. */
async function newSecret(memoryCost: number): Promise<NewSecret> {
  const { secretId, secret } = makeSecret(randomBytes)
  const hash = await fullHash()(secret, { memoryCost, timeCost: 2, parallelism: 1 })
  return { secretId, secret, hint: hintOf(secretId), hash }
}

/**
 * Writes rows as an administrator's command leaves them: without a note that a hand changed them, which would become a
 * record of the ledger at any moment.
 */
async function writeRows(
  database: FreshDatabase,
  rows: readonly (readonly [text: string, ...values: unknown[]])[],
): Promise<void> {
  const statements = rows.map(([text, ...values]) =>
    text.replace(/\$(\d+)/g, (_, number: string) => literal(values[Number(number) - 1])),
  )
  // Several statements in one query are one transaction.
  await database.query(
    [
      ...statements,
      'DELETE FROM registry_unrecorded_change WHERE transaction_id = pg_current_xact_id()::text::bigint',
    ].join(';'),
  )
}

function literal(value: unknown): string {
  if (value === null) return 'NULL'
  if (Array.isArray(value)) return `ARRAY[${value.map(literal).join(', ')}]::text[]`
  return pg.escapeLiteral(value instanceof Date ? value.toISOString() : String(value))
}

const resourceRows = [
  `INSERT INTO resource (audience, name, scopes, token_lifetime_seconds) VALUES
     ($1, 'Orders', '{orders:read,orders:write}', 300), ($2, 'Invoices', '{invoices:read}', 60)
   ON CONFLICT DO NOTHING`,
  orders,
  invoices,
] as const

/** Two resources that most tests need. */
export async function registerResources(database: FreshDatabase): Promise<void> {
  await writeRows(database, [resourceRows])
}

let clientsMade = 0

/** No random one: of a name that looks like a credential, and is not in memory, records keep a hash. */
function newClientId(): string {
  clientsMade += 1
  return `client-${process.pid}-${clientsMade}`
}

/** A client as SQL writes it: what the service must understand, whoever made the row. */
export async function registerClient(
  database: FreshDatabase,
  options: TestClientOptions = {},
): Promise<TestClient> {
  const clientId = options.clientId ?? newClientId()
  const { secretId, secret, hash, hint } = await newSecret(options.isCostly === true ? 19_456 : 64)
  const method = options.method === undefined ? 'client_secret_basic' : options.method
  const access = Object.entries(options.access ?? { [orders]: ['orders:read', 'orders:write'] })
  await writeRows(database, [
    resourceRows,
    [
      `INSERT INTO client (client_id, name, token_endpoint_auth_method, allowed_networks, expires_at)
       VALUES ($1, $1, $2, $3, $4)`,
      clientId,
      method,
      options.networks ?? [],
      options.expiresAt ?? null,
    ],
    [
      'INSERT INTO client_secret (secret_id, client_id, hash, hint) VALUES ($1, $2, $3, $4)',
      secretId,
      clientId,
      hash,
      hint,
    ],
    ...access.map(
      ([audience, scopes]) =>
        [
          'INSERT INTO access (client_id, audience, scopes) VALUES ($1, $2, $3)',
          clientId,
          audience,
          scopes,
        ] as const,
    ),
  ])
  return { clientId, secretId, secret }
}

export function basic(clientId: string, secret: string): string {
  return `Basic ${Buffer.from(`${encodeURIComponent(clientId)}:${encodeURIComponent(secret)}`).toString('base64')}`
}

/** `POST /token` the way a plain client does it. */
export function requestToken(
  url: string,
  client: Pick<TestClient, 'clientId' | 'secret'>,
  parameters: Record<string, string> = {},
): Promise<Response> {
  return fetch(`${url}/token`, {
    method: 'POST',
    headers: { authorization: basic(client.clientId, client.secret) },
    body: new URLSearchParams({ grant_type: 'client_credentials', ...parameters }),
  })
}

/** How a service refuses that is too slow at this moment. Where all tests run at once, that says nothing of it. */
const slowness = /cannot reach its database|at capacity/

/** Like `requestToken`, by a caller that tries again where the service is too slow. For tests of anything else. */
export const requestTokenPatiently = (...request: Parameters<typeof requestToken>): Promise<Response> =>
  patiently(() => requestToken(...request))

/** Asks again where the service is too slow. @param ask each time with a new assertion or proof, because they count once. */
export async function patiently(ask: () => Promise<Response>): Promise<Response> {
  for (;;) {
    const response = await ask()
    if (response.status !== 503 || !slowness.test(await response.clone().text())) return response
    await sleep(20)
  }
}

/** Opens a connection, writes what it is told, and resolves with everything received once it is closed. */
export function exchange(url: string, sent: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk.toString()
    })
    socket.on('error', reject)
    socket.on('close', () => resolve(text))
    socket.write(sent)
  })
}
