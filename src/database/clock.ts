import type { Statements } from './open.ts'

/** The database's clock, in seconds since 1970, with fractions. All replicas and commands have this one in common. */
export async function databaseNow(database: Statements): Promise<number> {
  const [row] = await database.$queryRaw<{ now: string }[]>`
    SELECT extract(epoch FROM clock_timestamp())::text AS now`
  if (row === undefined) throw new Error('the database has no time')
  return Number(row.now)
}
