/** A listing of any length is read in parts, and a follower goes on where it stopped: every record once. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { command } from '../support/command.ts'
import { type FreshDatabase, freshDatabase } from '../support/database.ts'
import { type Outcome, startMintmark } from '../support/process.ts'

let database: FreshDatabase

/** More than one listing may show. Many have the same time, and two chains take turns. */
const count = 10_050
const chainsAt = new Date('2027-01-31T00:00:00Z')

beforeAll(async () => {
  database = await freshDatabase()
  // Chains of services, which have not stopped.
  await database.query(
    `WITH opened AS (INSERT INTO audit_chain (genesis, opened_by) VALUES ('', 'test'), ('', 'test') RETURNING chain)
     INSERT INTO audit_record (chain, seq, time, type, outcome, hash)
     SELECT chain, 1, $1, 'service', 'started', sha256('') FROM opened`,
    [chainsAt],
  )
  await write(1, count)
  // As the database does by itself a minute later. Without it, it compares every record with every other.
  await database.query('ANALYZE')
})
afterAll(() => database.drop())

/** Records of two chains in turn, three of them in each millisecond. */
async function write(from: number, to: number, at = chainsAt): Promise<void> {
  await database.query(
    `INSERT INTO audit_record (chain, seq, time, type, outcome, client_id, hash)
     SELECT 1 + n % 2, n + 1, $3::timestamptz + (n / 3) * interval '1 millisecond', 'token', 'refused', 'c' || n, sha256('')
       FROM generate_series($1::int, $2::int) n`,
    [from, to, at],
  )
}

const list = (...given: string[]): Promise<Outcome> =>
  command({ DATABASE_URL: database.url }, 'audit', 'list', ...given)

interface Listed {
  readonly seq: number
  readonly client_id: string
  readonly cursor: string | null
}

async function listed(...given: string[]): Promise<{ readonly records: Listed[]; readonly note: string }> {
  const { code, stdout, stderr } = await list('--json', '--type', 'token', ...given)
  expect(code, stderr).toBe(0)
  return { records: JSON.parse(stdout), note: stderr }
}

const everyone = (to: number): string[] => Array.from({ length: to }, (_, index) => `c${index + 1}`).sort()

describe('a listing in parts', () => {
  test('backwards from the newest, by the cursor that is printed', async () => {
    const seen: Listed[] = []
    let cursor: string[] = []
    for (let rounds = 0; rounds < 5; rounds += 1) {
      const { records, note } = await listed('--limit', '4000', ...cursor)
      seen.unshift(...records)
      const [, next] = /--before (\S+)/.exec(note) ?? []
      if (next === undefined) break
      expect(next).toBe(records[0]?.cursor)
      cursor = ['--before', next]
    }
    expect(seen.map((record) => record.client_id).sort()).toEqual(everyone(count))
  })

  test('forwards from the oldest', async () => {
    const seen: Listed[] = []
    let cursor = '0-0-0'
    for (let rounds = 0; rounds < 5; rounds += 1) {
      const { records, note } = await listed('--limit', '4000', '--after', cursor)
      seen.push(...records)
      const [, next] = /--after (\S+)/.exec(note) ?? []
      if (next === undefined) break
      cursor = next
    }
    expect(seen.map((record) => record.client_id).sort()).toEqual(everyone(count))
    // In the order of time, as in a listing that is not in parts.
    const whole = await listed('--limit', '10000')
    // As texts: to compare thousands of objects takes seconds.
    const texts = (records: readonly Listed[]) => records.map((record) => JSON.stringify(record))
    expect(texts(seen.slice(-10_000))).toEqual(texts(whole.records))
  })

  test('with a filter, and where nothing is left', async () => {
    const { records } = await listed('--client', 'c7')
    const [{ cursor } = { cursor: null }] = records
    expect(records).toHaveLength(1)
    // c6, c7 and c8 have one time. In it, chain 1 comes before chain 2.
    const newer = await listed('--limit', '2', '--after', String(cursor))
    expect(newer.records.map((record) => record.client_id)).toEqual(['c10', 'c9'])
    expect((await listed('--client', 'c7', '--before', String(cursor))).records).toEqual([])
    expect(
      (await listed('--after', String((await listed('--limit', '1')).records[0]?.cursor))).records,
    ).toEqual([])
  })

  test.each([
    [['--before', 'yesterday'], /--before: must be a cursor/],
    [['--after', 'tail-e30'], /This one is for --follow --after/],
    [['--follow', '--before', '1-1-1'], /--before: not with --follow/],
    [['--follow', '--after', '1-1-1'], /with --follow it must be a cursor that --follow printed/],
    [['--follow', '--after', 'tail-e30'], /with --follow it must be a cursor that --follow printed/],
  ])('%j is a wrong call', async (given, message) => {
    const { code, stderr } = await list(...given)
    expect(stderr).toMatch(message)
    expect(code).toBe(2)
  })
})

/** A process that follows. */
function follow(...given: string[]) {
  const follower = startMintmark(['audit', 'list', '--follow', '--json', ...given], {
    environment: { DATABASE_URL: database.url },
  })
  const lines = (): Listed[] =>
    follower
      .stdout()
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Listed)
  return {
    lines,
    until: (clientId: string): Promise<void> =>
      follower.until(() => lines().some((line) => line.client_id === clientId)),
    async end(signal: NodeJS.Signals): Promise<string> {
      follower.child.kill(signal)
      return (await follower.outcome).stderr
    },
  }
}

test('a follower goes on where it stopped, also after kill -9 and in a chain that began meanwhile', async () => {
  const first = follow('--limit', '1')
  await first.until(`c${count}`)
  await write(count + 1, count + 10)
  await first.until(`c${count + 10}`)
  await first.end('SIGKILL')
  const cursor = first.lines().findLast((line) => line.cursor !== null)?.cursor
  // Meanwhile both chains grow, with times before the cursor, and a change opens a chain of its own.
  await write(count + 11, count + 20, new Date(chainsAt.getTime() - 60_000))
  expect(await command({ DATABASE_URL: database.url }, 'clients', 'create', 'new')).toMatchObject({ code: 0 })

  const second = follow('--after', String(cursor))
  await second.until('new')
  await second.until(`c${count + 20}`)
  const complaints = await second.end('SIGINT')
  const names = [...first.lines().slice(1), ...second.lines()].map((line) => line.client_id)
  const expected = Array.from({ length: 20 }, (_, index) => `c${count + 1 + index}`)
  expect(names.filter((name) => name !== 'new').sort()).toEqual(expected.sort())

  // The one that was ended in order says where to go on, too: there is nothing new yet.
  const [, next = ''] = /--follow --after (tail-\S+)/.exec(complaints) ?? []
  const third = follow('--after', next)
  await write(count + 21, count + 21)
  await third.until(`c${count + 21}`)
  await third.end('SIGINT')
  expect(third.lines().map((line) => line.client_id)).toEqual([`c${count + 21}`])
})

test('a cursor of another ledger is refused', async () => {
  const place = Buffer.from(JSON.stringify({ highest: 9_999, gaps: [], open: [] })).toString('base64url')
  const { code, stderr } = await list('--follow', '--after', `tail-${place}`)
  expect(stderr).toMatch(/this ledger ends before the cursor/)
  expect(code).toBe(1)
})
