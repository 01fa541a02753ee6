// Long because it puts everything together, and every part has its line here.
import { randomBytes, randomInt, randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import type { FastifyInstance } from 'fastify'
import { buildApp } from './app.ts'
import { openClientKeyUses } from './authentication/client-key-use-store.ts'
import { FailureLimit } from './authentication/failure-limit.ts'
import { openSecretTagWriter } from './authentication/secret-tag-store.ts'
import { SecretTags } from './authentication/secret-tags.ts'
import { openSecretUses } from './authentication/secret-use-store.ts'
import { Verification } from './authentication/verification.ts'
import { type Config, sharedSettings } from './config.ts'
import { namingLockHolders } from './database/lock-holders.ts'
import { type Database, openDatabase } from './database/open.ts'
import { openRunningProcesses, type RunningProcesses } from './database/running-processes.ts'
import { closeWithin, listen } from './http/listen.ts'
import { replaceCertificate, type TlsFiles } from './http/tls.ts'
import { clockDisagrees, type RotationContext } from './keys/key-change.ts'
import type { KeyEncryptionKeySource, KeyEncryptionKeys } from './keys/key-encryption-key.ts'
import { Keyring } from './keys/keyring.ts'
import { newestSealedWith } from './keys/seal.ts'
import { KeyUpkeep } from './keys/upkeep.ts'
import { openVerifiers } from './keys/verifier-store.ts'
import { openHandChanges } from './ledger/hand-changes.ts'
import { type Ledger, openLedger } from './ledger/ledger.ts'
import { openSpentIdentifierUpkeep } from './ledger/spent-identifier-store.ts'
import { ClaimedText } from './lib/claimed-text.ts'
import { type Clock, systemClock } from './lib/clock.ts'
import { type ClockGuard, clockToleranceSeconds, createClockGuard } from './lib/clock-guard.ts'
import { limits } from './limits.ts'
import { Registry } from './registry/registry.ts'
import type { SealProblems } from './registry/seal-problems.ts'
import { openSealedRegistry } from './registry/sealed-registry.ts'
import { release } from './release.ts'
import { type DatabaseFaultLog, databaseFaultLog } from './telemetry/database-faults.ts'
import {
  changeUnconfirmed,
  clockChanged,
  commitsBlocked,
  databaseUrlReread,
  keysUnvouched,
  keyUnopened,
  keyUpkeepEvents,
  readersReplaced,
  recordsLost,
  registryUnsealed,
  settingsDiffer,
  tagSpoiled,
} from './telemetry/events.ts'
import type { Log } from './telemetry/log.ts'

/**
 * The service: it opens everything in order and closes it in the opposite order. The database server is
 * already running and migrated. The caller (a command or a test) started it and must stop it.
 *
 * Long because everything that a service opens is opened here, in one order.
 */
export interface ServiceOptions {
  readonly config: Config
  readonly databaseUrl: string
  /** Called when the password is refused, if the URL comes from a file. */
  readonly rereadDatabaseUrl?: (() => string | undefined) | undefined
  /** The current key-encryption key and, during a rewrap, the previous one. */
  readonly keyEncryptionKeys: KeyEncryptionKeys
  /**
   * Called whenever a signing key is created or opened, if the key-encryption keys can be replaced while the
   * service runs.
   */
  readonly rereadKeyEncryptionKeys?: KeyEncryptionKeySource
  readonly log: Log
  readonly clock?: Clock
}

export interface Service {
  readonly app: FastifyInstance
  readonly database: Database
  readonly keyring: Keyring
  /** Starts to listen. @throws OperatorError with the reason in one line. */
  listen(): Promise<void>
  /** New connections get another certificate. Open ones keep theirs. */
  replaceCertificate(files: TlsFiles): void
  /**
   * Accepts no more connections, answers the current requests, writes pending records and notes, and closes
   * the connections to the database.
   */
  close(): Promise<void>
}

export async function openService(options: ServiceOptions): Promise<Service> {
  const { config, log } = options
  const clock = options.clock ?? systemClock
  const faults = databaseFaultLog(log, clock)
  const { onFault } = faults
  const database = openServiceDatabase(options, onFault)
  try {
    const opened = await openRegistryAndKeys(options, database, clock, faults)
    const { clockGuard, registry, seals, keyring, upkeep, secretTags, tagWriter } = opened
    const recordClock = recordClockOf(clock, clockGuard)
    const ledger = await openServiceLedger(database, recordClock, registry, log, faults)
    const { handChanges, closeNotes, ...notes } = openNotes(database, onFault)
    const callers = checksOfCallers(options, clock)
    let closing = false
    const processes = await compareSettings(config, database, log, onFault)
    const app = await buildApp(config, {
      issuer: config.issuer,
      tokenLifetimeSecondsMax: config.schedule.tokenLifetimeSecondsMax,
      clock: recordClock,
      clockGuard,
      registry,
      keyring,
      ledger,
      ...notes,
      ...callers,
      secretTags,
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
        failed: () => (processes.contradictsEarlier ? ['settings'] : []),
        warnings: () => warningsOf(upkeep, ledger, seals.problems, processes),
      },
    })
    return {
      app,
      database,
      keyring,
      listen: () => listen(app, config),
      replaceCertificate: (files) => replaceCertificate(app.server, files),
      async close() {
        closing = true
        await closeWithin(app, limits.shutdownGraceMilliseconds)
        // Requests whose clients have closed the connection still need their record.
        await callers.verification.close()
        // In this turn of the event loop these records enter the queue of the ledger. `ledger.close` writes
        // them.
        await new Promise((resolve) => setImmediate(resolve))
        await processes.close()
        await handChanges.close()
        await Promise.all([upkeep.close(), seals.close()])
        await registry.close()
        await ledger.close()
        await tagWriter.close()
        await closeNotes()
        await database.close()
      },
    }
  } catch (error) {
    await database.close()
    throw error
  }
}

function openServiceLedger(
  database: Database,
  clock: Clock,
  registry: Registry,
  log: Log,
  faults: DatabaseFaultLog,
): Promise<Ledger> {
  return openLedger({
    database,
    clock,
    release,
    versionNow: () => registry.versionNow(),
    versionInMemory: () => registry.version,
    onVersion: (version) => registry.refresh(version),
    onLost: (loss) => recordsLost(log, loss),
    ...faultsOfCommits(faults, database, log),
  })
}

/** What is not wrong yet, or concerns some clients alone. */
function warningsOf(
  upkeep: KeyUpkeep,
  ledger: Ledger,
  problems: SealProblems,
  processes: RunningProcesses,
): string[] {
  return [
    ...upkeep.warnings,
    ...(ledger.hasLost === true ? ['ledger_records_lost'] : []),
    ...(problems.all.length > 0 ? ['registry_unsealed'] : []),
    ...(processes.contradictsLater ? ['settings_differ'] : []),
  ]
}

function openServiceDatabase(options: ServiceOptions, onFault: (error: unknown) => void): Database {
  return openDatabase(options.databaseUrl, {
    onIdleError: onFault,
    reread: options.rereadDatabaseUrl,
    onReread: (error) => databaseUrlReread(options.log, error),
    statementMillisecondsMax: limits.statementMillisecondsMax,
    onUnconfirmed: () => changeUnconfirmed(options.log),
  })
}

/** Whoever keeps commits waiting is named. */
function faultsOfCommits(faults: DatabaseFaultLog, database: Database, log: Log): DatabaseFaultLog {
  const name = (holder: Parameters<typeof commitsBlocked>[1]) => commitsBlocked(log, holder)
  return { ...faults, onFault: namingLockHolders(database.statements, faults.onFault, name) }
}

/** A clock that jumped must not put records into another time: they keep the time that the database agreed with. */
function recordClockOf(clock: Clock, clockGuard: ClockGuard): Clock {
  return {
    nowSeconds: () => clock.nowSeconds(),
    nowMilliseconds: () => clockGuard.trustedMilliseconds,
    monotonicMilliseconds: () => clock.monotonicMilliseconds(),
  }
}

function compareSettings(
  config: Config,
  database: Database,
  log: Log,
  onFault: (error: unknown) => void,
): Promise<RunningProcesses> {
  return openRunningProcesses({
    database: database.statements,
    processId: randomUUID(),
    described: `${hostname()} ${process.pid} mintmark/${release}`,
    settings: sharedSettings(config),
    onChange: (others) => settingsDiffer(log, others),
    onFault,
  })
}

/** What is noted and tidied beside the path of a request: what was used, who fetched which keys, what hands changed. */
function openNotes({ statements }: Database, onFault: (error: unknown) => void) {
  const spentIdentifiers = openSpentIdentifierUpkeep(statements, onFault)
  const secretUses = openSecretUses(statements, onFault)
  const keyUses = openClientKeyUses(statements, onFault)
  const verifiers = openVerifiers(statements, onFault)
  const handChanges = openHandChanges(statements, onFault)
  async function closeNotes(): Promise<void> {
    for (const note of [spentIdentifiers, secretUses, keyUses, verifiers]) await note.close()
  }
  return { secretUses, keyUses, verifiers, handChanges, closeNotes }
}

/** What checks secrets, counts those that are wrong, and says what is kept of what callers claim. */
function checksOfCallers({ config, keyEncryptionKeys }: ServiceOptions, clock: Clock) {
  return {
    claimedText: new ClaimedText(keyEncryptionKeys[0].bytes),
    verification: new Verification({ parallelMax: config.argon2ParallelMax, now: clock.nowSeconds }),
    failureLimit: new FailureLimit({
      perClientMax: config.failuresPerClientMax,
      perAddressMax: config.failuresPerAddressMax,
      monotonicMilliseconds: clock.monotonicMilliseconds,
    }),
  }
}

/** Loads the registry and the keys into memory, and starts the work that keeps them current. */
async function openRegistryAndKeys(
  options: ServiceOptions,
  database: Database,
  clock: Clock,
  { onFault, onRecovered }: DatabaseFaultLog,
) {
  const { log } = options
  const { schedule, signingAlgorithms, registryClientsMax } = options.config
  const keyEncryptionKeys = options.rereadKeyEncryptionKeys ?? (async () => options.keyEncryptionKeys)
  const keyring = new Keyring({
    database: database.statements,
    keyEncryptionKeys,
    schedule,
    now: clock.nowSeconds,
    onUnopened: (error) => keyUnopened(log, error),
    onUnvouched: (problems) => keysUnvouched(log, problems),
  })
  const tagWriter = openSecretTagWriter(database.statements, onFault)
  const secretTags = new SecretTags({
    keyEncryptionKeys,
    sealingKeyId: () => newestSealedWith(keyring.keys),
    keep: tagWriter.note,
    onFault,
    onSpoiled: (secretId) => tagSpoiled(log, secretId),
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
      clockChanged(log, reliable, offSeconds)
    },
  })
  let upkeep: KeyUpkeep | undefined
  const seals = await openSealedRegistry(options.config.sealedRegistry, {
    database,
    keyEncryptionKeys,
    onFound: (problems) => registryUnsealed(log, problems),
    onFault,
  })
  const registry = new Registry({
    pool: database.readPool,
    seals: seals.guard,
    monotonicMilliseconds: clock.monotonicMilliseconds,
    clientsMax: registryClientsMax,
    wait: (milliseconds, then) => setTimeout(then, milliseconds),
    onMisled(reason) {
      readersReplaced(log, reason)
      database.renewReaders()
    },
    async onKeysChanged(version) {
      await keyring.load(version)
      // The keys may be sealed with another key-encryption key now. Nobody waits for it.
      void secretTags.follow()
      upkeep?.checkSoon()
    },
    onDatabaseTime: clockGuard.check,
    onFault,
    onRecovered,
  })
  try {
    // Its version is read before the keys: a change in between has a higher one, so it is not missed.
    await registry.open()
    if (!clockGuard.reliable) {
      throw clockDisagrees(clockOffSeconds, clockToleranceSeconds(schedule.clockSkewSeconds))
    }
    await keyring.load()
    const events = keyUpkeepEvents(log)
    upkeep = new KeyUpkeep({ rotation, keyring, configured: signingAlgorithms, clockGuard, events })
    await upkeep.open()
    await secretTags.load()
    return {
      clockGuard,
      registry,
      seals: seals.watch(registry),
      keyring,
      upkeep,
      secretTags,
      tagWriter,
    }
  } catch (error) {
    await registry.close()
    throw error
  }
}

/** Creates short unique ids: eight random characters for the process, and a number. */
function requestIds(): () => string {
  const processName = randomBytes(6).toString('base64url')
  let number = 0
  return () => {
    number += 1
    return `${processName}-${number.toString(36)}`
  }
}
