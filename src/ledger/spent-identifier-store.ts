import type { Pool, Statements } from '../database/open.ts'
import { clockToleranceSeconds } from '../lib/clock-guard.ts'
import { repeat } from '../lib/repeated.ts'
import { limits } from '../limits.ts'

/**
 * Deletes expired identifiers, now and then and some at a time, so that no statement takes long. Every process does
 * this, and skips those that another process is deleting. It uses the clock of the database, which is the same for all.
 *
 * A replica whose clock is behind takes an assertion for longer. Its clock may differ from that of the database by half of the
 * allowed skew, and identifiers are kept for that much longer.
 */
export interface SpentIdentifierUpkeep {
  close(): Promise<void>
}

export function openSpentIdentifierUpkeep(
  database: Statements,
  clockSkewSeconds: number,
  onFault: (error: unknown) => void,
): SpentIdentifierUpkeep {
  let isClosing = false

  async function deleteAll(): Promise<void> {
    while (
      !isClosing &&
      (await deleteExpiredIdentifiers(database, clockSkewSeconds)) === limits.spentIdentifiersPerDeletionMax
    );
  }

  const deletions = repeat(limits.spentIdentifierDeletionMilliseconds, deleteAll, onFault)
  return {
    async close() {
      isClosing = true
      await deletions.close()
    },
  }
}

/** Whether an identifier was used up, for an operator who only wants to know. @param digest in hex. */
export async function isSpent(pool: Pool, digest: string): Promise<boolean> {
  const { rows } = await pool.query(`SELECT 1 FROM spent_identifier WHERE digest = decode($1, 'hex')`, [
    digest,
  ])
  return rows.length > 0
}

/** @returns how many were deleted. */
export async function deleteExpiredIdentifiers(
  database: Statements,
  clockSkewSeconds: number,
): Promise<number> {
  const keptSeconds = limits.spentIdentifierKeptSeconds + Math.ceil(clockToleranceSeconds(clockSkewSeconds))
  return await database.$executeRaw`
    DELETE FROM spent_identifier WHERE digest = ANY (ARRAY(
      SELECT digest FROM spent_identifier
       WHERE expires_at < clock_timestamp() - ${keptSeconds}::int * interval '1 second'
       ORDER BY expires_at LIMIT ${limits.spentIdentifiersPerDeletionMax}::int
         FOR UPDATE SKIP LOCKED))`
}
