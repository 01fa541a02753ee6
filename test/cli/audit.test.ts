/** The ledger is found by what is asked for, and followed without missing a record or telling one twice. */
import { spawn } from 'node:child_process'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type FreshDatabase, freshDatabase } from '../support/database.ts'
import {
  registerClient,
  requestToken,
  startService,
  type TestClient,
  type TestService,
} from '../support/service.ts'
import { command } from './command.ts'

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
  expect(JSON.parse(await list('--client', 'busy', '--outcome', 'refused', '--json'))).toMatchObject([
    { outcome: 'refused', reason: 'scope_not_granted', scope: 'nope' },
  ])
  expect(JSON.parse(await list('--type', 'service', '--json'))).toHaveLength(2)
  expect(JSON.parse(await list('--since', '1h', '--json')).length).toBeGreaterThanOrEqual(4)
  expect(JSON.parse(await list('--until', '1h', '--json'))).toEqual([])
  expect(JSON.parse(await list('--limit', '1', '--json'))).toMatchObject([{ outcome: 'refused' }])
  expect(await list('--limit', '2')).toMatch(/issued +busy .*\n.*refused +busy .*scope_not_granted/)
})

test.each([
  ['--since', 'yesterday', 'Write a time ago like'],
  ['--until', '2026-13-01', 'Write a time ago like'],
  ['--jti', 'x', 'must be a UUID'],
  ['--type', 'tokens', 'Did you mean "token"?'],
  ['--limit', '0', 'from 1 to'],
])('%s %s is a wrong call', async (option, value, says) => {
  const outcome = await command({ DATABASE_URL: database.url }, 'audit', 'list', option, value)
  expect(outcome.code).toBe(2)
  expect(outcome.stderr).toContain(says)
})

/** A process that follows, and what it has told so far. */
function follow() {
  const program = new URL('../../src/cli/main.ts', import.meta.url).pathname
  const child = spawn(process.execPath, [program, 'audit', 'list', '--follow', '--json', '--limit', '1'], {
    env: { DATABASE_URL: database.url },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout.on('data', (chunk) => {
    output += String(chunk)
  })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  return {
    async until(text: string) {
      for (let waits = 0; !output.includes(text) && waits < 400; waits += 1) {
        await new Promise((resolve) => setTimeout(resolve, 25))
      }
      expect(output).toContain(text)
    },
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
  const write = (connection: Pick<pg.Client, 'query'>, clientId: string) =>
    connection.query(
      `WITH opened AS (INSERT INTO audit_chain (genesis, opened_by) VALUES ('', 'test') RETURNING chain)
       INSERT INTO audit_record (chain, seq, time, type, outcome, client_id, hash)
       SELECT chain, 1, now(), 'client', 'created', $1, sha256('') FROM opened`,
      [clientId],
    )
  await late.query('BEGIN')
  await write(late, 'before-the-start')
  const tail = follow()
  await tail.until('\n')
  await late.query('COMMIT')
  await tail.until('before-the-start')
  await late.query('BEGIN')
  await write(late, 'late')
  const early = new pg.Client({ connectionString: database.url })
  await early.connect()
  await write(early, 'early')
  await tail.until('early')
  await late.query('COMMIT')
  await tail.until('"late"')
  await Promise.all([early.end(), late.end()])
  const records = await tail.end()
  expect(records.map(({ client_id }) => client_id)).toEqual(['before-the-start', 'early', 'late'])
})
