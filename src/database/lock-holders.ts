import { setTimeout as sleep } from 'node:timers/promises'
import type { Statements } from './open.ts'

/** A session of the database that keeps every commit of the ledger waiting. */
interface LockHolder {
  /** The process of the database server, for pg_terminate_backend. */
  readonly databaseProcess: number
  readonly role: string | null
  /** Without the role pg_read_all_stats, only the number of other roles' sessions can be seen. */
  readonly application: string | null
  readonly state: string | null
  /** It is itself a commit, which the synchronous standby has not confirmed. To end it would help nobody. */
  readonly waitsForStandby: boolean
}

/** Milliseconds between two looks. */
const betweenLooksMilliseconds = 1_000

/**
 * Milliseconds until a search that found no holder is repeated. The first commit may have given up by then, but the
 * next one waits.
 */
const untilSecondLookMilliseconds = 500

/**
 * Says which session keeps commits of the ledger waiting, once for each session. It is asked when a commit fails, because
 * a commit that waits for a lock fails like one whose database is slow.
 * @returns what to call with a fault of a commit. It passes the fault on.
 */
export function namingLockHolders(
  database: Statements,
  onFault: (error: unknown) => void,
  report: (holder: LockHolder) => void,
): (error: unknown) => void {
  let nextLookAt = Number.NEGATIVE_INFINITY
  let known = new Set<number>()

  async function look(isSecond: boolean): Promise<void> {
    const holders = await findLockHolders(database)
    for (const holder of holders) if (!known.has(nameOf(holder))) report(holder)
    if (holders.length === 0 && !isSecond) {
      await sleep(untilSecondLookMilliseconds, undefined, { ref: false })
      return await look(true)
    }
    known = new Set(holders.map(nameOf))
  }

  return (error) => {
    onFault(error)
    if (performance.now() < nextLookAt) return
    nextLookAt = performance.now() + betweenLooksMilliseconds
    // The database may be away: that is reported already.
    look(false).catch(() => {})
  }
}

/** All that wait for the standby are one fault: each further commit gives up and leaves another such session. */
const nameOf = ({ databaseProcess, waitsForStandby }: LockHolder): number =>
  waitsForStandby ? 0 : databaseProcess

/**
 * A commit may wait behind a change that waits itself, so the answer is where the waiting ends. A session that holds the
 * lock between commits and changes is named even if nobody waits at this moment.
 */
async function findLockHolders(database: Statements): Promise<LockHolder[]> {
  return await database.$queryRaw<LockHolder[]>`
    WITH RECURSIVE here AS (
      SELECT pg_locks.pid, relation, mode, granted FROM pg_locks
        JOIN pg_stat_activity ON pg_stat_activity.pid = pg_locks.pid AND datname = current_database()
       WHERE pg_locks.pid <> pg_backend_pid()
    ), waits (pid) AS (
      SELECT here.pid FROM here LEFT JOIN pg_stat_activity USING (pid)
       WHERE NOT granted AND (relation = 'registry_version'::regclass OR query LIKE '%ledger_commit(%')
       UNION SELECT unnest(pg_blocking_pids(pid)) FROM waits
    ), holders (pid) AS (
      SELECT pid FROM waits
       UNION SELECT pid FROM here
        WHERE granted AND relation = 'registry_version'::regclass AND mode IN ('ExclusiveLock', 'AccessExclusiveLock')
    )
    SELECT pid AS "databaseProcess", usename AS role, nullif(application_name, '') AS application, state,
           coalesce(wait_event = 'SyncRep', false) AS "waitsForStandby"
      FROM holders LEFT JOIN pg_stat_activity USING (pid)
     WHERE pid <> 0 AND NOT EXISTS (SELECT FROM here WHERE here.pid = holders.pid AND NOT granted)`
}
