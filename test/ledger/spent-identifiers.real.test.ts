/** Identifiers that count once, in the group commit on a real PostgreSQL. */
import { createHash, randomBytes } from 'node:crypto'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type CommitOutcome, Committer } from '../../src/ledger/commit.ts'
import type { AuditRecord } from '../../src/ledger/record.ts'
import type { OnceOnly } from '../../src/ledger/spent-identifiers.ts'
import { OAuthError } from '../../src/refusals.ts'
import { type FreshDatabase, freshDatabase, openPool } from '../support/database.ts'

let database: FreshDatabase
let pool: pg.Pool
/** Every statement that commits, or reads where a chain ends. */
let calls: string[] = []

beforeAll(async () => {
  database = await freshDatabase()
  pool = openPool({ connectionString: database.url, max: 4 })
  pool.on('error', () => {})
  pool.on('connect', (client) => {
    const query = client.query.bind(client)
    client.query = ((asked: { name?: string; text?: string }, ...more: never[]) => {
      if (asked.name?.startsWith('ledger_commit')) calls.push(asked.name)
      if (asked.text?.includes(' AS holds')) calls.push('where the chain ends')
      return (query as (...given: unknown[]) => unknown)(asked, ...more)
    }) as typeof client.query
  })
})
afterAll(async () => {
  await pool.end()
  await database.drop()
})

async function openCommitter() {
  const genesis = randomBytes(32)
  const [opened] = await database.query<{ chain: number }>(
    `INSERT INTO audit_chain (genesis, opened_by) VALUES ($1, 'a test') RETURNING chain`,
    [genesis],
  )
  const chain = opened?.chain ?? 0
  const clock = { nowSeconds: () => 0, nowMilliseconds: () => 0, monotonicMilliseconds: () => 5_000 }
  calls = []
  return { committer: new Committer({ pool, clock, chain, genesis, onFault: () => {} }), chain }
}

const record = (clientId: string, changes: Partial<AuditRecord> = {}): AuditRecord => ({
  time: 1_800_000_000_000,
  type: 'token',
  outcome: 'issued',
  clientId,
  ...changes,
})

const once = (name: string): OnceOnly => ({
  digest: createHash('sha256').update(name).digest('hex'),
  expiresAt: 1_800_000_060,
  reason: 'assertion_replayed',
})

async function outcomesOf(commits: readonly Promise<CommitOutcome>[]): Promise<string[]> {
  const settled = await Promise.allSettled(commits)
  return settled.map((one) => {
    if (one.status === 'fulfilled') return one.value.committed ? 'committed' : 'stale'
    return one.reason instanceof OAuthError ? one.reason.reason : String(one.reason)
  })
}

const clientsOf = async (chain: number): Promise<string[]> =>
  (
    await database.query<{ client: string }>(
      'SELECT client_id AS client FROM audit_record WHERE chain = $1 ORDER BY seq',
      [chain],
    )
  ).map(({ client }) => client)

async function spent(...names: readonly string[]): Promise<boolean[]> {
  const rows = await database.query<{ digest: string }>(
    `SELECT encode(digest, 'hex') AS digest FROM spent_identifier`,
  )
  const digests = new Set(rows.map(({ digest }) => digest))
  return names.map((name) => digests.has(once(name).digest))
}

async function currentVersion(): Promise<number> {
  const [row] = await database.query<{ version: string }>('SELECT version FROM registry_version')
  return Number(row?.version)
}

describe('a batch', () => {
  test('uses up its identifiers with its records, in one call', async () => {
    const { committer, chain } = await openCommitter()
    const commits = ['a1', 'a2', 'a3'].map((name) =>
      committer.commit(undefined, record(name), undefined, [once(name)]),
    )
    expect(await outcomesOf([...commits, committer.commit(undefined, record('plain'))])).toEqual(
      Array.from({ length: 4 }, () => 'committed'),
    )
    expect(calls).toEqual(['ledger_commit_once'])
    expect(await spent('a1', 'a2', 'a3')).toEqual([true, true, true])
    expect(await clientsOf(chain)).toEqual(['a1', 'a2', 'a3', 'plain'])
  })

  test('without identifiers is committed as before', async () => {
    const { committer } = await openCommitter()
    await committer.commit(undefined, record('plain'))
    expect(calls).toEqual(['ledger_commit'])
  })

  test('with one that another process used: only this request is refused, and each signs once', async () => {
    const [first, second] = [await openCommitter(), await openCommitter()]
    await first.committer.commit(undefined, record('b1'), undefined, [once('b')])
    const signed: string[] = []
    const commits = [
      second.committer.commit(undefined, record('before'), () => signed.push('before'), [once('b-before')]),
      second.committer.commit(undefined, record('replay'), () => signed.push('replay'), [once('b')]),
      second.committer.commit(undefined, record('after'), () => signed.push('after'), [once('b-after')]),
      second.committer.commit(undefined, record('plain')),
    ]
    expect(await outcomesOf(commits)).toEqual(['committed', 'assertion_replayed', 'committed', 'committed'])
    expect(await clientsOf(second.chain)).toEqual(['before', 'after', 'plain'])
    expect(signed.toSorted()).toEqual(['after', 'before', 'replay'])
    // The rest is sent again at once: the chain ends where it did.
    expect(calls.slice(1)).toEqual(['ledger_commit_once', 'ledger_commit_once'])
    // What was known by then costs no call.
    calls = []
    expect(
      await outcomesOf([second.committer.commit(undefined, record('again'), undefined, [once('b')])]),
    ).toEqual(['assertion_replayed'])
    expect(calls).toEqual([])
  })

  test('with the same one many times: the first gets it, in one call', async () => {
    const { committer, chain } = await openCommitter()
    const commits = Array.from({ length: 30 }, (_, index) =>
      committer.commit(undefined, record(`c${index}`), undefined, [once('c')]),
    )
    const outcomes = await outcomesOf(commits)
    expect(outcomes[0]).toBe('committed')
    expect(new Set(outcomes.slice(1))).toEqual(new Set(['assertion_replayed']))
    expect(await clientsOf(chain)).toEqual(['c0'])
    expect(calls).toHaveLength(1)
  })

  test('of a stale version uses up nothing', async () => {
    const { committer } = await openCommitter()
    const version = await currentVersion()
    const commits = [committer.commit(version + 1, record('d'), undefined, [once('d')])]
    expect(await outcomesOf(commits)).toEqual(['stale'])
    expect(await spent('d')).toEqual([false])
    expect(await outcomesOf([committer.commit(version, record('d'), undefined, [once('d')])])).toEqual([
      'committed',
    ])
  })

  test('with a record that cannot be written: its identifier is not used up, and those beside it are', async () => {
    const { committer, chain } = await openCommitter()
    const commits = [
      committer.commit(undefined, record('e1'), undefined, [once('e1')]),
      committer.commit(undefined, record('e2', { jti: 'no UUID' }), undefined, [once('e2')]),
      committer.commit(undefined, record('e3'), undefined, [once('e3')]),
    ]
    expect(await outcomesOf(commits)).toEqual(['committed', 'ledger_unavailable', 'committed'])
    expect(await spent('e1', 'e2', 'e3')).toEqual([true, false, true])
    expect(await clientsOf(chain)).toEqual(['e1', 'e3'])
    expect(await outcomesOf([committer.commit(undefined, record('e2'), undefined, [once('e2')])])).toEqual([
      'committed',
    ])
  })

  test('with two identifiers of one request: both are used up, or neither is, and the one that was used is named', async () => {
    const [first, second] = [await openCommitter(), await openCommitter()]
    const proof = (name: string): OnceOnly => ({ ...once(name), reason: 'dpop_proof_replayed' })
    const both = (one: string, other: string) => [once(one), proof(other)]
    await first.committer.commit(undefined, record('g1'), undefined, both('g-a1', 'g-p1'))
    const commits = [
      second.committer.commit(undefined, record('g2'), undefined, both('g-a2', 'g-p2')),
      second.committer.commit(undefined, record('g3'), undefined, both('g-a3', 'g-p1')),
      second.committer.commit(undefined, record('g4'), undefined, both('g-a1', 'g-p4')),
      second.committer.commit(undefined, record('g5'), undefined, [proof('g-p5')]),
      // One of them is of a request in the same batch.
      second.committer.commit(undefined, record('g6'), undefined, both('g-a6', 'g-p2')),
    ]
    expect(await outcomesOf(commits)).toEqual([
      'committed',
      'dpop_proof_replayed',
      'assertion_replayed',
      'committed',
      'dpop_proof_replayed',
    ])
    expect(await clientsOf(second.chain)).toEqual(['g2', 'g5'])
    expect(await spent('g-a1', 'g-p1', 'g-a2', 'g-p2', 'g-p5')).toEqual([true, true, true, true, true])
    expect(await spent('g-a3', 'g-p4', 'g-a6')).toEqual([false, false, false])
    // What was not used up is good for another request.
    const later = second.committer.commit(undefined, record('g7'), undefined, both('g-a3', 'g-p4'))
    expect(await outcomesOf([later])).toEqual(['committed'])
  })

  test('and another one with the same identifiers the other way round: nobody waits for ever', async () => {
    const [first, second] = [await openCommitter(), await openCommitter()]
    const names = Array.from({ length: 50 }, (_, index) => `f${index}`)
    const outcomes = await outcomesOf([
      ...names.map((name) => first.committer.commit(undefined, record(name), undefined, [once(name)])),
      ...names
        .toReversed()
        .map((name) => second.committer.commit(undefined, record(name), undefined, [once(name)])),
    ])
    expect(outcomes.filter((outcome) => outcome === 'committed')).toHaveLength(50)
    expect(outcomes.filter((outcome) => outcome === 'assertion_replayed')).toHaveLength(50)
  })
})
