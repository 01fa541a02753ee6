import type { Statements } from '../database/open.ts'
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
  let running: Promise<void> | undefined

  async function deleteAll(): Promise<void> {
    try {
      while (
        !isClosing &&
        (await deleteExpiredIdentifiers(database)) === limits.spentIdentifiersPerDeletionMax
      );
    } catch (error) {
      onFault(error)
    }
  }

  const timer = setInterval(() => {
    running ??= deleteAll().finally(() => {
      running = undefined
    })
  }, limits.spentIdentifierDeletionMilliseconds).unref()
  return {
    async close() {
      isClosing = true
      clearInterval(timer)
      await running
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
