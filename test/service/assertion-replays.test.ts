/** One assertion gets one token: on two replicas at once, and after a restart. */
import { describe, expect } from 'vitest'
import { openDatabase } from '../../src/database/open.ts'
import { deleteExpiredIdentifiers } from '../../src/ledger/spent-identifier-store.ts'
import { assertionOf, makeKey, registerKeyClient, requestTokenWith } from '../support/assertion.ts'
import { test } from '../support/fixtures.ts'

const key = makeKey('ES256', 'k')

const statusesOf = async (responses: readonly Promise<Response>[]): Promise<number[]> =>
  (await Promise.all(responses)).map(({ status }) => status)

test('fifty at once on two replicas: one token; and none after a restart', async ({
  startService,
  database,
}) => {
  // One issuer for both, as replicas have it.
  const environment = { MINTMARK_ISSUER: 'https://tokens.example.com' }
  const first = await startService({ environment })
  const second = await startService({ environment })
  const { clientId } = await registerKeyClient(database, [key])
  const issuer = 'https://tokens.example.com'
  for (const service of [first, second]) {
    expect((await requestTokenWith(service.url, assertionOf(key, clientId, issuer))).status).toBe(200)
  }
  const assertion = assertionOf(key, clientId, issuer)
  const replays = Array.from({ length: 50 }, (_, index) =>
    requestTokenWith((index % 2 === 0 ? first : second).url, assertion),
  )
  // Beside them, others come with assertions of their own.
  const others = Array.from({ length: 20 }, (_, index) =>
    requestTokenWith((index % 2 === 0 ? first : second).url, assertionOf(key, clientId, issuer)),
  )
  const statuses = await statusesOf(replays)
  const otherStatuses = await statusesOf(others)
  // A machine that is too slow for a commit answers 503, and then the assertion may be used up.
  const isSlow = [...statuses, ...otherStatuses].includes(503)
  const tokens = statuses.filter((status) => status === 200).length
  if (!isSlow) expect(tokens).toBe(1)
  expect(tokens).toBeLessThanOrEqual(1)
  expect(new Set(statuses.filter((status) => status !== 503 && status !== 200))).toEqual(new Set([400]))
  expect(new Set(otherStatuses.filter((status) => status !== 503))).toEqual(new Set([200]))

  await first.close()
  const again = await startService({ environment })
  const late = [again.url, second.url].map((url) => requestTokenWith(url, assertion))
  expect((await statusesOf(late)).filter((status) => status === 200)).toEqual([])
  const [count] = await database.query<{ issued: number; spent: number; reasons: string[] }>(
    `SELECT count(*) FILTER (WHERE outcome = 'issued')::int AS issued,
            (SELECT count(*)::int FROM spent_identifier) AS spent,
            array_agg(DISTINCT reason) FILTER (WHERE reason <> 'ledger_unavailable') AS reasons
       FROM audit_record WHERE type = 'token' AND client_id = $1`,
    [clientId],
  )
  expect(count?.spent).toBe(count?.issued)
  expect(count?.reasons).toEqual(['assertion_replayed'])
  if (!isSlow) expect(count?.issued).toBe(23)
})

test('whoever can delete identifiers can use one again, each time with a record, until its assertion expires', async ({
  startService,
  database,
}) => {
  const first = await startService()
  const second = await startService({ environment: { MINTMARK_ISSUER: first.url } })
  const { clientId } = await registerKeyClient(database, [key])
  const assertion = assertionOf(key, clientId, first.url)
  expect((await requestTokenWith(first.url, assertion)).status).toBe(200)
  await database.query('DELETE FROM spent_identifier')
  // The process that saw it remembers it.
  expect((await requestTokenWith(first.url, assertion)).status).toBe(400)
  expect((await requestTokenWith(second.url, assertion)).status).toBe(200)
  const records = await database.query(
    `SELECT 1 FROM audit_record WHERE type = 'token' AND outcome = 'issued' AND client_id = $1`,
    [clientId],
  )
  expect(records).toHaveLength(2)
  await database.query('DELETE FROM spent_identifier')
  const over = assertionOf(key, clientId, first.url, { claims: { iat: 1, exp: 2 } })
  expect((await requestTokenWith(second.url, over)).status).toBe(400)
})

describe('identifiers that were used', () => {
  test('are deleted some time after they have expired, and not before', async ({ database }) => {
    await database.query(
      `INSERT INTO spent_identifier (digest, expires_at)
       SELECT sha256(n::text::bytea), now() + (n || ' seconds')::interval
         FROM unnest(ARRAY[-100000, -3600, -151, -149, -1, 60]) AS n`,
    )
    const opened = openDatabase(database.url)
    try {
      expect(await deleteExpiredIdentifiers(opened.statements, 60)).toBe(3)
      expect(await deleteExpiredIdentifiers(opened.statements, 60)).toBe(0)
    } finally {
      await opened.close()
    }
    expect(await database.query('SELECT 1 FROM spent_identifier')).toHaveLength(3)
  })

  test('are deleted some thousands at a time', async ({ database }) => {
    await database.query(
      `INSERT INTO spent_identifier (digest, expires_at)
       SELECT sha256(n::text::bytea), now() - interval '1 hour' FROM generate_series(1, 5001) AS n`,
    )
    const opened = openDatabase(database.url)
    try {
      expect(await deleteExpiredIdentifiers(opened.statements, 60)).toBe(5_000)
      expect(await deleteExpiredIdentifiers(opened.statements, 60)).toBe(1)
    } finally {
      await opened.close()
    }
  })
})
