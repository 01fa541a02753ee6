/**
 * The service: it opens everything in order, and closes it in the opposite order. The database server is already running
 * and migrated. The caller (a command or a test) started it and must stop it.
 *
 * Long because everything that the service consists of is put together here.
 */
import { randomBytes, randomInt, randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { setImmediate } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { SecretWatch } from './administration/secret-watch.ts'
import { asksEverybody, buildApp } from './app.ts'
import { openClientKeyUses } from './authentication/client-key-use-store.ts'
import { openClientMetadata } from './authentication/client-metadata.ts'
import { openClientUses } from './authentication/client-use-store.ts'
import { FailureLimit } from './authentication/failure-limit.ts'
import { RemoteKeys } from './authentication/remote-keys.ts'
import { openSecretUses } from './authentication/secret-use-store.ts'
import { Verification } from './authentication/verification.ts'
import { openWorkloadUses } from './authentication/workload-use-store.ts'
import { type Config, sharedSettings } from './config.ts'
import { namingLockHolders } from './database/lock-holders.ts'
import { type Database, openDatabase } from './database/open.ts'
import { openRunningProcesses, type RunningProcesses } from './database/running-processes.ts'
import { type ClientTrust, openClientTrust } from './http/client-trust.ts'
import { guardedFetch } from './http/guarded-fetch.ts'
import { closeWithin, listen } from './http/listen.ts'
import { ServerCertificate } from './http/server-certificate.ts'
import { replaceCertificate } from './http/tls.ts'
import type { Keyring } from './keys/keyring.ts'
import type { KeyUpkeep } from './keys/upkeep.ts'
import { openVerifiers } from './keys/verifier-store.ts'
import { openHandChanges } from './ledger/hand-changes.ts'
import { type Ledger, openLedger } from './ledger/ledger.ts'
import { openSpentIdentifierUpkeep } from './ledger/spent-identifier-store.ts'
import { ClaimedText } from './lib/claimed-text.ts'
import { type Clock, systemClock } from './lib/clock.ts'
import type { ClockGuard } from './lib/clock-guard.ts'
import { parseNetwork } from './lib/network.ts'
import { Opened } from './lib/opened.ts'
import { limits } from './limits.ts'
import type { Registry } from './registry/registry.ts'
import type { SealProblems } from './registry/seal-problems.ts'
import { type MemoryOptions, openRegistryAndKeys } from './registry-and-keys.ts'
import { release } from './release.ts'
import { type DatabaseFaultLog, databaseFaultLog } from './telemetry/database-faults.ts'
import {
  certificateEvents,
  changeUnconfirmed,
  clientMetadataEvents,
  commitsBlocked,
  databaseUrlReread,
  recordsLost,
  remoteKeyEvents,
  secretEnded,
  secretsExpiring,
  settingsDiffer,
} from './telemetry/events.ts'
import type { Log } from './telemetry/log.ts'
import { isLogFailing } from './telemetry/log-loss.ts'

export interface ServiceOptions extends MemoryOptions {
  readonly databaseUrl: string
  /** Called when the password is refused, if the URL comes from a file. */
  readonly rereadDatabaseUrl?: (() => string | undefined) | undefined
  readonly clock?: Clock
}

export interface Service {
  readonly app: FastifyInstance
  readonly database: Database
  readonly keyring: Keyring
  readonly registry: Registry
  /** Starts to listen. @throws OperatorError with the reason in one line. */
  listen(): Promise<void>
  /**
   * New connections get another certificate, and open ones keep theirs. Other CAs and revocation lists for certificates of
   * callers count at once, everywhere.
   * @throws OperatorError in one line, and then everything stays as it was.
   */
  replaceTls(files: Pick<Config, 'tls' | 'clientTrust'>): void
  /**
   * Accepts no more connections, answers the current requests, writes pending records and notes, and closes
   * the connections to the database.
   */
  close(): Promise<void>
}

/** @throws after it has closed everything that it had opened. */
export async function openService(options: ServiceOptions): Promise<Service> {
  const opened = new Opened()
  try {
    return await openInOrder(options, opened)
  } catch (error) {
    // Why it did not open says more than what did not close.
    await opened.close().catch(() => {})
    throw error
  }
}

async function openInOrder(options: ServiceOptions, opened: Opened): Promise<Service> {
  const { config, log } = options
  const clock = options.clock ?? systemClock
  const faults = databaseFaultLog(log, clock)
  const { onFault } = faults
  // First: a file that cannot be used stops the start before anything is opened.
  const { clientTrust, ownCertificate, ...callers } = checksOfCallers(options, clock)
  opened.onClose(() => ownCertificate.close())
  const database = openServiceDatabase(options, onFault)
  opened.onClose(() => database.close())
  const notes = openNotes(config, database, onFault, opened)
  const memory = await openRegistryAndKeys(options, database, clock, faults, opened, notes.verifiers)
  const { clockGuard, registry, seals, keyring, upkeep, secretTags, dpop } = memory
  const recordClock = recordClockOf(clock, clockGuard)
  const ledger = await openServiceLedger(database, recordClock, registry, log, faults)
  opened.onClose(() => ledger.close())
  faults.watch(() => registry.healthy && ledger.healthy)
  const secretWatch = watchSecrets(database, clock, log, onFault)
  opened.onClose(() => secretWatch.close())
  const processes = await compareSettings(config, database, log, onFault)
  opened.onClose(() => processes.close())
  // Requests whose clients have closed the connection still need their record. In this turn of the event loop these
  // records enter the queue that `ledger.close` writes.
  opened.onClose(() => setImmediate())
  opened.onClose(() => callers.verification.close())
  let closing = false
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
    dpop,
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
      warnings: () => [
        ...warningsOf(upkeep, ledger, seals.problems, processes, secretWatch),
        ...warningsOfCertificates(ownCertificate, clientTrust, clock),
      ],
    },
  })
  opened.onClose(() => closeWithin(app, limits.shutdownGraceMilliseconds))
  return {
    app,
    database,
    keyring,
    registry,
    listen: () => listen(app, config),
    replaceTls: (files) => replaceTls(app, config, { clientTrust, ownCertificate }, files),
    async close() {
      closing = true
      await opened.close()
    },
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
  secretWatch: SecretWatch,
): string[] {
  return [
    ...upkeep.warnings,
    ...(ledger.hasLost === true ? ['ledger_records_lost'] : []),
    ...(problems.all.length > 0 ? ['registry_unsealed'] : []),
    ...(processes.contradictsLater ? ['settings_differ'] : []),
    ...(secretWatch.hasExpiring ? ['secret_expiring'] : []),
    ...(isLogFailing() ? ['log_unwritable'] : []),
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

/** The log names the session that keeps commits waiting. */
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

/** Unused secrets are ended by the service itself, so the record does not name the account that it runs under. */
function watchSecrets(
  { statements }: Database,
  clock: Clock,
  log: Log,
  onFault: (error: unknown) => void,
): SecretWatch {
  return new SecretWatch({
    database: statements,
    clock,
    actor: { by: 'mintmark', host: hostname() },
    onExpiring: (secrets) => secretsExpiring(log, secrets),
    onEnded: (secret) => secretEnded(log, secret),
    onFault,
  })
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

/**
 * What is noted and cleaned up beside the path of a request: what was used, who fetched which keys, what was changed by
 * hand.
 */
function openNotes(
  { schedule }: Config,
  { statements }: Database,
  onFault: (error: unknown) => void,
  opened: Opened,
) {
  const spentIdentifiers = openSpentIdentifierUpkeep(statements, schedule.clockSkewSeconds, onFault)
  const secretUses = openSecretUses(statements, onFault)
  const keyUses = openClientKeyUses(statements, onFault)
  const clientUses = openClientUses(statements, onFault)
  const verifiers = openVerifiers(statements, onFault)
  const workloadUses = openWorkloadUses(statements, onFault)
  const handChanges = openHandChanges(statements, onFault)
  const notes = { secretUses, keyUses, clientUses, workloadUses, verifiers, handChanges }
  for (const note of [spentIdentifiers, ...Object.values(notes)]) opened.onClose(() => note.close())
  return notes
}

/** What checks secrets, assertions and certificates, counts failures, and decides which claimed values are stored. */
function checksOfCallers({ config, keyEncryptionKeys, log }: ServiceOptions, clock: Clock) {
  const { clientTrust: files, certificateProxy: proxy } = config
  const clientTrust = files === undefined ? undefined : openClientTrust(files, { proxy, clock })
  const fetchDocument = guardedFetch({
    allowedNetworks: config.fetchPrivateNetworks.map(parseNetwork),
    authorities: config.fetchCertificateAuthorities,
  })
  const { nowSeconds } = clock
  const ownCertificate = new ServerCertificate(config.tls?.certificate, nowSeconds, certificateEvents(log))
  return {
    clientTrust,
    ownCertificate,
    certificateOf: clientTrust?.of,
    requiresCertificate: config.requiresClientCertificate,
    remoteKeys: new RemoteKeys({
      fetch: fetchDocument,
      monotonicMilliseconds: clock.monotonicMilliseconds,
      ...remoteKeyEvents(log),
    }),
    clientMetadata: openClientMetadata({
      fetch: fetchDocument,
      monotonicMilliseconds: clock.monotonicMilliseconds,
      ...clientMetadataEvents(log),
    }),
    claimedText: new ClaimedText(keyEncryptionKeys[0].bytes),
    verification: new Verification({ parallelMax: config.argon2ParallelMax, now: clock.nowSeconds }),
    failureLimit: new FailureLimit({
      perClientMax: config.failuresPerClientMax,
      perAddressMax: config.failuresPerAddressMax,
      monotonicMilliseconds: clock.monotonicMilliseconds,
    }),
  }
}

function replaceTls(
  app: FastifyInstance,
  config: Config,
  {
    clientTrust,
    ownCertificate,
  }: { readonly clientTrust: ClientTrust | undefined; readonly ownCertificate: ServerCertificate },
  { tls, clientTrust: files }: Pick<Config, 'tls' | 'clientTrust'>,
): void {
  if (files !== undefined) clientTrust?.replace(files)
  if (tls === undefined) return
  ownCertificate.replace(tls.certificate)
  replaceCertificate(app.server, tls, asksEverybody(config))
  replaceCertificate(app.mtlsServer, tls, true)
}

/** Certificates of a CA whose revocation list is too old are refused. */
function warningsOfCertificates(
  ownCertificate: ServerCertificate,
  clientTrust: ClientTrust | undefined,
  { nowSeconds }: Clock,
): string[] {
  const end = clientTrust?.listsEndAt()
  const isOld = end !== undefined && end <= nowSeconds()
  return [...ownCertificate.warnings(), ...(isOld ? ['client_revocation_list_old'] : [])]
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
