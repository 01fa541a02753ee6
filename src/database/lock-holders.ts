import type { Statements } from './open.ts'

/** A session of the database that keeps every commit of the ledger waiting. */
interface LockHolder {
  /** The process of the database server, for pg_terminate_backend. */
  readonly databaseProcess: number
  readonly role: string | null
  /** Other roles' sessions show only their number to who has not the role pg_read_all_stats. */
  readonly application: string | null
  readonly state: string | null
}

/** Milliseconds between two looks. */
const betweenLooksMilliseconds = 1_000

/**
 * Says who holds the lock between commits and changes (the table registry_version), once for each session that holds it.
 * It is asked when a commit fails, because a commit that waits for somebody fails like one whose database is slow.
 * @returns what to call with a fault of a commit. It passes the fault on.
 */
export function namingLockHolders(
  database: Statements,
  onFault: (error: unknown) => void,
  report: (holder: LockHolder) => void,
): (error: unknown) => void {
  let nextLookAt = Number.NEGATIVE_INFINITY
  const known = new Set<number>()
  async function look(): Promise<void> {
    const holders = await database.$queryRaw<LockHolder[]>`
      SELECT pid AS "databaseProcess", usename AS role, nullif(application_name, '') AS application, state
        FROM pg_locks LEFT JOIN pg_stat_activity USING (pid)
       WHERE relation = 'registry_version'::regclass AND granted AND pid <> pg_backend_pid()
         AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
         AND mode IN ('ExclusiveLock', 'AccessExclusiveLock')`
    for (const holder of holders) if (!known.has(holder.databaseProcess)) report(holder)
    known.clear()
    for (const { databaseProcess } of holders) known.add(databaseProcess)
  }
  return (error) => {
    onFault(error)
    if (performance.now() < nextLookAt) return
    nextLookAt = performance.now() + betweenLooksMilliseconds
    // The database may be away: that is reported already.
    look().catch(() => {})
  }
}
