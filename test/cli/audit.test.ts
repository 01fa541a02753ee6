/** The ledger is found by what is asked for, and followed without missing a record or telling one twice. */
import pg from 'pg'
import { expect } from 'vitest'
import { openEmbedded } from '../../src/database/embedded.ts'
import { migrate } from '../../src/database/migrate.ts'
import { millisecondsOf } from '../../src/ledger/token-id.ts'
import { test as ownTest, sharedTest } from '../support/fixtures.ts'
import { startMintmark } from '../support/process.ts'
import { registerClient, requestTokenPatiently, startService } from '../support/service.ts'

const test = sharedTest
  .extend('services', { scope: 'file' }, async ({ database }, { onCleanup }) => {
    const services = await Promise.all([startService({ database }), startService({ database })])
    onCleanup(async () => {
      for (const service of services) await service.close()
    })
    return services
  })
  .extend('client', { scope: 'file' }, ({ database }) => registerClient(database, { clientId: 'busy' }))
  /** Asks one of the services for a token. */
  .extend('token', { scope: 'file' }, ({ client, services }) => {
    return (index: number, parameters = {}) =>
      requestTokenPatiently(services[index % services.length]?.url ?? '', client, parameters)
  })
  .extend('list', { scope: 'file' }, ({ run }) => {
    return async (...given: string[]): Promise<string> => {
      const { code, stdout, stderr } = await run('audit', 'list', ...given)
      expect(code, stderr).toBe(0)
      return stdout
    }
  })
  /** Starts a process that follows the ledger of a database. */
  .extend('follow', ({ database, track }) => {
    return (url = database.url) => {
      const environment = { DATABASE_URL: url }
      const following = ['audit', 'list', '--follow', '--json', '--limit', '1']
      const tail = track(startMintmark(following, { environment }))
      return {
        complaints: tail.stderr,
        until: (text: string) => tail.until(() => tail.stdout().includes(text)),
        untilComplaint: (text: string) => tail.until(() => tail.stderr().includes(text)),
        /** Ends it as Ctrl-C does. @returns the records after the one it began with. */
        async end(): Promise<Record<string, unknown>[]> {
          expect(await tail.end('SIGINT')).toBe(0)
          const { stdout } = await tail.outcome
          const lines = stdout.trim().split('\n').slice(1)
          return lines.map((line) => JSON.parse(line))
        },
      }
    }
  })

async function jtiOf(response: Response): Promise<string> {
  const { access_token } = (await response.json()) as { access_token: string }
  return JSON.parse(Buffer.from(access_token.split('.')[1] ?? '', 'base64url').toString()).jti
}

test('records are found by client, outcome, type, token and time', async ({ list, token }) => {
  const jti = await jtiOf(await token(0))
  await token(0, { scope: 'nope' })
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

ownTest(
  'a record is found by its token without an index of ids, and an older, random id as well',
  async ({ database, run }) => {
    const made = 1_800_000_000_000
    const timed = '01a3185c-5000-7a40-9df0-1d4d3ac0a8b1'
    const random = '2b0f1c8e-5c0b-4a40-9df0-1d4d3ac0a8b1'
    expect(millisecondsOf(timed)).toBe(made)
    // Far more than fits into one range of the index.
    await database.query(
      `INSERT INTO audit_record (chain, seq, time, type, outcome, jti, hash)
     SELECT 1, n, to_timestamp($1::float8 / 1000) + n * interval '1 ms', 'token', 'issued',
            CASE WHEN n IN (0, 30000) THEN $2::uuid WHEN n = 5 THEN $3::uuid ELSE gen_random_uuid() END, sha256('')
       FROM generate_series(0, 60000) AS n`,
      [made, timed, random],
    )
    await database.query('VACUUM ANALYZE audit_record')
    const find = async (jti: string) => (await run('audit', 'list', '--jti', jti, '--json')).stdout
    // The same id at another time is not looked at.
    expect(JSON.parse(await find(timed)).map(({ seq }: { seq: number }) => seq)).toEqual([0])
    expect(JSON.parse(await find(random))).toMatchObject([{ jti: random, seq: 5 }])
    expect(
      await database.query(`SELECT reloptions FROM pg_class WHERE relname = 'audit_record_time_idx'`),
    ).toEqual([{ reloptions: ['autosummarize=on'] }])
    const plan = await database.query(
      'EXPLAIN SELECT * FROM audit_record WHERE jti = $1 AND time >= to_timestamp($2) AND time < to_timestamp($3)',
      [timed, made / 1000, (made + 1) / 1000],
    )
    expect(JSON.stringify(plan)).toContain('audit_record_time_idx')
  },
)

test.for([
  ['--since', 'yesterday', 'Write a time ago like'],
  ['--until', '2026-13-01', 'Write a time ago like'],
  ['--jti', 'x', 'must be a UUID'],
  ['--type', 'tokens', 'Did you mean "token"?'],
  ['--outcome', 'refuse', 'Did you mean "refused"?'],
  ['--limit', '0', 'from 1 to'],
] as const)('%s %s is a wrong call', async ([option, value, says], { run }) => {
  const outcome = await run('audit', 'list', option, value)
  expect(outcome.code).toBe(2)
  expect(outcome.stderr).toContain(says)
})

test('following what has ended is a wrong call, and not a wait for nothing', async ({ run }) => {
  const past = ['audit', 'list', '--follow', '--until', '1h']
  const outcome = await run(...past)
  expect(outcome.code).toBe(2)
  expect(outcome.stderr).toContain('has passed, and --follow shows new records')
})

test('a span that ends before it begins is a wrong call', async ({ run }) => {
  const outcome = await run('audit', 'list', '--since', '1h', '--until', '2h')
  expect(outcome.code).toBe(2)
  expect(outcome.stderr).toContain('is not before --until')
})

/** A record as a command leaves it, in a chain of its own. */
function appendOne(connection: pg.Client, clientId: string): Promise<unknown> {
  return connection.query(
    `WITH opened AS (INSERT INTO audit_chain (genesis, opened_by) VALUES ('', 'test') RETURNING chain)
     INSERT INTO audit_record (chain, seq, time, type, outcome, client_id, hash)
     SELECT chain, 1, now(), 'client', 'created', $1, sha256('') FROM opened`,
    [clientId],
  )
}

test('following tells every record of two services and the commands beside them, once', async ({
  follow,
  run,
  token,
}) => {
  const tail = follow()
  await tail.until('\n')
  const given: string[] = []
  for (let round = 0; round < 5; round += 1) {
    const responses = await Promise.all(Array.from({ length: 40 }, (_, index) => token(index)))
    for (const response of responses) given.push(await jtiOf(response))
  }
  await run('clients', 'disable', 'busy')
  await tail.until('"disabled"')
  const records = await tail.end()
  const told = records.filter(({ outcome }) => outcome === 'issued').map(({ jti }) => jti)
  expect(given).toHaveLength(200)
  expect(told).toEqual(expect.arrayContaining(given))
  expect(records.filter(({ outcome }) => outcome === 'disabled')).toHaveLength(1)
  const places = records.map(({ chain, seq }) => `${chain} ${seq}`)
  expect(places, 'none is told twice').toEqual([...new Set(places)])
})

test('a change that is committed after a later one is not missed', async ({ database, follow }) => {
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
  // The services of this file may have something to record as well.
  const records = (await tail.end()).filter(({ type }) => type === 'client')
  expect(records.map(({ client_id }) => client_id)).toEqual(['before-the-start', 'early', 'late'])
})

test('a restart of the database is waited for; no record is missed and none told twice', async ({
  files,
  follow,
}) => {
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
  }
})
