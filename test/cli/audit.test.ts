/** The ledger is found by what is asked for, and followed without missing a record or telling one twice. */
import { spawn } from 'node:child_process'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openEmbedded } from '../../src/database/embedded.ts'
import { migrate } from '../../src/database/migrate.ts'
import { millisecondsOf } from '../../src/ledger/token-id.ts'
import { type FreshDatabase, freshDatabase } from '../support/database.ts'
import {
  registerClient,
  requestToken,
  startService,
  type TestClient,
  type TestService,
} from '../support/service.ts'
import { command, scratch } from './command.ts'

let database: FreshDatabase
let services: TestService[]
let client: TestClient

beforeAll(async () => {
  database = await freshDatabase()
  services = await Promise.all([startService({ database }), startService({ database })])
  client = await registerClient(database, { clientId: 'busy' })
})
afterAll(async () => {
  for (const service of services) await service.close()
  await database.drop()
})

const list = async (...given: string[]) => {
  const { code, stdout, stderr } = await command({ DATABASE_URL: database.url }, 'audit', 'list', ...given)
  expect(code, stderr).toBe(0)
  return stdout
}

const token = (index: number, parameters = {}) =>
  requestToken(services[index % services.length]?.url ?? '', client, parameters)

test('records are found by client, outcome, type, token and time', async () => {
  const { access_token } = (await (await token(0)).json()) as { access_token: string }
  await token(0, { scope: 'nope' })
  const { jti } = JSON.parse(Buffer.from(access_token.split('.')[1] ?? '', 'base64url').toString())
  expect(JSON.parse(await list('--jti', jti, '--json'))).toMatchObject([
    { outcome: 'issued', jti, client_id: 'busy' },
  ])
  // Times as they are printed, to the millisecond.
  const [{ time }] = JSON.parse(await list('--jti', jti, '--json'))
  const after = new Date(Date.parse(time) + 1).toISOString()
  expect(JSON.parse(await list('--jti', jti, '--since', time, '--until', after, '--json'))).toHaveLength(1)
  expect(JSON.parse(await list('--jti', jti, '--since', after, '--json'))).toEqual([])
  expect(JSON.parse(await list('--jti', jti, '--until', time, '--json'))).toEqual([])
  // A token's id leads to its time; asked for another time as well, it is not there.
  expect(JSON.parse(await list('--jti', jti, '--since', '1h', '--json'))).toHaveLength(1)
  expect(JSON.parse(await list('--jti', jti, '--until', '1h', '--json'))).toEqual([])
  expect(JSON.parse(await list('--client', 'busy', '--outcome', 'refused', '--json'))).toMatchObject([
    { outcome: 'refused', reason: 'scope_not_granted', scope: 'nope' },
  ])
  expect(JSON.parse(await list('--type', 'service', '--json'))).toHaveLength(2)
  expect(JSON.parse(await list('--since', '1h', '--json')).length).toBeGreaterThanOrEqual(4)
  expect(JSON.parse(await list('--until', '1h', '--json'))).toEqual([])
  expect(JSON.parse(await list('--limit', '1', '--json'))).toMatchObject([{ outcome: 'refused' }])
  expect(await list('--limit', '2')).toMatch(/issued +busy .*\n.*refused +busy .*scope_not_granted/)
})

test('a record is found by its token without an index of ids, and an older, random id as well', async () => {
  const filling = await freshDatabase()
  const made = 1_800_000_000_000
  const timed = '01a3185c-5000-7a40-9df0-1d4d3ac0a8b1'
  const random = '2b0f1c8e-5c0b-4a40-9df0-1d4d3ac0a8b1'
  expect(millisecondsOf(timed)).toBe(made)
  // Far more than fits into one range of the index.
  await filling.query(
    `INSERT INTO audit_record (chain, seq, time, type, outcome, jti, hash)
     SELECT 1, n, to_timestamp($1::float8 / 1000) + n * interval '1 ms', 'token', 'issued',
            CASE WHEN n IN (0, 30000) THEN $2::uuid WHEN n = 5 THEN $3::uuid ELSE gen_random_uuid() END, sha256('')
       FROM generate_series(0, 60000) AS n`,
    [made, timed, random],
  )
  await filling.query('VACUUM ANALYZE audit_record')
  const find = async (jti: string) =>
    (await command({ DATABASE_URL: filling.url }, 'audit', 'list', '--jti', jti, '--json')).stdout
  // The same id at another time is not looked at.
  expect(JSON.parse(await find(timed)).map(({ seq }: { seq: number }) => seq)).toEqual([0])
  expect(JSON.parse(await find(random))).toMatchObject([{ jti: random, seq: 5 }])
  expect(
    await filling.query(`SELECT reloptions FROM pg_class WHERE relname = 'audit_record_time_idx'`),
  ).toEqual([{ reloptions: ['autosummarize=on'] }])
  const plan = await filling.query(
    'EXPLAIN SELECT * FROM audit_record WHERE jti = $1 AND time >= to_timestamp($2) AND time < to_timestamp($3)',
    [timed, made / 1000, (made + 1) / 1000],
  )
  expect(JSON.stringify(plan)).toContain('audit_record_time_idx')
  await filling.drop()
})

test.each([
  ['--since', 'yesterday', 'Write a time ago like'],
  ['--until', '2026-13-01', 'Write a time ago like'],
  ['--jti', 'x', 'must be a UUID'],
  ['--type', 'tokens', 'Did you mean "token"?'],
  ['--outcome', 'refuse', 'Did you mean "refused"?'],
  ['--limit', '0', 'from 1 to'],
])('%s %s is a wrong call', async (option, value, says) => {
  const outcome = await command({ DATABASE_URL: database.url }, 'audit', 'list', option, value)
  expect(outcome.code).toBe(2)
  expect(outcome.stderr).toContain(says)
})

test('following what has ended is a wrong call, and not a wait for nothing', async () => {
  const past = ['audit', 'list', '--follow', '--until', '1h']
  const outcome = await command({ DATABASE_URL: database.url }, ...past)
  expect(outcome.code).toBe(2)
  expect(outcome.stderr).toContain('has passed, and --follow shows new records')
})

test('a span that ends before it begins is a wrong call', async () => {
  const outcome = await command(
    { DATABASE_URL: database.url },
    'audit',
    'list',
    '--since',
    '1h',
    '--until',
    '2h',
  )
  expect(outcome.code).toBe(2)
  expect(outcome.stderr).toContain('is not before --until')
})

async function contains(read: () => string, text: string): Promise<void> {
  for (let waits = 0; !read().includes(text) && waits < 400; waits += 1) {
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
  expect(read()).toContain(text)
}

/** A record as a command leaves it, in a chain of its own. */
function appendOne(connection: pg.Client, clientId: string): Promise<unknown> {
  return connection.query(
    `WITH opened AS (INSERT INTO audit_chain (genesis, opened_by) VALUES ('', 'test') RETURNING chain)
     INSERT INTO audit_record (chain, seq, time, type, outcome, client_id, hash)
     SELECT chain, 1, now(), 'client', 'created', $1, sha256('') FROM opened`,
    [clientId],
  )
}

/** A process that follows, and what it has told so far. */
function follow(url = database.url) {
  const program = new URL('../../src/cli/main.ts', import.meta.url).pathname
  const child = spawn(process.execPath, [program, 'audit', 'list', '--follow', '--json', '--limit', '1'], {
    env: { DATABASE_URL: url },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  let complaints = ''
  child.stderr.on('data', (chunk) => {
    complaints += String(chunk)
  })
  child.stdout.on('data', (chunk) => {
    output += String(chunk)
  })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  return {
    complaints: () => complaints,
    until: (text: string) => contains(() => output, text),
    untilComplaint: (text: string) => contains(() => complaints, text),
    /** Ends it as Ctrl-C does. @returns the records after the one it began with. */
    async end(): Promise<Record<string, unknown>[]> {
      child.kill('SIGINT')
      expect(await ended).toBe(0)
      const lines = output.trim().split('\n').slice(1)
      return lines.map((line) => JSON.parse(line))
    },
  }
}

test('following tells every record of two services and the commands beside them, once', async () => {
  const tail = follow()
  await tail.until('\n')
  for (let round = 0; round < 5; round += 1) {
    await Promise.all(Array.from({ length: 40 }, (_, index) => token(index)))
  }
  await command({ DATABASE_URL: database.url }, 'clients', 'disable', 'busy')
  await tail.until('"disabled"')
  const records = await tail.end()
  expect(records.filter(({ outcome }) => outcome === 'issued')).toHaveLength(200)
  expect(new Set(records.map(({ chain, seq }) => `${chain} ${seq}`)).size).toBe(201)
})

test('a change that is committed after a later one is not missed', async () => {
  const late = new pg.Client({ connectionString: database.url })
  await late.connect()
  await late.query('BEGIN')
  await appendOne(late, 'before-the-start')
  const tail = follow()
  await tail.until('\n')
  await late.query('COMMIT')
  await tail.until('before-the-start')
  await late.query('BEGIN')
  await appendOne(late, 'late')
  const early = new pg.Client({ connectionString: database.url })
  await early.connect()
  await appendOne(early, 'early')
  await tail.until('early')
  await late.query('COMMIT')
  await tail.until('"late"')
  await Promise.all([early.end(), late.end()])
  const records = await tail.end()
  expect(records.map(({ client_id }) => client_id)).toEqual(['before-the-start', 'early', 'late'])
})

test('a restart of the database is waited for; no record is missed and none told twice', async () => {
  const files = scratch()
  const open = () => openEmbedded(files.path('data'))
  const write = async (url: string, clientId: string) => {
    const connection = new pg.Client({ connectionString: url })
    await connection.connect()
    await appendOne(connection, clientId)
    await connection.end()
  }
  let server = await open()
  try {
    await migrate(server.url)
    await write(server.url, 'told-at-first')
    const tail = follow(server.url)
    await tail.until('told-at-first')
    await write(server.url, 'before')
    await tail.until('"before"')
    await server.release()
    await tail.untilComplaint('The database cannot be reached')
    server = await open()
    await write(server.url, 'after')
    await tail.until('"after"')
    const records = await tail.end()
    expect(records.map(({ client_id }) => client_id)).toEqual(['before', 'after'])
    expect(tail.complaints().match(/cannot be reached/g)).toHaveLength(1)
  } finally {
    await server.release()
    files.remove()
  }
})
