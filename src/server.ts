import { randomBytes, randomUUID } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import { buildApp } from './app.ts'
import { FailureLimit } from './clients/failure-limit.ts'
import { hashOfNothing } from './clients/secret.ts'
import { openSecretUses } from './clients/secret-uses.ts'
import { Verification } from './clients/verification.ts'
import { type Clock, systemClock } from './clock.ts'
import type { Config } from './config.ts'
import { type Database, errorCode, openDatabase } from './database/open.ts'
import { OperatorError } from './errors.ts'
import { Keyring } from './keys/keyring.ts'
import type { KeyEncryptionKey } from './keys/seal.ts'
import { openLedger } from './ledger/ledger.ts'
import { limits } from './limits.ts'
import { describeError, type Log } from './log.ts'
import { Registry } from './registry/registry.ts'
import { release } from './release.ts'

/**
 * The process: everything opened in order, and closed in the opposite one. The database is given, up and
 * migrated; who started it (the command, or a test) also ends it.
 */
export interface ServiceOptions {
  readonly config: Config
  readonly databaseUrl: string
  readonly keyEncryptionKey: KeyEncryptionKey
  readonly log: Log
  readonly clock?: Clock
}

export interface Service {
  readonly app: FastifyInstance
  readonly database: Database
  readonly keyring: Keyring
  /** Whether this start made the very first signing key. */
  readonly firstKeyMade: boolean
  /** Stops accepting, answers what is under way, writes what is noted, and lets go of the database. */
  close(): Promise<void>
}

export async function openService(options: ServiceOptions): Promise<Service> {
  const { config, log } = options
  const clock = options.clock ?? systemClock
  const onFault = faultLogger(log, clock)
  const database = openDatabase(options.databaseUrl, {
    onIdleError: onFault,
    statementMillisecondsMax: limits.statementMillisecondsMax,
  })
  const keyring = new Keyring({
    database: database.prisma,
    keyEncryptionKey: options.keyEncryptionKey,
    clock,
  })
  const registry = new Registry({
    pool: database.readPool,
    clientsMax: config.registryClientsMax,
    onKeysChanged: () => keyring.load(),
    onFault,
  })
  try {
    await registry.open()
    // The version first and the keys after it: one that is revoked in between is heard of, not missed.
    await keyring.load()
    const firstKeyMade = await keyring.ensureFirstKey()
    const ledger = await openLedger({ database, clock, release, onFault })
    const secretUses = openSecretUses(database.prisma, onFault)
    let closing = false
    const app = await buildApp(config, {
      issuer: config.issuer,
      clock,
      registry,
      keyring,
      ledger,
      secretUses,
      verification: new Verification({ parallelMax: config.argon2ParallelMax, now: clock.nowSeconds }),
      failureLimit: new FailureLimit({
        perClientMax: config.failuresPerClientMax,
        perAddressMax: config.failuresPerAddressMax,
      }),
      hashOfNothing: hashOfNothing(),
      randomId: randomUUID,
      requestId: requestIds(),
      log,
      readiness: {
        open: () => !closing,
        database: () => registry.healthy,
        ledger: () => ledger.healthy,
        signing_key: () => keyring.signer(clock.nowSeconds()) !== undefined,
      },
    })
    return {
      app,
      database,
      keyring,
      firstKeyMade,
      async close() {
        closing = true
        await closeWithin(app, limits.shutdownGraceMilliseconds)
        await registry.close()
        await ledger.close()
        await secretUses.close()
        await database.close()
      },
    }
  } catch (error) {
    await registry.close()
    await database.close()
    throw error
  }
}

/** Listens, or says in one line why not. */
export async function listen(app: FastifyInstance, config: Config): Promise<void> {
  try {
    await app.listen({ host: config.host, port: config.port })
  } catch (error) {
    const problem = listenProblems[errorCode(error)] ?? (error as Error).message
    throw new OperatorError(`PORT: cannot listen on ${config.host}:${config.port}: ${problem}`, {
      cause: error,
    })
  }
}

const listenProblems: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the port is in use. Stop what uses it, or set PORT to another one.',
  EACCES: 'this user may not use the port. Choose one above 1023.',
  EADDRNOTAVAIL: 'this machine has no such address. Correct HOST.',
  ENOTFOUND: 'no such host name. Correct HOST.',
}

/** Waits for requests under way, but not for connections that hold on to one for ever. */
async function closeWithin(app: FastifyInstance, milliseconds: number): Promise<void> {
  const timer = setTimeout(() => app.server.closeAllConnections(), milliseconds).unref()
  await app.close()
  clearTimeout(timer)
}

/** Short and unique: six random characters for the process, and a number. */
function requestIds(): () => string {
  const processName = randomBytes(6).toString('base64url')
  let number = 0
  return () => {
    number += 1
    return `${processName}-${number.toString(36)}`
  }
}

/** Logs a fault at most once a second, with how often it came: an outage must not bury its own beginning. */
function faultLogger(log: Log, clock: Clock): (error: unknown) => void {
  let next = 0
  let unsaid = 0
  return (error) => {
    const now = clock.monotonicMilliseconds()
    if (now < next) {
      unsaid += 1
      return
    }
    next = now + 1_000
    log.error(
      { event: 'database_fault', repeated: unsaid, error: describeError(error) },
      'the database failed',
    )
    unsaid = 0
  }
}
