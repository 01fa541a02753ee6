/** Long because every event of the service stands here with its sentence. */
import type { UnusedSecret } from '../administration/secret-end-store.ts'
import type { EndingSecret } from '../authentication/secret-expiry.ts'
import type { KeyChange } from '../keys/key-change.ts'
import type { KeyProblem } from '../keys/manifest.ts'
import type { KeyUpkeepEvents } from '../keys/upkeep.ts'
import type { LostRecords } from '../ledger/chain-end.ts'
import { momentText } from '../lib/moment.ts'
import type { SealProblem } from '../registry/seal-problems.ts'
import { describeError, type Log } from './log.ts'

/** The log messages about keys, the clock and connections. */

export function keyUpkeepEvents(log: Log): KeyUpkeepEvents {
  return {
    onFailed(error) {
      const message =
        'a due key could not be created or opened; the existing keys go on signing until they expire'
      log.error({ event: 'key_rotation_failed', error: describeError(error) }, message)
    },
    onRecovered() {
      log.info({ event: 'key_rotation_recovered' }, 'keys are created and opened again')
    },
    onMade(keys) {
      for (const key of keys)
        log.info({ event: 'key_created', ...momentsOf(key) }, 'a signing key was created')
    },
    onExtended(key) {
      const message =
        'a key is published for longer than planned, because it has to sign until the next one may; the settings were ' +
        'raised, or keys were created late'
      log.warn({ event: 'key_extended', ...momentsOf(key) }, message)
    },
    onRestored(kids) {
      const message =
        'the database had lost signing keys or changes of them, as after a failover; this process knew them and wrote ' +
        'them back'
      log.warn({ event: 'keys_restored', kids }, message)
    },
    onShortened(keys) {
      if (keys.length === 0) {
        log.info({ event: 'tokens_whole' }, 'the signing keys live long enough for the longest token again')
        return
      }
      const message =
        'tokens may live shorter than their resource says, because the signing key ends earlier; the next key ' +
        'signs tokens of full length again'
      const shown = keys.map((key) => ({ ...key, tokensEndBy: momentText(key.tokensEndBy) }))
      log.warn({ event: 'tokens_shortened', keys: shown }, message)
    },
    onUnlisted(algorithms) {
      const message =
        `tokens of resources are signed with ${algorithms.join(' and ')}, not listed in ` +
        'MINTMARK_SIGNING_ALGORITHMS; keys are created for it anyway; add it to the setting'
      log.warn({ event: 'algorithm_unlisted', algorithms }, message)
    },
  }
}

function momentsOf({ kid, algorithm, generation, moments }: KeyChange) {
  const { signsFrom, signsUntil, publishedUntil } = moments
  const times = {
    signsFrom: momentText(signsFrom),
    signsUntil: momentText(signsUntil),
    publishedUntil: momentText(publishedUntil),
  }
  return { kid, algorithm, generation, ...times }
}

export function keyUnopened(log: Log, error: Error): void {
  log.error({ event: 'key_unopened', error: describeError(error) }, error.message)
}

/** Rows of the signing keys that were not written by a holder of the key-encryption key. */
export function keysUnvouched(log: Log, problems: readonly KeyProblem[]): void {
  const message =
    'rows of signing_key were changed by somebody without the key-encryption key; they are neither published nor used'
  log.error(
    { event: 'key_unvouched', keys: problems.map(({ kid, problem }) => `${kid} ${problem}`) },
    message,
  )
}

/** Problems that one log line names. The others are counted. */
const problemsLogged = 20

/** Rows of the registry that would give more than a holder of the key-encryption key registered. */
export function registryUnsealed(log: Log, problems: readonly SealProblem[]): void {
  const message =
    'rows of the registry were not written by a holder of the key-encryption key; what they would give has no ' +
    'effect; find out who can write the database, and see what differs with "registry seal --dry-run"'
  const differences = problems
    .slice(0, problemsLogged)
    .map(({ subject, id, differences }) => `${subject} ${id}: ${differences.join(', ')}`.trim())
  log.error({ event: 'registry_unsealed', count: problems.length, differences }, message)
}

/** A tag that was not made by a holder of the key-encryption key for this secret and hash. It is ignored. */
export function tagSpoiled(log: Log, secretId: string): void {
  const message =
    'the tag of a secret does not fit its row: somebody without the key-encryption key changed client_secret_tag or ' +
    'client_secret; the secret is hashed instead; find out who can write the database'
  log.error({ event: 'secret_tag_unvouched', secretId }, message)
}

/** Secrets that end soon, and are used or the last of their clients. */
export function secretsExpiring(log: Log, secrets: readonly EndingSecret[]): void {
  const message =
    'secrets end soon, and their clients still use them or have no other; give the clients new ones with ' +
    '"clients secrets rotate"'
  const shown = secrets.slice(0, problemsLogged).map(({ clientId, secretId, expiresAt }) => ({
    clientId,
    secretId,
    expiresAt: momentText(expiresAt),
  }))
  log.warn({ event: 'secret_expiring', count: secrets.length, secrets: shown }, message)
}

/** A replaced secret was not used for as long as was said. */
export function secretEnded(log: Log, { clientId, secretId, unusedSeconds }: UnusedSecret): void {
  const message = 'a replaced secret has ended, because nobody used it for the chosen time'
  log.info({ event: 'secret_ended', clientId, secretId, unusedSeconds }, message)
}

/** A change was committed, but the wait for the synchronous standby was cancelled. */
export function changeUnconfirmed(log: Log): void {
  const message =
    'a wait for the synchronous standby was cancelled: what was committed is in this database, and a failover may lose it'
  log.error({ event: 'commit_unconfirmed' }, message)
}

/** Documents that clients publish about themselves. Their addresses are checked and bounded. */
export function clientMetadataEvents(log: Log) {
  return {
    onFailed(url: string, problem: string, keptSeconds: number | undefined) {
      const message =
        keptSeconds === undefined
          ? 'the document of a client cannot be fetched, and its last copy is too old: the client gets no tokens'
          : 'the document of a client cannot be fetched; its last keys count for keptSeconds'
      log.warn({ event: 'client_metadata_unavailable', url, problem, keptSeconds }, message)
    },
    onRecovered(url: string) {
      log.info({ event: 'client_metadata_recovered', url }, 'the document of a client can be fetched again')
    },
    onChanged(url: string, thumbprints: readonly string[]) {
      log.info(
        { event: 'client_metadata_changed', url, thumbprints },
        'the document of a client has other keys',
      )
    },
  }
}

/** Keys of another issuer, or of a client that says where its keys are. */
export function remoteKeyEvents(log: Log) {
  return {
    onFailed(address: string, problem: string, keptSeconds: number | undefined): void {
      const message =
        keptSeconds === undefined
          ? 'keys cannot be fetched, and no earlier ones count: assertions that need them get 503'
          : 'keys cannot be fetched; the last good ones count for keptSeconds'
      log.error({ event: 'remote_keys_unavailable', address, problem, keptSeconds }, message)
    },
    onRecovered(address: string): void {
      log.info({ event: 'remote_keys_recovered', address }, 'keys can be fetched again')
    },
    onReplaced(address: string, kids: readonly string[]): void {
      const message =
        'a key id now names another key than before, which a good issuer never does; ask its operator whether ' +
        'this was intended'
      log.warn({ event: 'remote_key_replaced', address, kids: kids.slice(0, 10) }, message)
    },
  }
}

/** @param offSeconds seconds that the clock is ahead of the database's clock; negative if it is behind. */
export function clockChanged(log: Log, reliable: boolean, offSeconds: number): void {
  if (reliable) {
    log.info({ event: 'clock_settled' }, 'the clock is reliable again; tokens are issued again')
    return
  }
  const message = 'the clock jumped or differs from the clock of the database; no token is issued; check NTP'
  log.error({ event: 'clock_jumped', offSeconds }, message)
}

/** @param counts how many messages were broken in each way since the last line. */
export function brokenRequests(
  log: Log,
  counts: Readonly<Record<string, number>>,
  address: string | undefined,
): void {
  log.info({ event: 'broken_request', counts, address }, 'messages are not valid HTTP requests')
}

/**
 * @param counts how many connections were closed for each reason since the last line.
 * @param address the address of the latest of them.
 * @param open connections that are open now.
 */
export function connectionsClosed(
  log: Log,
  counts: Readonly<Record<string, number>>,
  address: string | undefined,
  open: number,
): void {
  const message = 'there are too many connections, so some were closed to make room for others'
  log.warn({ event: 'connections_closed', counts, address, open }, message)
}

export function openFilesFew(log: Log, openFilesMax: number, connectionsMax: number, needed: number): void {
  const message =
    `the process may open ${openFilesMax} files, so it holds ${connectionsMax} connections at most; ` +
    `raise the limit of open files to ${needed}`
  log.warn({ event: 'open_files_few', openFilesMax, connectionsMax, needed }, message)
}

interface Validity {
  readonly validFrom: string
  readonly validTo: string
}

/** Callers and relying services refuse such a certificate of this service. */
export function certificateEvents(log: Log) {
  return {
    onExpiring(validity: Validity) {
      const message = 'the certificate of this service expires soon, and nobody has renewed it'
      log.warn({ event: 'tls_certificate_expiring', ...validity }, message)
    },
    onExpired(validity: Validity) {
      const message = 'the certificate of this service has expired: callers and relying services refuse it'
      log.warn({ event: 'tls_certificate_expired', ...validity }, message)
    },
    onNotYetValid(validity: Validity) {
      const message =
        'the certificate of this service is not valid yet: callers and relying services refuse it. Is the clock right?'
      log.warn({ event: 'tls_certificate_not_yet_valid', ...validity }, message)
    },
  }
}

/** What another process on the same database has in other settings than this one. */
interface OtherSettings {
  readonly described: string
  readonly startedEarlier: boolean
  readonly settings: Readonly<Record<string, unknown>>
}

export function settingsDiffer(log: Log, others: readonly OtherSettings[]): void {
  const [first] = others
  if (first === undefined) {
    log.info({ event: 'settings_agree' }, 'all processes on this database have the same settings again')
    return
  }
  const isLater = others.some(({ startedEarlier }) => startedEarlier)
  const names = [...new Set(others.flatMap(({ settings }) => Object.keys(settings)))].join(', ')
  const message = `another process on this database has other settings (${names}); ${
    isLater
      ? 'it started earlier, so this one is not ready; give both the same settings, or end the other one'
      : 'it started later, so it is not ready and this one goes on'
  }`
  log[isLater ? 'error' : 'warn']({ event: 'settings_differ', others }, message)
}

/** The database has less of a chain than it had acknowledged, as after a failover to a standby that was behind. */
export function recordsLost(log: Log, loss: LostRecords): void {
  const { chain, acknowledged, found, newChain } = loss
  const message =
    `the database acknowledged record ${acknowledged} of chain ${chain} but no longer has it (the last one is ` +
    `${found}): some tokens in use may have no record; this process goes on in chain ${newChain}, ` +
    'which records the loss; look for the lost records in the log, in a copy of the ledger and on the old primary'
  log.error({ event: 'ledger_records_lost', ...loss }, message)
}

/** A session of the database that holds the lock of a change, with as much of it as the role may see. */
interface LockHolder {
  readonly databaseProcess: number
  readonly role: string | null
  readonly application: string | null
  readonly state: string | null
  readonly waitsForStandby: boolean
}

/** A session in the database keeps every token waiting. */
export function commitsBlocked(log: Log, { waitsForStandby, ...holder }: LockHolder): void {
  if (waitsForStandby) {
    const message =
      'the synchronous standby does not confirm commits, so no token can be issued; let it catch up, or take it out of ' +
      'synchronous_standby_names'
    log.error({ event: 'commits_wait_for_standby' }, message)
    return
  }
  const message =
    'a session in the database holds the lock of a change, so no token can be issued; let it end its transaction, or ' +
    `end it with pg_terminate_backend(${holder.databaseProcess})`
  log.error({ event: 'commits_blocked', ...holder }, message)
}

/** Reads came from another database than the commits, as after a failover. Their connections are replaced. */
export function readersReplaced(log: Log, reason: string): void {
  const message =
    'the database that answered reads is not the one that commits, as after a failover; its connections are replaced'
  log.warn({ event: 'database_readers_replaced', reason }, message)
}

/** @param error why DATABASE_URL_FILE could not be read; undefined if it has another URL now. */
export function databaseUrlReread(log: Log, error?: unknown): void {
  if (error === undefined) {
    const message = 'the database refused the password; DATABASE_URL_FILE has another URL now, which is used'
    log.info({ event: 'database_url_reread' }, message)
    return
  }
  const fields = { event: 'database_url_unreadable', error: describeError(error) }
  log.error(fields, 'the database refused the password, and DATABASE_URL_FILE could not be read again')
}
