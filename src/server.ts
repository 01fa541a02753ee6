import { randomBytes, randomInt, randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import type { FastifyInstance } from 'fastify'
import { buildApp } from './app.ts'
import { FailureLimit } from './authentication/failure-limit.ts'
import { hashOfNothing } from './authentication/secret.ts'
import { openSecretUses } from './authentication/secret-use-store.ts'
import { Verification } from './authentication/verification.ts'
import type { Config } from './config.ts'
import { type Database, errorCode, openDatabase } from './database/open.ts'
import { OperatorError } from './errors.ts'
import type { KeyEncryptionKeySource, KeyEncryptionKeys } from './keys/key-encryption-key.ts'
import { Keyring } from './keys/keyring.ts'
import { clockDisagrees, type RotationContext } from './keys/rotation.ts'
import { KeyUpkeep } from './keys/upkeep.ts'
import { openVerifiers } from './keys/verifiers.ts'
import { openLedger } from './ledger/ledger.ts'
import { type Clock, systemClock } from './lib/clock.ts'
import { clockToleranceSeconds, createClockGuard } from './lib/clock-guard.ts'
import { limits } from './limits.ts'
import { Registry } from './registry/registry.ts'
import { release } from './release.ts'
import { describeError, type Log } from './telemetry/log.ts'

/**
 * The process: everything opened in order, and closed in the opposite one. The database is given, up and
 * migrated; who started it (the command, or a test) also ends it.
 */
export interface ServiceOptions {
  readonly config: Config
  readonly databaseUrl: string
  /** The one in use, and behind it the one before while keys are sealed anew. */
  readonly keyEncryptionKeys: KeyEncryptionKeys
  /** Where they can be replaced while this runs: asked whenever a key is made or opened. */
  readonly rereadKeyEncryptionKeys?: KeyEncryptionKeySource
  readonly log: Log
  readonly clock?: Clock
}

export interface Service {
  readonly app: FastifyInstance
  readonly database: Database
  readonly keyring: Keyring
  /** Stops accepting, answers what is under way, writes what is noted, and lets go of the database. */
  close(): Promise<void>
}

export async function openService(options: ServiceOptions): Promise<Service> {
  const { config, log } = options
  const clock = options.clock ?? systemClock
  const faults = faultLogger(log, clock)
  const { onFault } = faults
  const database = openDatabase(options.databaseUrl, {
    onIdleError: onFault,
    statementMillisecondsMax: limits.statementMillisecondsMax,
  })
  try {
    const keys = await openRegistryAndKeys(options, database, clock, faults)
    const { clockGuard, registry, keyring, upkeep } = keys
    const ledger = await openLedger({ database, clock, release, ...faults })
    const secretUses = openSecretUses(database.statements, onFault)
    const verifiers = openVerifiers(database.statements, onFault)
    const verification = new Verification({
      parallelMax: config.argon2ParallelMax,
      workers: config.workers,
      now: clock.nowSeconds,
      monotonicMilliseconds: clock.monotonicMilliseconds,
      wait: (milliseconds, then) => setTimeout(then, milliseconds).unref(),
    })
    let closing = false
    const app = await buildApp(config, {
      issuer: config.issuer,
      tokenLifetimeSecondsMax: config.schedule.tokenLifetimeSecondsMax,
      clock,
      clockGuard,
      registry,
      keyring,
      ledger,
      secretUses,
      verifiers,
      verification,
      failureLimit: new FailureLimit({
        perClientMax: config.failuresPerClientMax,
        perAddressMax: config.failuresPerAddressMax,
      }),
      hashOfNothing: hashOfNothing(),
      randomId: randomUUID,
      random: () => randomInt(2 ** 32) / 2 ** 32,
      requestId: requestIds(),
      log,
      health: {
        checks: {
          open: () => !closing,
          database: () => registry.healthy,
          ledger: () => ledger.healthy,
          clock: () => clockGuard.reliable,
          signing_key: () => upkeep.signs,
        },
        warnings: () => upkeep.warnings,
      },
    })
    return {
      app,
      database,
      keyring,
      async close() {
        closing = true
        await closeWithin(app, limits.shutdownGraceMilliseconds)
        // Some callers have hung up, and their requests still want a record.
        await verification.close()
        // In this turn of the loop those records join the ledger's queue, which is written to its end below.
        await new Promise((resolve) => setImmediate(resolve))
        await upkeep.close()
        await registry.close()
        await ledger.close()
        await secretUses.close()
        await verifiers.close()
        await database.close()
      },
    }
  } catch (error) {
    await database.close()
    throw error
  }
}

/** What is in memory of the registry and the keys, and what keeps it so. */
async function openRegistryAndKeys(
  options: ServiceOptions,
  database: Database,
  clock: Clock,
  { onFault, onRecovered }: ReturnType<typeof faultLogger>,
) {
  const { log } = options
  const { schedule, signingAlgorithms, registryClientsMax } = options.config
  const keyEncryptionKeys = options.rereadKeyEncryptionKeys ?? (async () => options.keyEncryptionKeys)
  const keyring = new Keyring({
    database: database.statements,
    keyEncryptionKeys,
    schedule,
    now: clock.nowSeconds,
    onUnopened: (error) => log.error({ event: 'key_unopened', error: describeError(error) }, error.message),
  })
  // Nobody asks for the keys that are due: whose account the service runs under is not who makes them.
  const actor = { by: 'mintmark', host: hostname() }
  const rotation: RotationContext = { database, clock, actor, schedule, keyEncryptionKeys }
  let clockOffSeconds = 0
  const clockGuard = createClockGuard({
    clock,
    clockSkewSeconds: schedule.clockSkewSeconds,
    onChange(reliable, offSeconds) {
      clockOffSeconds = offSeconds
      logClock(log, reliable, offSeconds)
    },
  })
  const registry = new Registry({
    pool: database.readPool,
    clientsMax: registryClientsMax,
    onKeysChanged: () => keyring.load(),
    onDatabaseTime: clockGuard.check,
    onFault,
    onRecovered,
  })
  try {
    // The version first, then the keys: what changes in between is read again, and not missed.
    await registry.open()
    if (!clockGuard.reliable) {
      throw clockDisagrees(clockOffSeconds, clockToleranceSeconds(schedule.clockSkewSeconds))
    }
    await keyring.load()
    const upkeep = new KeyUpkeep({ rotation, keyring, configured: signingAlgorithms, clockGuard, log })
    await upkeep.open()
    return { clockGuard, registry, keyring, upkeep }
  } catch (error) {
    await registry.close()
    throw error
  }
}

function logClock(log: Log, reliable: boolean, offSeconds: number): void {
  if (reliable) log.info({ event: 'clock_settled' }, 'the clock is reliable again; tokens are issued')
  else
    log.error(
      { event: 'clock_jumped', offSeconds },
      'the clock jumped or differs from the database; nothing is issued',
    )
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
  // Of those that were busy when it began, some become idle without having been told to close.
  const sweep = setInterval(() => app.server.closeIdleConnections(), 250).unref()
  await app.close()
  clearTimeout(timer)
  clearInterval(sweep)
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

/** Milliseconds without a fault after which the next one is another outage. */
const quietMilliseconds = 10_000

/**
 * Logs a fault at most once a second, with how often it came: an outage must not bury its own beginning. And says
 * when it is over, because from silence nobody can tell.
 */
function faultLogger(log: Log, clock: Clock) {
  /** Of an outage: its first fault, and its last. */
  let startedAt = Number.NEGATIVE_INFINITY
  let lastAt = Number.NEGATIVE_INFINITY
  let next = 0
  let unsaid = 0
  return {
    onFault(error: unknown): void {
      const now = clock.monotonicMilliseconds()
      if (now - lastAt > quietMilliseconds) startedAt = now
      lastAt = now
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
    },
    onRecovered(): void {
      // Registry and ledger each say so; whoever is first has said it.
      if (startedAt === Number.NEGATIVE_INFINITY) return
      const seconds = (clock.monotonicMilliseconds() - startedAt) / 1_000
      const fields = { event: 'database_back', afterSeconds: Math.round(seconds * 10) / 10 }
      log.info(fields, 'the database answers again')
      startedAt = Number.NEGATIVE_INFINITY
      lastAt = Number.NEGATIVE_INFINITY
    },
  }
}
