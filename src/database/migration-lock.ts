import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { OperatorError } from '../errors.ts'

/**
 * A session advisory lock, so that only one process at a time migrates a database. It is the one that Prisma's
 * own command takes: that command and ours wait for each other, too.
 */
const migrationLock = 72_707_369

/** Milliseconds between two tries for the lock. */
const retryMilliseconds = 200

/**
 * Takes the lock, which ends with the session.
 *
 * It tries again and again instead of letting the server wait: a statement that waits there holds a snapshot,
 * CREATE INDEX CONCURRENTLY waits for every snapshot, and the two processes would wait for each other.
 * @throws OperatorError when another process has held it for too long.
 */
export async function takeMigrationLock(
  client: pg.ClientBase,
  patienceMilliseconds: number,
  report: (message: string) => void,
): Promise<void> {
  const startedAt = performance.now()
  let reported = false
  while (!(await tryLock(client))) {
    const holder = (await migrationLockHolder(client)) ?? 'another process'
    const seconds = Math.round(patienceMilliseconds / 1000)
    if (performance.now() - startedAt >= patienceMilliseconds) {
      throw new OperatorError(
        `Another process migrates this database: ${holder}. It did not finish within ${seconds} seconds. ` +
          'Wait until it ends, then run "bin/mintmark migrate" again.',
      )
    }
    if (!reported) {
      report(
        `Another process migrates this database: ${holder}. Waiting for it, at most ${seconds} seconds …`,
      )
    }
    reported = true
    await sleep(retryMilliseconds)
  }
}

async function tryLock(client: pg.ClientBase): Promise<boolean> {
  const { rows } = await client.query(`SELECT pg_try_advisory_lock(${migrationLock}) AS taken`)
  return rows[0].taken
}

/** Which other session holds the lock, as an operator finds it in pg_stat_activity; undefined when none does. */
export async function migrationLockHolder(client: pg.ClientBase): Promise<string | undefined> {
  // A role sees little of other roles' sessions, but always the number.
  const { rows } = await client.query<{ pid: number; program: string | null; address: string | null }>(
    `SELECT pid, nullif(application_name, '') AS program, host(client_addr) AS address
       FROM pg_locks LEFT JOIN pg_stat_activity USING (pid)
      WHERE locktype = 'advisory' AND classid = 0 AND objid = ${migrationLock} AND objsubid = 1 AND granted
        AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND pid <> pg_backend_pid()`,
  )
  const [holder] = rows
  if (holder === undefined) return undefined
  const known = [holder.program, holder.address].filter((each) => each !== null).join(', from ')
  return `process ${holder.pid} of the database server${known === '' ? '' : ` (${known})`}`
}
