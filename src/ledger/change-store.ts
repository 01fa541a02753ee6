import { databaseFault } from '../database/faults.ts'
import type { Database, Queryable } from '../database/open.ts'
import { AdministrationError, OperatorError } from '../errors.ts'
import type { Clock } from '../lib/clock.ts'
import { release } from '../release.ts'
import { appendRecords } from './chain-store.ts'
import { type Actor, ChangeRecords } from './change-records.ts'

/**
 * The one way to change the registry: a transaction that writes the change and its records together or not at all.
 * There is one at a time across all processes. So a rule about several rows (granted scopes are a subset of the
 * resource's) is checked while nobody else changes any of them.
 *
 * A change is in force when this returns: the database's own triggers move the registry's version at COMMIT,
 * and no token is issued on an older one.
 */
export interface ChangeContext {
  readonly database: Database
  readonly clock: Clock
  /** Who makes the change. */
  readonly actor: Actor
}

export interface ChangeOptions {
  /** Milliseconds until the transaction is given up. */
  readonly timeoutMilliseconds?: number
  /** Called when everything is written and only the COMMIT remains. What it throws undoes the change. */
  readonly beforeCommit?: () => void
}

/** Milliseconds to wait for somebody else's change. A file of ten thousand clients takes some seconds. */
const lockPatienceMilliseconds = 60_000

/**
 * Milliseconds that a COMMIT waits for its turn among the commits of tokens. Those behind it wait as well, so it gives up
 * soon. It only has to wait for commits that run, unless somebody keeps a transaction open.
 */
const commitPatienceMilliseconds = 2_000

/** Records in one append. A million at once would not fit into one value of the database. */
const recordsPerAppendMax = 50_000

/** @param work makes the change, and adds what there is to record of it. */
export async function changeRegistry<Result>(
  context: ChangeContext,
  work: (transaction: Queryable, records: ChangeRecords) => Promise<Result>,
  options: ChangeOptions = {},
): Promise<Result> {
  const timeout = options.timeoutMilliseconds ?? lockPatienceMilliseconds + 30_000
  let patience = lockPatienceMilliseconds
  try {
    return await context.database.prisma.$transaction(
      async (transaction) => {
        await waitForLocks(transaction, patience)
        // No advisory lock: every role that may connect could hold that. This mode excludes itself, and none of the
        // statements that read or write the table.
        await transaction.$executeRaw`LOCK TABLE registry_change_set IN SHARE UPDATE EXCLUSIVE MODE`
        const records = new ChangeRecords(context.clock.nowMilliseconds(), context.actor)
        const result = await work(transaction, records)
        for (let start = 0; start < records.all.length; start += recordsPerAppendMax) {
          await appendRecords(transaction, records.all.slice(start, start + recordsPerAppendMax), release)
        }
        patience = commitPatienceMilliseconds
        await waitForLocks(transaction, patience)
        options.beforeCommit?.()
        return result
      },
      // Said here as well: what a statement sees must not hang on the session.
      { maxWait: 10_000, timeout, isolationLevel: 'ReadCommitted' },
    )
  } catch (error) {
    // What was refused on purpose may have any text in it, also one that looks like the code of a lock timeout.
    if (error instanceof OperatorError || !isLockTimeout(error)) throw error
    const waitedSeconds = patience / 1_000
    throw new AdministrationError('registry_busy', { waitedSeconds }, { cause: error })
  }
}

async function waitForLocks(transaction: Queryable, milliseconds: number): Promise<void> {
  await transaction.$queryRaw`SELECT set_config('lock_timeout', ${String(milliseconds)}, true)`
}

function isLockTimeout(error: unknown): boolean {
  return databaseFault(error)?.code === '55P03' || (error instanceof Error && error.message.includes('55P03'))
}
