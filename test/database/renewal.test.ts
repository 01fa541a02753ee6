/** Connections of a real pool, replaced while some are idle and others in use. */
import type pg from 'pg'
import { expect, test } from 'vitest'
import { Renewal } from '../../src/database/renewal.ts'
import { freshDatabase, openPool } from '../support/database.ts'

test('idle connections are replaced at once, those in use when they come back, and new ones stay', async () => {
  const database = await freshDatabase()
  const pool = openPool({ connectionString: database.url, max: 3 })
  const renewal = new Renewal([pool])
  const unexpected: Error[] = []
  pool.on('error', (error) => {
    if (!renewal.causes(error)) unexpected.push(error)
  })
  const processOf = async (client: pg.Pool | pg.PoolClient): Promise<number> =>
    (await client.query('SELECT pg_backend_pid() AS pid')).rows[0].pid
  const [inUse, idle] = [await pool.connect(), await pool.connect()]
  const old = [await processOf(inUse), await processOf(idle)]
  idle.release()
  renewal.renew()
  // What is under way goes on.
  expect(await processOf(inUse)).toBe(old[0])
  const renewed = await processOf(pool)
  expect(old).not.toContain(renewed)
  inUse.release()
  expect(await processOf(pool)).toBe(renewed)
  const all = await Promise.all([processOf(pool), processOf(pool), processOf(pool)])
  for (const each of all) expect(old).not.toContain(each)
  expect(unexpected).toEqual([])
  await pool.end()
  await database.drop()
})
