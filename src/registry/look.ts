import { isBehind } from '../database/history.ts'
import type { Pool } from '../database/open.ts'
import { limits } from '../limits.ts'
import { type LoadedChanges, loadChanges } from './store.ts'

/**
 * Why reads are not to be trusted. After a failover, connections may stay with an old primary that still answers.
 * - read_only: the database is a standby, or takes no changes.
 * - behind: it is at an older version than one that was read before.
 * - unknown_version: it has never been at the version that a commit has answered with.
 */
export type Misled = 'read_only' | 'behind' | 'unknown_version'

export interface LookOptions {
  readonly pool: Pool
  readonly monotonicMilliseconds: () => number
  /** Told the database's clock, in seconds since 1970, and the seconds that asking took, at every look. */
  readonly onDatabaseTime: (databaseSeconds: number, elapsedSeconds: number) => void
  /** Told when reads come from another database than the commits. It must replace the connections that read. */
  readonly onMisled: (reason: Misled) => void
}

/** Finds out what has changed in the registry, and whether the database that answers is the one that commits. */
export class Look {
  readonly #options: LookOptions
  #misled: Misled | undefined
  #replacedAt = Number.NEGATIVE_INFINITY
  #lookedAt = 0

  constructor(options: LookOptions) {
    this.#options = options
  }

  /** Whether the last look was to be trusted. */
  get isTrusted(): boolean {
    return this.#misled === undefined
  }

  /** When the last finished look began, in milliseconds of the monotonic clock. */
  get lookedAt(): number {
    return this.#lookedAt
  }

  /** The version that the database is at, without the changes. */
  async first(): Promise<number> {
    return (await this.#read(Number.MAX_SAFE_INTEGER)).version
  }

  /**
   * The changes since a version. If the database is not the one that commits, looks again over other connections.
   * @param committedVersion one that a commit has answered with.
   * @throws Error if it is not the second time either.
   */
  async since(version: number, committedVersion: number | undefined): Promise<LoadedChanges> {
    for (let isLast = false; ; isLast = true) {
      const loaded = await this.#read(version, committedVersion)
      const misled = misledBy(loaded, version, committedVersion)
      const isReplaced = misled !== undefined && this.replaceReaders(misled)
      if (isReplaced && !isLast) continue
      // After a restored backup the version is older, and right.
      this.#misled = misled === 'behind' ? undefined : misled
      if (this.#misled === undefined) return loaded
      throw new Error(messages[this.#misled])
    }
  }

  /** At most once a second: a failover takes longer than connecting. @returns whether they are replaced. */
  replaceReaders(reason: Misled): boolean {
    const now = this.#options.monotonicMilliseconds()
    if (now - this.#replacedAt < limits.registryPollMilliseconds) return false
    this.#replacedAt = now
    this.#options.onMisled(reason)
    return true
  }

  async #read(sinceVersion: number, heardVersion?: number): Promise<LoadedChanges> {
    const { pool, monotonicMilliseconds, onDatabaseTime } = this.#options
    const startedAt = monotonicMilliseconds()
    try {
      const loaded = await loadChanges(pool, sinceVersion, heardVersion)
      onDatabaseTime(loaded.databaseSeconds, (monotonicMilliseconds() - startedAt) / 1_000)
      return loaded
    } finally {
      this.#lookedAt = startedAt
    }
  }
}

function misledBy(
  loaded: LoadedChanges,
  before: number,
  committedVersion: number | undefined,
): Misled | undefined {
  if (loaded.isReadOnly) return 'read_only'
  if (committedVersion !== undefined && !loaded.knowsHeard) return 'unknown_version'
  return isBehind(loaded.version, before) ? 'behind' : undefined
}

const messages: Readonly<Record<Exclude<Misled, 'behind'>, string>> = {
  read_only:
    'the database that answers is a standby or read-only: it is not the primary, or takes no changes',
  unknown_version: 'the database that answers reads does not know the version of the one that commits',
}
