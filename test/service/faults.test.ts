/** Long because each fault of the database is a case of its own, on one proxy. */
import { connect } from 'node:net'
import pg from 'pg'
import { describe, expect } from 'vitest'
import { canonicalForm, recordHash } from '../../src/ledger/chain.ts'
import type { AuditRecord } from '../../src/ledger/record.ts'
import type { FreshDatabase } from '../support/database.ts'
import { sharedTest } from '../support/fixtures.ts'
import { stall } from '../support/load.ts'
import { FaultyProxy } from '../support/proxy.ts'
import {
  basic,
  registerClient,
  requestToken,
  startService,
  type TestClient,
  type TestService,
  unknownSecret,
} from '../support/service.ts'

/**
 * The database fails in the ways databases do, provoked for real: through a proxy that can refuse, hang or
 * lose an answer, and through triggers that raise. Whatever happens, no token without its record.
 */

const test = sharedTest
  .extend('proxy', { scope: 'file' }, async ({ database }, { onCleanup }) => {
    const proxy = new FaultyProxy(database.url)
    onCleanup(() => proxy.close())
    return proxy
  })
  /** A service whose way to the database is the proxy. */
  .extend('running', { scope: 'file' }, async ({ database, proxy }, { onCleanup }) => {
    const url = await proxy.listen()
    const running = await startService({ database: { ...database, url } })
    onCleanup(() => running.close())
    return running
  })
  .extend('client', { scope: 'file' }, ({ database }) => registerClient(database))
  .extend('startService', ({ database }, { onCleanup }) => {
    const services: TestService[] = []
    onCleanup(async () => {
      for (const service of services) await service.close()
    })
    return async () => {
      const service = await startService({ database })
      services.push(service)
      return service
    }
  })

test.afterEach(({ proxy }) => {
  proxy.mode = 'pass'
})

async function expectService(running: TestService, client: TestClient, status: number): Promise<void> {
  await expect.poll(async () => (await requestToken(running.url, client)).status).toBe(status)
}

/** The oracle: every token that a caller holds has its record. */
async function expectRecorded(database: FreshDatabase, tokens: readonly string[]): Promise<void> {
  const ids = tokens.map(
    (token) => JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString()).jti,
  )
  const rows = await database.query('SELECT jti FROM audit_record WHERE jti = ANY($1)', [ids])
  expect(rows).toHaveLength(ids.length)
}

async function tokensOf(responses: readonly Response[]): Promise<string[]> {
  const good = responses.filter((response) => response.status === 200)
  return await Promise.all(
    good.map(async (response) => ((await response.json()) as { access_token: string }).access_token),
  )
}

describe('a record that the database will not take', () => {
  test('costs its own request a 503 with Retry-After and no token, and its neighbours nothing', async ({
    client,
    database,
    running,
  }) => {
    const cursed = await registerClient(database, { clientId: 'cursed' })
    await requestToken(running.url, cursed)
    await database.query(`
      CREATE FUNCTION raise_for_cursed() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN IF NEW.client_id = 'cursed' THEN RAISE EXCEPTION 'no'; END IF; RETURN NEW; END $$`)
    await database.query(
      'CREATE TRIGGER cursed BEFORE INSERT ON audit_record FOR EACH ROW EXECUTE FUNCTION raise_for_cursed()',
    )
    const mixed = Array.from({ length: 20 }, (_, index) =>
      requestToken(running.url, index === 7 ? cursed : client),
    )
    const responses = await Promise.all(mixed)
    expect(responses.map((response) => response.status)).toEqual(
      responses.map((_, index) => (index === 7 ? 503 : 200)),
    )
    const refused = responses[7] as Response
    expect(refused.headers.get('retry-after')).toBe('1')
    expect(refused.headers.get('cache-control')).toBe('no-store')
    expect(await refused.json()).toMatchObject({ error: 'temporarily_unavailable' })
    await expectRecorded(database, await tokensOf(responses))
    await database.query('DROP TRIGGER cursed ON audit_record')
    expect((await requestToken(running.url, cursed)).status).toBe(200)
    // Counted while it could not be written, and written once it could.
    await expect
      .poll(() => database.query(`SELECT 1 FROM audit_record WHERE reason = 'ledger_unavailable'`))
      .not.toHaveLength(0)
  })
})

test('keys that cannot be read in time stop the answer with 503, not the caller with nothing', async ({
  client,
  database,
  running,
}) => {
  expect((await requestToken(running.url, client)).status).toBe(200)
  const operator = new pg.Client({ connectionString: database.url })
  await operator.connect()
  await operator.query('BEGIN')
  await operator.query('LOCK TABLE signing_key')
  // A change of a key is published while nobody can read the keys: the next commit is stale, and stays so.
  await database.query(
    `WITH published AS (INSERT INTO registry_change_set DEFAULT VALUES RETURNING set_id)
     INSERT INTO registry_change (set_id, subject, subject_id) SELECT set_id, 'signing_key', 'any' FROM published`,
  )
  const response = await requestToken(running.url, client)
  expect(response.status).toBe(503)
  expect(response.headers.get('retry-after')).toBe('1')
  expect((await fetch(`${running.url}/.well-known/jwks.json`)).status).toBe(200)
  await operator.query('ROLLBACK')
  await operator.end()
  await expectService(running, client, 200)
})

test('a caller that is gone before its answer is recorded with its address', async ({
  database,
  running,
}) => {
  const { port } = new URL(running.url)
  const body = 'grant_type=client_credentials'
  await new Promise<void>((resolve) => {
    const socket = connect(Number(port), '127.0.0.1')
    // Accepted by the time it answers a first request; the second one is followed by a reset at once.
    socket.write('GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n')
    socket.once('data', () => {
      socket.write(
        'POST /token HTTP/1.1\r\nHost: localhost\r\nUser-Agent: gone\r\n' +
          `Content-Type: application/x-www-form-urlencoded\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
        () => socket.resetAndDestroy(),
      )
    })
    socket.on('close', () => resolve())
  })
  const query = `SELECT address, reason FROM audit_record WHERE user_agent = 'gone'`
  await expect.poll(() => database.query(query)).toHaveLength(1)
  expect(await database.query(query)).toEqual([{ address: '127.0.0.1', reason: 'authentication_missing' }])
})

describe('the database', () => {
  test('away: 503 at the token endpoint, keys still served, and back without a restart', async ({
    client,
    proxy,
    running,
  }) => {
    expect((await requestToken(running.url, client)).status).toBe(200)
    proxy.mode = 'refuse'
    proxy.cutConnections()
    const responses = await Promise.all(Array.from({ length: 10 }, () => requestToken(running.url, client)))
    for (const response of responses) {
      expect(response.status).toBe(503)
      expect(response.headers.get('retry-after')).toMatch(/^[1-9]\d*$/)
    }
    expect((await fetch(`${running.url}/.well-known/jwks.json`)).status).toBe(200)
    expect((await fetch(`${running.url}/livez`)).status).toBe(200)
    await expect.poll(async () => (await fetch(`${running.url}/readyz`)).status).toBe(503)
    proxy.mode = 'pass'
    await expectService(running, client, 200)
    await expect.poll(async () => (await fetch(`${running.url}/readyz`)).status).toBe(200)
    // Who reads the log in the night sees the end as well as the beginning.
    await expect.poll(() => running.log()).toMatch(/"event":"database_fault".*"event":"database_back"/s)
  })

  test('silent: whoever waits gets 503, and the next request after recovery is served', async ({
    client,
    proxy,
    running,
  }) => {
    await expectService(running, client, 200)
    proxy.mode = 'hang'
    const responses = await Promise.all(Array.from({ length: 5 }, () => requestToken(running.url, client)))
    expect(responses.map((response) => response.status)).toEqual([503, 503, 503, 503, 503])
    proxy.mode = 'pass'
    // Nobody closes the silent connections: the service must give them up by itself.
    await expectService(running, client, 200)
  })

  test('losing its answers after the work was done: 503, and the chain goes on from what was really written', async ({
    client,
    database,
    proxy,
    running,
  }) => {
    await expectService(running, client, 200)
    for (let round = 0; round < 5; round += 1) {
      proxy.mode = 'lose-answers'
      const lost = await requestToken(running.url, client)
      expect(lost.status).toBe(503)
      proxy.mode = 'pass'
      await expectService(running, client, 200)
    }
    await expectUnbrokenChains(database)
  })
})

describe('closing', () => {
  test('a connection that stays open is told to close by its last answer, and holds nobody up', async ({
    startService,
  }) => {
    const open = await startService()
    const request = await stall(open.url, 'keep-alive')
    const closed = open.close()
    // Without it, this waits for the grace to be over.
    expect(await request.finish()).toMatch(/^HTTP\/1\.1 401 .*\r\nconnection: close\r\n/is)
    await closed
  })

  test('guesses that wait, and whose callers have gone, have their records', async ({
    database,
    startService,
  }) => {
    const open = await startService()
    const good = await registerClient(database, { isCostly: true })
    const before = await refusals(database, 'gone')
    const guesses = Array.from({ length: 8 }, unknownSecret)
    const { port } = new URL(open.url)
    const sockets = guesses.map(() => connect(Number(port), '127.0.0.1').on('error', () => {}))
    for (const [index, socket] of sockets.entries()) {
      socket.write(
        `POST /token HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${basic('gone', guesses[index] ?? '')}\r\n` +
          'Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 29\r\n\r\ngrant_type=client_credentials',
      )
    }
    // It came after them and overtakes them, so they are being waited with.
    expect((await requestToken(open.url, good)).status).toBe(200)
    for (const socket of sockets) socket.destroy()
    await open.close()
    expect((await refusals(database, 'gone')) - before).toBe(8)
    expect(open.log()).not.toContain('database_fault')
  })
})

async function refusals(database: FreshDatabase, clientId: string): Promise<number> {
  const [row] = await database.query<{ sum: number }>(
    `SELECT coalesce(sum(count), 0)::int AS sum FROM audit_record WHERE client_id = $1 AND outcome = 'refused'`,
    [clientId],
  )
  return row?.sum ?? 0
}

interface Row {
  chain: number
  seq: string
  time: Date
  type: AuditRecord['type']
  outcome: AuditRecord['outcome']
  error: string | null
  reason: string | null
  client_id: string | null
  authentication_method: string | null
  credential_id: string | null
  audience: string | null
  scope: string | null
  jti: string | null
  kid: string | null
  expires_at: Date | null
  address: string | null
  user_agent: string | null
  request_id: string | null
  count: number
  detail: string | null
  hash: Buffer
}

/** Recomputes every hash of every chain from the rows alone. */
async function expectUnbrokenChains(database: FreshDatabase): Promise<void> {
  const chains = await database.query<{ chain: number; genesis: Buffer }>(
    'SELECT chain, genesis FROM audit_chain',
  )
  for (const { chain, genesis } of chains) {
    const rows = await database.query<Row>('SELECT * FROM audit_record WHERE chain = $1 ORDER BY seq', [
      chain,
    ])
    let previous = genesis
    for (const [index, row] of rows.entries()) {
      expect(Number(row.seq)).toBe(index + 1)
      const canonical = canonicalForm(chain, index + 1, {
        time: row.time.getTime(),
        type: row.type,
        outcome: row.outcome,
        error: row.error ?? undefined,
        reason: row.reason ?? undefined,
        clientId: row.client_id ?? undefined,
        authenticationMethod: row.authentication_method ?? undefined,
        credentialId: row.credential_id ?? undefined,
        audience: row.audience ?? undefined,
        scope: row.scope ?? undefined,
        jti: row.jti ?? undefined,
        kid: row.kid ?? undefined,
        expiresAt: row.expires_at === null ? undefined : row.expires_at.getTime() / 1000,
        address: row.address ?? undefined,
        userAgent: row.user_agent ?? undefined,
        requestId: row.request_id ?? undefined,
        count: row.count,
        detail: row.detail === null ? undefined : JSON.parse(row.detail),
      })
      const expected = recordHash(previous, canonical)
      expect(row.hash.equals(expected), `record ${chain}-${row.seq}`).toBe(true)
      previous = expected
    }
  }
}

test('every hash of every chain follows from its row and the hash before it', async ({
  database,
  running,
}) => {
  await requestToken(running.url, { clientId: 'x'.repeat(500), secret: '\u202e odd' })
  await expectUnbrokenChains(database)
})
