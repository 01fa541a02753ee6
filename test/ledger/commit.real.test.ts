/**
 * The group commit on a real PostgreSQL: who shares a batch, what becomes of each, and where the chain goes on.
 * Long because each case of a shared commit is one test.
 */
import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import type { PreparedCall } from '../../src/database/call.ts'
import { canonicalForm, recordHash } from '../../src/ledger/chain.ts'
import { type CommitOutcome, Committer } from '../../src/ledger/commit.ts'
import type { AuditRecord } from '../../src/ledger/record.ts'
import { limits } from '../../src/limits.ts'
import { OAuthError } from '../../src/refusals.ts'
import { type FreshDatabase, freshDatabase, openPool, registryLockIsAwaited } from '../support/database.ts'

let database: FreshDatabase
/** One connection, as the service has. Without time limits of its own: the committer keeps the time. */
let pool: pg.Pool
/** Connections that the pool has opened. */
let connections = 0

beforeAll(async () => {
  database = await freshDatabase()
  pool = openPool({ connectionString: database.url, max: 1 })
  pool.on('error', () => {})
  pool.on('connect', (client) => {
    connections += 1
    client.on('error', () => {})
  })
})
afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})
afterAll(async () => {
  await pool.end()
  await database.drop()
})

/** A committer on a chain of its own, whose clock stands still until a test moves it. */
async function openCommitter() {
  const genesis = randomBytes(32)
  const [opened] = await database.query<{ chain: number }>(
    `INSERT INTO audit_chain (genesis, opened_by) VALUES ($1, 'a test') RETURNING chain`,
    [genesis],
  )
  const chain = opened?.chain ?? 0
  const clock = { milliseconds: 5_000 }
  const faults: unknown[] = []
  const committer = new Committer({
    pool,
    clock: {
      nowSeconds: () => 1_800_000_000,
      nowMilliseconds: () => 1_800_000_000_000,
      monotonicMilliseconds: () => clock.milliseconds,
    },
    chain,
    genesis,
    onFault: (error) => faults.push(error),
  })
  return { committer, chain, genesis, clock, faults }
}

const record = (clientId: string, changes: Partial<AuditRecord> = {}): AuditRecord => ({
  time: 1_800_000_000_000,
  type: 'token',
  outcome: 'refused',
  clientId,
  ...changes,
})

/** A record that the database will not take: its token's id is no UUID (22P02). */
const untakeable = (clientId: string): AuditRecord => record(clientId, { jti: 'no UUID' })

const names = (count: number): string[] => Array.from({ length: count }, (_, index) => `client ${index}`)

/** What became of each: `committed`, `stale`, or the reason of the refusal. */
async function outcomesOf(commits: readonly Promise<CommitOutcome>[]): Promise<string[]> {
  const settled = await Promise.allSettled(commits)
  return settled.map((one) => {
    if (one.status === 'fulfilled') return one.value.committed ? 'committed' : 'stale'
    return one.reason instanceof OAuthError ? one.reason.reason : String(one.reason)
  })
}

interface Row {
  readonly client: string
  readonly seq: number
  readonly hash: Buffer
  /** The transaction that wrote it: those of one batch share it. */
  readonly batch: string
}

const rowsOf = (chain: number): Promise<Row[]> =>
  database.query<Row>(
    `SELECT client_id AS client, seq::int, hash, xmin::text AS batch FROM audit_record
      WHERE chain = $1 ORDER BY seq`,
    [chain],
  )

const clientsOf = async (chain: number): Promise<string[]> =>
  (await rowsOf(chain)).map(({ client }) => client)

/** Each record counts on from the one before it, and is hashed with it. */
async function expectUnbroken(chain: number, genesis: Buffer): Promise<void> {
  let previous = genesis
  for (const [index, { client, seq, hash }] of (await rowsOf(chain)).entries()) {
    expect(seq).toBe(index + 1)
    expect(hash).toEqual(recordHash(previous, canonicalForm(chain, seq, record(client))))
    previous = hash
  }
}

async function currentVersion(): Promise<number> {
  const [row] = await database.query<{ version: string }>('SELECT version FROM registry_version')
  return Number(row?.version)
}

/** Moves the registry's version on. */
async function changeRegistry(): Promise<number> {
  await database.query(`INSERT INTO client (client_id, name) VALUES ($1, 'Any')`, [
    `any-${randomBytes(6).toString('hex')}`,
  ])
  return await currentVersion()
}

/** Meanwhile the database refuses the record of the client `wrong`, and says why with this code. */
async function withTrigger<Result>(code: string, work: () => Promise<Result>): Promise<Result> {
  await database.query(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '${code}'; END $$`)
  await database.query(`CREATE TRIGGER refuse BEFORE INSERT ON audit_record FOR EACH ROW
    WHEN (NEW.client_id = 'wrong') EXECUTE FUNCTION refuse()`)
  try {
    return await work()
  } finally {
    await database.query('DROP FUNCTION refuse CASCADE')
  }
}

/** Holds what a change of the registry holds while it commits, so that no commit of the ledger gets on. */
async function holdUp(): Promise<{ release(): Promise<void> }> {
  const client = new pg.Client({ connectionString: database.url })
  await client.connect()
  await client.query('BEGIN; LOCK TABLE registry_version IN EXCLUSIVE MODE')
  return { release: () => client.end() }
}

/** Until a commit of the ledger waits for what `holdUp` holds. */
async function expectHeldUp(): Promise<void> {
  await expect.poll(async () => database.query(registryLockIsAwaited)).toHaveLength(1)
}

/** The database does its work, and the answer is lost on the way back. */
function loseNextAnswer(): void {
  const connect = pool.connect.bind(pool) as () => Promise<pg.PoolClient>
  vi.spyOn(pool, 'connect').mockImplementationOnce(async () => {
    const client = await connect()
    const query = client.query.bind(client) as (call: unknown) => unknown
    vi.spyOn(client, 'query').mockImplementation(((call: PreparedCall) => {
      if (typeof call.handleReadyForQuery === 'function') {
        call.handleReadyForQuery = () => call.handleError(new Error('Connection terminated unexpectedly'))
      }
      return query(call)
    }) as never)
    return client
  })
}

describe('a batch', () => {
  test('is everything that arrives in one turn of the loop, in its order, in one transaction', async () => {
    const { committer, chain, genesis, faults } = await openCommitter()
    const commits = names(20).map((name) => committer.commit(undefined, record(name)))
    expect(committer.waiting).toBe(20)
    expect(await outcomesOf(commits)).toEqual(Array(20).fill('committed'))
    expect(committer.waiting).toBe(0)
    expect(await clientsOf(chain)).toEqual(names(20))
    expect(new Set((await rowsOf(chain)).map(({ batch }) => batch)).size).toBe(1)
    await expectUnbroken(chain, genesis)
    expect(faults).toEqual([])
  })

  test('fills while the one before it is on its way, and goes on where that one ended', async () => {
    const { committer, chain, genesis } = await openCommitter()
    const held = await holdUp()
    const first = committer.commit(undefined, record('first'))
    await expectHeldUp()
    const others = names(5).map((name) => committer.commit(undefined, record(name)))
    expect(committer.waiting).toBe(5)
    await held.release()
    expect(await outcomesOf([first, ...others])).toEqual(Array(6).fill('committed'))
    expect(await clientsOf(chain)).toEqual(['first', ...names(5)])
    expect(new Set((await rowsOf(chain)).map(({ batch }) => batch)).size).toBe(2)
    await expectUnbroken(chain, genesis)
  })

  test('has so many records and no more; so many may wait, and who comes then is refused', async () => {
    const { committer, chain, genesis } = await openCommitter()
    const commits = names(limits.commitQueueMax).map((name) => committer.commit(undefined, record(name)))
    expect(await outcomesOf([committer.commit(undefined, record('too many'))])).toEqual(['commit_queue_full'])
    expect(new Set(await outcomesOf(commits))).toEqual(new Set(['committed']))
    const sizes = Object.values(Object.groupBy(await rowsOf(chain), ({ batch }) => batch)).map(
      (rows) => rows?.length,
    )
    const whole = Math.floor(limits.commitQueueMax / limits.recordsPerCommitMax)
    expect(sizes).toEqual([
      ...Array(whole).fill(limits.recordsPerCommitMax),
      limits.commitQueueMax % limits.recordsPerCommitMax,
    ])
    expect(await clientsOf(chain)).toEqual(names(limits.commitQueueMax))
    await expectUnbroken(chain, genesis)
  })

  test('uses the connection that the one before it used', async () => {
    const { committer } = await openCommitter()
    await committer.commit(undefined, record('before'))
    const before = connections
    for (const name of names(3)) await committer.commit(undefined, record(name))
    expect(connections).toBe(before)
    const { rows } = await pool.query('SELECT name FROM pg_prepared_statements')
    expect(rows, 'prepared once').toEqual([{ name: 'ledger_commit' }])
  })
})

describe('a record that the database will not take', () => {
  test.each([[[0]], [[3]], [[6]], [[0, 1]], [[2, 3]], [[0, 3, 6]], [[0, 1, 2, 3, 4, 5, 6]]])(
    'takes none of its neighbours down, wherever it stands: %j',
    async (places) => {
      const { committer, chain, genesis, faults } = await openCommitter()
      const version = await currentVersion()
      const wrong = new Set(places)
      const commits = names(7).map((name, place) =>
        // Some that hold whatever the registry says, and some that do not.
        committer.commit(
          place % 2 === 0 ? version : undefined,
          (wrong.has(place) ? untakeable : record)(name),
        ),
      )
      expect(committer.waiting, 'they are in one batch').toBe(7)
      expect(await outcomesOf(commits)).toEqual(
        names(7).map((_, place) => (wrong.has(place) ? 'ledger_unavailable' : 'committed')),
      )
      expect(await clientsOf(chain)).toEqual(names(7).filter((_, place) => !wrong.has(place)))
      await expectUnbroken(chain, genesis)
      expect(faults).toHaveLength(places.length)
      for (const fault of faults) expect(fault).toMatchObject({ code: '22P02' })
    },
  )

  test('is refused with what the database said as the cause', async () => {
    const { committer } = await openCommitter()
    const refused = await committer.commit(undefined, untakeable('a')).catch((error: unknown) => error)
    expect(refused).toMatchObject({ reason: 'ledger_unavailable', cause: { code: '22P02' } })
  })

  test.each(['23514', '44000', '54000', 'P0001'])('stands alone also for %s', async (code) => {
    const { committer, chain, faults } = await openCommitter()
    const outcomes = await withTrigger(code, () =>
      outcomesOf(['a', 'wrong', 'b'].map((name) => committer.commit(undefined, record(name)))),
    )
    expect(outcomes).toEqual(['committed', 'ledger_unavailable', 'committed'])
    expect(await clientsOf(chain)).toEqual(['a', 'b'])
    expect(faults).toMatchObject([{ code }])
  })

  test('leaves the version to be checked for the halves as for the whole', async () => {
    const { committer, chain } = await openCommitter()
    const version = await currentVersion()
    await changeRegistry()
    const commits = [record('a'), untakeable('b'), record('c')].map((one, place) =>
      committer.commit(place === 2 ? version : undefined, one),
    )
    expect(await outcomesOf(commits)).toEqual(['committed', 'ledger_unavailable', 'stale'])
    expect(await clientsOf(chain)).toEqual(['a'])
  })
})

describe('a fault that is not about the data', () => {
  test('concerns everybody in the batch, is told once, and the next batch goes on', async () => {
    const { committer, chain, genesis, faults } = await openCommitter()
    await committer.commit(undefined, record('before'))
    await database.query('ALTER FUNCTION ledger_commit RENAME TO ledger_commit_away')
    const outcomes = await outcomesOf(names(4).map((name) => committer.commit(undefined, record(name))))
    await database.query('ALTER FUNCTION ledger_commit_away RENAME TO ledger_commit')
    expect(outcomes).toEqual(Array(4).fill('ledger_unavailable'))
    expect(faults).toMatchObject([{ code: '42883' }])
    await committer.commit(undefined, record('after'))
    expect(await clientsOf(chain)).toEqual(['before', 'after'])
    await expectUnbroken(chain, genesis)
  })

  test.each(['57P01', '42P01', '53100', '40001'])(
    'is not looked for in one record after the other: %s',
    async (code) => {
      const { committer, chain, faults } = await openCommitter()
      const commits = await withTrigger(code, () =>
        outcomesOf(['a', 'wrong', 'b'].map((name) => committer.commit(undefined, record(name)))),
      )
      expect(commits).toEqual(Array(3).fill('ledger_unavailable'))
      expect(faults).toMatchObject([{ code }])
      expect(await clientsOf(chain)).toEqual([])
    },
  )

  test('ends the connection: nobody knows what is still on it', async () => {
    const { committer } = await openCommitter()
    await committer.commit(undefined, record('before'))
    const before = connections
    await outcomesOf([committer.commit(undefined, untakeable('a'))])
    await committer.commit(undefined, record('after'))
    expect(connections).toBe(before + 1)
  })

  test('of connecting is one like any other', async () => {
    const { committer, chain, faults } = await openCommitter()
    const refused = new Error('connect ECONNREFUSED')
    vi.spyOn(pool, 'connect').mockImplementationOnce((() => Promise.reject(refused)) as never)
    const commits = ['a', 'b'].map((name) => committer.commit(undefined, record(name)))
    expect(await outcomesOf(commits)).toEqual(['ledger_unavailable', 'ledger_unavailable'])
    expect(faults).toEqual([refused])
    await committer.commit(undefined, record('after'))
    expect(await clientsOf(chain)).toEqual(['after'])
  })
})

describe('where the chain ends', () => {
  test('is asked again after an answer was lost: the records may be there, and here they are', async () => {
    const { committer, chain, genesis, faults } = await openCommitter()
    await committer.commit(undefined, record('before'))
    loseNextAnswer()
    const lost = ['a', 'b'].map((name) => committer.commit(undefined, record(name)))
    expect(await outcomesOf(lost)).toEqual(['ledger_unavailable', 'ledger_unavailable'])
    expect(await clientsOf(chain)).toEqual(['before', 'a', 'b'])
    // No conflict that would have to be noticed: the head is not taken for what it was.
    const queries = vi.spyOn(pg.Client.prototype, 'query')
    expect(await outcomesOf([committer.commit(undefined, record('after'))])).toEqual(['committed'])
    const asked = queries.mock.calls.map(([query]) => (query as { text?: string }).text ?? '')
    expect(asked.filter((text) => text.includes('SELECT seq, hash'))).toHaveLength(1)
    expect(asked.filter((text) => text.startsWith('SELECT ledger_commit'))).toHaveLength(1)
    expect(await clientsOf(chain)).toEqual(['before', 'a', 'b', 'after'])
    await expectUnbroken(chain, genesis)
    expect(faults).toHaveLength(1)
  })

  test('is the genesis after a fault on a chain without a record', async () => {
    const { committer, chain, genesis } = await openCommitter()
    await outcomesOf([committer.commit(undefined, untakeable('a'))])
    await committer.commit(undefined, record('first'))
    expect(await clientsOf(chain)).toEqual(['first'])
    await expectUnbroken(chain, genesis)
  })

  test('is not asked where every answer came', async () => {
    const { committer } = await openCommitter()
    const version = await currentVersion()
    await changeRegistry()
    const queries = vi.spyOn(pg.Client.prototype, 'query')
    await committer.commit(undefined, record('a'))
    await committer.commit(version, record('stale'))
    await committer.commit(undefined, record('b'))
    const asked = queries.mock.calls.map(([query]) => (query as { text?: string }).text ?? '')
    expect(asked.filter((text) => text.includes('SELECT seq, hash'))).toEqual([])
  })

  test('is asked once more where a record came late that was believed lost', async () => {
    const { committer, chain, faults } = await openCommitter()
    await database.query(
      `INSERT INTO audit_record (chain, seq, time, type, outcome, client_id, hash)
       VALUES ($1, 1, now(), 'token', 'refused', 'late', $2)`,
      [chain, randomBytes(32)],
    )
    const commits = ['a', 'b'].map((name) => committer.commit(undefined, record(name)))
    expect(await outcomesOf(commits)).toEqual(['committed', 'committed'])
    expect(await clientsOf(chain)).toEqual(['late', 'a', 'b'])
    expect(new Set((await rowsOf(chain)).slice(1).map(({ batch }) => batch)).size, 'not halved').toBe(1)
    expect(faults).toEqual([])
  })

  test('is not asked for ever', async () => {
    const { committer, chain, faults } = await openCommitter()
    const outcomes = await withTrigger('23505', () =>
      outcomesOf([committer.commit(undefined, record('wrong'))]),
    )
    expect(outcomes).toEqual(['ledger_unavailable'])
    expect(faults).toMatchObject([{ code: '23505' }])
    expect(await clientsOf(chain)).toEqual([])
  })
})

describe('the version decided on', () => {
  test('has to be the one that the registry is at; otherwise nothing is written and the caller hears which', async () => {
    const { committer, chain, genesis } = await openCommitter()
    const before = await currentVersion()
    expect(await committer.commit(before, record('a'))).toEqual({ committed: true })
    const after = await changeRegistry()
    expect(await committer.commit(before, record('b'))).toEqual({ committed: false, version: after })
    expect(await committer.commit(after, record('c'))).toEqual({ committed: true })
    expect(await clientsOf(chain)).toEqual(['a', 'c'])
    await expectUnbroken(chain, genesis)
  })

  test('is checked for who has no record to write', async () => {
    const { committer, chain } = await openCommitter()
    const before = await currentVersion()
    expect(await committer.commit(before, undefined)).toEqual({ committed: true })
    const after = await changeRegistry()
    expect(await committer.commit(before, undefined)).toEqual({ committed: false, version: after })
    expect(await clientsOf(chain)).toEqual([])
  })

  test('that is stale concerns only those who decided on it: the others are written, first of all', async () => {
    const { committer, chain, genesis } = await openCommitter()
    const before = await currentVersion()
    const after = await changeRegistry()
    const commits = [
      committer.commit(before, record('stale')),
      committer.commit(undefined, record('a')),
      committer.commit(before, record('stale as well')),
      committer.commit(undefined, record('b')),
    ]
    // They come behind those who wait already.
    const later = commits[0]?.then(() => committer.commit(after, record('later')))
    expect(await outcomesOf(commits)).toEqual(['stale', 'committed', 'stale', 'committed'])
    expect(await later).toEqual({ committed: true })
    expect(await clientsOf(chain)).toEqual(['a', 'b', 'later'])
    await expectUnbroken(chain, genesis)
  })

  test('of whoever came last is the one that is asked about; those of another are stale at once', async () => {
    const { committer, chain } = await openCommitter()
    const before = await currentVersion()
    const after = await changeRegistry()
    const commits = [
      committer.commit(before, record('early')),
      committer.commit(after, record('late')),
      committer.commit(undefined, record('any')),
    ]
    expect(await Promise.all(commits)).toEqual([
      { committed: false, version: after },
      { committed: true },
      { committed: true },
    ])
    expect(await clientsOf(chain)).toEqual(['late', 'any'])
  })

  test('may go back: a restored database has a lower one, and the latest counts', async () => {
    const { committer, chain } = await openCommitter()
    const restored = await currentVersion()
    const commits = [
      committer.commit(restored + 7, record('before')),
      committer.commit(restored, record('since')),
    ]
    expect(await Promise.all(commits)).toEqual([{ committed: false, version: restored }, { committed: true }])
    expect(await clientsOf(chain)).toEqual(['since'])
  })
})

describe('what runs while the database writes', () => {
  test('runs once for each, and before the answer', async () => {
    const { committer } = await openCommitter()
    const ran: string[] = []
    const commits = names(3).map((name) =>
      committer.commit(undefined, record(name), () => ran.push(name)).then(() => ran.push('answered')),
    )
    await Promise.all(commits)
    expect(ran).toEqual([...names(3), 'answered', 'answered', 'answered'])
  })

  test('fails for its own request alone, with its own error', async () => {
    const { committer, chain, faults } = await openCommitter()
    const fails = () => {
      throw new Error('no signature')
    }
    const commits = [
      committer.commit(undefined, record('a'), () => {}),
      committer.commit(undefined, record('b'), fails),
      committer.commit(undefined, record('c'), () => {}),
    ]
    expect(await outcomesOf(commits)).toEqual(['committed', 'Error: no signature', 'committed'])
    expect(await clientsOf(chain), 'a record may exist without its token').toEqual(['a', 'b', 'c'])
    expect(faults).toEqual([])
  })

  test('leaves the loop room after every few of them', async () => {
    const { committer } = await openCommitter()
    const most = limits.signaturesPerTurnMax
    let turn = 0
    let counting = true
    const countTurns = (): void => {
      turn += 1
      if (counting) setImmediate(countTurns)
    }
    const turns: number[] = []
    const commits = names(most * 2 + 5).map((name) =>
      committer.commit(undefined, record(name), () => turns.push(turn)),
    )
    // Those without such work are not counted.
    commits.push(...names(most).map((name) => committer.commit(undefined, record(name))))
    countTurns()
    await Promise.all(commits)
    counting = false
    const sizes = Object.values(Object.groupBy(turns, (one) => one)).map((same) => same?.length)
    expect(sizes).toEqual([most, most, 5])
  })
})

describe('the time there is', () => {
  const sweep = () => vi.advanceTimersByTime(100)
  const fakeSweep = () => vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  /** Lets promises that are settled say so. */
  const turn = () => new Promise((resolve) => setImmediate(resolve))

  test('ends for who is on the way and for who waits behind, and not a moment before', async () => {
    const { committer, chain, genesis, clock, faults } = await openCommitter()
    await committer.commit(undefined, record('before'))
    await committer.idle()
    fakeSweep()
    const held = await holdUp()
    const answers: string[] = []
    const note = (name: string) => (error: OAuthError) => void answers.push(`${name} ${error.reason}`)
    committer.commit(undefined, record('first')).catch(note('first'))
    await expectHeldUp()
    clock.milliseconds += 100
    const second = committer.commit(undefined, record('second'))
    clock.milliseconds += limits.commitTimeoutMilliseconds - 101
    sweep()
    await turn()
    expect(answers).toEqual([])
    clock.milliseconds += 1
    sweep()
    await turn()
    expect(answers).toEqual(['first ledger_unavailable'])
    // The call was given up, and its connection is gone. The other's time is not over.
    expect(faults).toMatchObject([{ message: expect.stringContaining('did not answer in time') }])
    await held.release()
    expect(await second).toEqual({ committed: true })
    await committer.commit(undefined, record('after'))
    // What was given up may be written all the same, sooner or later.
    const written = await clientsOf(chain)
    expect(written.filter((client) => client !== 'first')).toEqual(['before', 'second', 'after'])
    await expectUnbroken(chain, genesis)
  })

  test('that ended in the queue leaves no record, and no signature', async () => {
    const { committer, chain, clock } = await openCommitter()
    fakeSweep()
    const held = await holdUp()
    const sign = vi.fn()
    const connects = vi.spyOn(pool, 'connect')
    const commits = [committer.commit(undefined, record('first'))]
    await expectHeldUp()
    commits.push(committer.commit(undefined, record('second'), sign))
    clock.milliseconds += limits.commitTimeoutMilliseconds
    sweep()
    expect(await outcomesOf(commits)).toEqual(['ledger_unavailable', 'ledger_unavailable'])
    await held.release()
    await committer.idle()
    expect(await clientsOf(chain)).not.toContain('second')
    expect(sign).not.toHaveBeenCalled()
    expect(connects, 'and no batch').toHaveBeenCalledTimes(1)
  })

  test('that ended before there was a connection leaves no signature', async () => {
    const { committer, clock } = await openCommitter()
    fakeSweep()
    const client = await pool.connect()
    const sign = vi.fn()
    const commits = [committer.commit(undefined, record('first'), sign)]
    await turn()
    clock.milliseconds += limits.commitTimeoutMilliseconds - 1
    sweep()
    await turn()
    commits.push(committer.commit(undefined, record('in time'), sign))
    clock.milliseconds += 1
    sweep()
    await expect(commits[0]).rejects.toMatchObject({ reason: 'ledger_unavailable' })
    client.release()
    expect(await commits[1]).toEqual({ committed: true })
    expect(sign).toHaveBeenCalledTimes(1)
  })

  test('is looked at while somebody waits, and not for ever', async () => {
    const { committer } = await openCommitter()
    fakeSweep()
    for (const name of names(2)) {
      const commit = committer.commit(undefined, record(name))
      expect(vi.getTimerCount()).toBe(1)
      sweep()
      expect(vi.getTimerCount(), 'it waits still').toBe(1)
      await commit
      await turn()
      sweep()
      expect(vi.getTimerCount()).toBe(0)
    }
    const held = await holdUp()
    const commit = committer.commit(undefined, record('on the way'))
    await expectHeldUp()
    sweep()
    expect(vi.getTimerCount(), 'nobody is in the queue, and somebody waits').toBe(1)
    await held.release()
    await commit
  })
})

describe('idle', () => {
  test('is whoever has answered everybody, and looks at nothing any more', async () => {
    const { committer, chain } = await openCommitter()
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    const commits = names(limits.recordsPerCommitMax + 1).map((name) =>
      committer.commit(undefined, record(name)),
    )
    await committer.idle()
    expect(committer.waiting).toBe(0)
    expect(vi.getTimerCount()).toBe(0)
    expect(await clientsOf(chain)).toHaveLength(commits.length)
    await committer.idle()
    await Promise.all(commits)
    const later = committer.commit(undefined, record('later'))
    expect(vi.getTimerCount()).toBe(1)
    await later
  })
})
