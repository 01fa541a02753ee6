import { hostname, userInfo } from 'node:os'
import { errorCode } from '../database/faults.ts'
import type { Database, Queryable } from '../database/open.ts'
import { OperatorError } from '../errors.ts'
import type { Clock } from '../lib/clock.ts'
import { release } from '../release.ts'
import { appendRecords } from './chain-store.ts'
import type { AuditRecord } from './record.ts'

/**
 * The one way to change the registry: a transaction in which the change and the records of it are written,
 * together or not at all. One at a time, across all processes, so that a rule that spans several rows
 * (granted scopes are a subset of the resource's) is checked against what nobody else is changing.
 *
 * A change is in force when this returns: the database's own triggers move the registry's version at COMMIT,
 * and no token is issued on an older one.
 */
export interface ChangeContext {
  readonly database: Database
  readonly clock: Clock
}

export interface Change<Result> {
  readonly result: Result
  readonly records: readonly AuditRecord[]
}

export interface ChangeOptions {
  /** Milliseconds until the transaction is given up. */
  readonly timeoutMilliseconds?: number
  /** Called when everything is written and only the COMMIT remains. What it throws undoes the change. */
  readonly beforeCommit?: () => void
}

/** With the registry's number 1 and the migrations' 2 (see the first migration), this is 3: its writers. */
const writersLock = [1_296_649_043, 3] as const

/** Milliseconds to wait for another command's transaction. A large seed file takes some seconds. */
const lockPatienceMilliseconds = 60_000

/** Records in one append. A million at once would not fit into one value of the database. */
const recordsPerAppendMax = 50_000

export async function changeRegistry<Result>(
  context: ChangeContext,
  work: (transaction: Queryable) => Promise<Change<Result>>,
  options: ChangeOptions = {},
): Promise<Result> {
  const timeout = options.timeoutMilliseconds ?? lockPatienceMilliseconds + 30_000
  try {
    return await context.database.prisma.$transaction(
      async (transaction) => {
        await transaction.$queryRaw`SELECT set_config('lock_timeout', ${String(lockPatienceMilliseconds)}, true)`
        await transaction.$executeRaw`SELECT pg_advisory_xact_lock(${writersLock[0]}::int, ${writersLock[1]}::int)`
        const { result, records } = await work(transaction)
        for (let start = 0; start < records.length; start += recordsPerAppendMax) {
          await appendRecords(transaction, records.slice(start, start + recordsPerAppendMax), release)
        }
        options.beforeCommit?.()
        return result
      },
      { maxWait: 10_000, timeout },
    )
  } catch (error) {
    if (!isLockTimeout(error)) throw error
    throw new OperatorError(
      `Another command has been changing the registry for ${lockPatienceMilliseconds / 1000} seconds. Nothing was ` +
        'changed; try again when it is done.',
      { cause: error },
    )
  }
}

function isLockTimeout(error: unknown): boolean {
  return errorCode(error) === '55P03' || (error instanceof Error && error.message.includes('55P03'))
}

/** Who makes a change: what its records say of it. */
export function actor(): { readonly by: string; readonly host: string } {
  return { by: userName(), host: hostname() }
}

function userName(): string {
  try {
    return userInfo().username
  } catch {
    // In a container a user need not have a name.
    return `uid ${process.getuid?.() ?? 'unknown'}`
  }
}
