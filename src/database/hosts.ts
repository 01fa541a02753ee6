import pg from 'pg'
import { splitHosts } from '../lib/database-hosts.ts'
import { limits } from '../limits.ts'
import { type DatabaseAddress, parseDatabaseUrl } from './address.ts'
import { errorCode } from './faults.ts'
import { connectionConfig } from './session.ts'

/**
 * Where the database is. A URL may name several hosts, as libpq has them, and `target_session_attrs` says which
 * of them may be used. The host is chosen again for each connection, so that connections made after a failover go to
 * the new primary. The URL may also come from a file that changes while the service runs.
 */

/** What a URL says about all its hosts. */
interface Target {
  /** One for each host, in the order of the URL. They differ in host and port. */
  readonly addresses: readonly [DatabaseAddress, ...DatabaseAddress[]]
  /** Which of the hosts may be used: `target_session_attrs`. */
  readonly attributes: string
}

/** @throws OperatorError with the mistake in one line. */
function parseTarget(url: string): Target {
  const hosts = splitHosts(url)
  // What cannot be split is refused here, with the reason.
  const [first = url, ...others] = hosts?.urls ?? []
  return {
    addresses: [parseDatabaseUrl(first), ...others.map(parseDatabaseUrl)],
    attributes: hosts?.attributes ?? 'any',
  }
}

export interface HostsOptions {
  /** Reads the URL again, if it comes from a file. Called when the password is refused. */
  readonly reread?: (() => string | undefined) | undefined
  /** Called when another URL was read and is used from now on, or with why it could not be read. */
  readonly onReread?: ((error?: unknown) => void) | undefined
}

/** Milliseconds between two readings of the file. */
const rereadMilliseconds = 1_000

/** Milliseconds that a host which can be used waits for an answer of the hosts named before it. */
const precedenceMilliseconds = 100

export class DatabaseHosts {
  readonly #options: HostsOptions
  #target: Target
  #url: string
  #rereadAt = Number.NEGATIVE_INFINITY

  /** @throws OperatorError with the mistake in the URL, in one line. */
  constructor(url: string, options: HostsOptions = {}) {
    this.#options = options
    this.#url = url
    this.#target = parseTarget(url)
  }

  /** The first host. What is said beside host and port is true of all. */
  get first(): DatabaseAddress {
    return this.#target.addresses[0]
  }

  /** All hosts, for messages. */
  get place(): string {
    return this.#target.addresses.map(({ place }) => place).join(' or ')
  }

  /** Whether there is nothing to choose: one host, whatever it is, and a password that does not change. */
  get isFixed(): boolean {
    const { addresses, attributes } = this.#target
    return addresses.length === 1 && attributes === 'any' && this.#options.reread === undefined
  }

  /**
   * The address to connect to now. It was tried a moment ago: host, password and attributes are right.
   * @throws the error of the host that says most, if none can be used.
   */
  async choose(): Promise<DatabaseAddress> {
    try {
      return await firstOf(this.#target)
    } catch (error) {
      if (!isPasswordRefused(error) || !this.#reread()) throw error
      return await firstOf(this.#target)
    }
  }

  /** @returns whether there is another URL now. */
  #reread(): boolean {
    const { reread, onReread } = this.#options
    const now = performance.now()
    if (reread === undefined || now - this.#rereadAt < rereadMilliseconds) return false
    this.#rereadAt = now
    try {
      const url = reread()
      if (url === undefined || url === this.#url) return false
      this.#target = parseTarget(url)
      this.#url = url
      onReread?.()
      return true
    } catch (error) {
      onReread?.(error)
      return false
    }
  }
}

/** PgBouncer has another code for it in older releases. */
function isPasswordRefused(error: unknown): boolean {
  const code = errorCode(error)
  return (
    code === '28P01' || code === '28000' || (code === '08P01' && /password/i.test((error as Error).message))
  )
}

/** The first host, in the order of the URL, that answers and has the attributes. All are asked at once. */
function firstOf({ addresses, attributes }: Target): Promise<DatabaseAddress> {
  return new Promise((resolve, reject) => {
    const failures = new Map<DatabaseAddress, unknown>()
    const answered = new Set<DatabaseAddress>()
    const settle = (waitsForEarlier: boolean): void => {
      for (const address of addresses) {
        if (answered.has(address)) {
          resolve(address)
          return
        }
        if (!failures.has(address) && waitsForEarlier) return
      }
      if (failures.size === addresses.length) reject(mostTelling([...failures.values()]))
    }
    for (const address of addresses) {
      tryHost(address, attributes).then(
        () => {
          answered.add(address)
          settle(true)
          setTimeout(settle, precedenceMilliseconds, false).unref()
        },
        (error: unknown) => {
          failures.set(address, error)
          settle(true)
        },
      )
    }
  })
}

async function tryHost(address: DatabaseAddress, attributes: string): Promise<void> {
  const client = new pg.Client({
    ...connectionConfig(address),
    connectionTimeoutMillis: limits.databaseConnectTimeoutMilliseconds,
    query_timeout: limits.databaseConnectTimeoutMilliseconds,
  })
  client.on('error', () => {})
  try {
    await client.connect()
    if (attributes === 'any') return
    const { rows } = await client.query<{ standby: boolean; read_only: string }>(
      `SELECT pg_catalog.pg_is_in_recovery() AS standby, pg_catalog.current_setting('transaction_read_only') AS read_only`,
    )
    const [row] = rows
    if (row?.standby) throw new UnsuitableHost('is a standby')
    if (attributes === 'read-write' && row?.read_only === 'on') throw new UnsuitableHost('is read-only')
  } finally {
    // It may wait for a server that no longer answers. The caller does not wait for that.
    void client.end().catch(() => {})
  }
}

/** A host that answers and is not the one to use. In the middle of a failover all hosts may be so for a while. */
class UnsuitableHost extends Error {
  override readonly name = 'UnsuitableHost'
  /** "The database cannot take connections now": it is waited for, like one that is starting. */
  readonly code = '57P03'

  constructor(what: string) {
    super(`no host has the target_session_attrs of the URL; the last one that answered ${what}`)
  }
}

/** A refused password needs somebody to act, a standby says that there is a failover, and a dead host says least. */
function mostTelling(errors: readonly unknown[]): unknown {
  return (
    errors.find(isPasswordRefused) ?? errors.find((error) => error instanceof UnsuitableHost) ?? errors.at(-1)
  )
}
