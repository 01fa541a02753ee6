import type { Statements } from '../database/open.ts'
import { repeat } from '../lib/repeated.ts'
import { limits } from '../limits.ts'

/**
 * Deletes expired identifiers, now and then and some at a time, so that no statement takes long. Every process does
 * this, and skips those that another process is deleting. It uses the clock of the database, which is the same for all.
 */
export interface SpentIdentifierUpkeep {
  close(): Promise<void>
}

export function openSpentIdentifierUpkeep(
  database: Statements,
  onFault: (error: unknown) => void,
): SpentIdentifierUpkeep {
  let isClosing = false

  async function deleteAll(): Promise<void> {
    while (
      !isClosing &&
      (await deleteExpiredIdentifiers(database)) === limits.spentIdentifiersPerDeletionMax
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

/** @returns how many were deleted. */
export async function deleteExpiredIdentifiers(database: Statements): Promise<number> {
  return await database.$executeRaw`
    DELETE FROM spent_identifier WHERE digest = ANY (ARRAY(
      SELECT digest FROM spent_identifier
       WHERE expires_at < clock_timestamp() - ${limits.spentIdentifierKeptSeconds}::int * interval '1 second'
       ORDER BY expires_at LIMIT ${limits.spentIdentifiersPerDeletionMax}::int
         FOR UPDATE SKIP LOCKED))`
}
