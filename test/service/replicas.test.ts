import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { describe, expect } from 'vitest'
import { generateSecret } from '../../src/authentication/secret-hash.ts'
import { issuedSinceLatestChange } from '../support/database.ts'
import { test as ownTest, sharedTest } from '../support/fixtures.ts'
import {
  orders,
  registerClient,
  requestToken,
  requestTokenPatiently,
  startService,
  type TestClient,
  type TestService,
} from '../support/service.ts'
import { until } from '../support/wait.ts'

/**
 * Two services on one database. Whatever a transaction changes is in force on both the moment it commits:
 * no issuance is recorded after it, and none is refused because one of them had not heard.
 */

const test = sharedTest
  .extend('first', { scope: 'file' }, async ({ database }, { onCleanup }) => {
    const service = await startService({ database })
    onCleanup(() => service.close())
    return service
  })
  .extend('second', { scope: 'file' }, async ({ database }, { onCleanup }) => {
    const service = await startService({ database })
    onCleanup(() => service.close())
    return service
  })

interface Hammering {
  /** How each request went so far. */
  readonly statuses: readonly number[]
  /** What was said to those that got no token. */
  readonly refusals: readonly string[]
  /** Waits for so many answers from now on. */
  answers(count: number): Promise<void>
  /** Waits for what is under way. */
  stop(): Promise<void>
}

/** Asks services for tokens, four at a time each, until it is stopped. */
function hammer(services: readonly TestService[], client: TestClient): Hammering {
  const statuses: number[] = []
  const refusals: string[] = []
  let stopped = false
  async function call(service: TestService): Promise<void> {
    while (!stopped) {
      const response = await requestTokenPatiently(service.url, client)
      const answer = await response.text()
      statuses.push(response.status)
      if (!response.ok) refusals.push(answer)
    }
  }
  const calling = services.flatMap((service) => Array.from({ length: 4 }, () => call(service)))
  return {
    statuses,
    refusals,
    async answers(count) {
      const before = statuses.length
      await until(() => statuses.length >= before + count)
    },
    async stop() {
      stopped = true
      await Promise.all(calling)
    },
  }
}

describe('after the transaction', () => {
  const changes = [
    ['that disables a client', `UPDATE client SET status = 'disabled' WHERE client_id = $1`],
    ['that revokes its secret', `UPDATE client_secret SET revoked_at = now() WHERE client_id = $1`],
    ['that deletes its secret', `DELETE FROM client_secret WHERE client_id = $1`],
    ['that takes its access away', `DELETE FROM access WHERE client_id = $1`],
    ['that lets it expire', `UPDATE client SET expires_at = now() WHERE client_id = $1`],
    [
      'that shuts its network out',
      `UPDATE client SET allowed_networks = '{192.0.2.0/24}' WHERE client_id = $1`,
    ],
    [
      'that takes the scope from the resource',
      `UPDATE resource SET scopes = '{}' WHERE audience = '${orders}' AND $1 <> ''`,
    ],
  ] as const

  test.for(changes)(
    '%s, neither service issues on what it remembered',
    async ([_title, statement], { database, first, second }) => {
      const client = await registerClient(database)
      await database.query(`UPDATE resource SET scopes = '{orders:read,orders:write}' WHERE audience = $1`, [
        orders,
      ])
      expect((await requestTokenPatiently(first.url, client, { scope: 'orders:read' })).status).toBe(200)
      expect((await requestTokenPatiently(second.url, client, { scope: 'orders:read' })).status).toBe(200)

      const hammering = hammer([first, second], client)
      await hammering.answers(50)
      await database.query(statement, [client.clientId])
      await hammering.answers(50)
      await hammering.stop()
      expect(hammering.statuses).toContain(200)
      expect(await issuedSinceLatestChange(database, client.clientId)).toBe(0)
      expect((await requestTokenPatiently(first.url, client, { scope: 'orders:read' })).status).not.toBe(200)
      expect((await requestTokenPatiently(second.url, client, { scope: 'orders:read' })).status).not.toBe(200)
    },
  )

  test('that enables a client, both services serve it at once', async ({ database, first, second }) => {
    const client = await registerClient(database)
    await database.query(`UPDATE resource SET scopes = '{orders:read,orders:write}' WHERE audience = $1`, [
      orders,
    ])
    for (let round = 0; round < 5; round += 1) {
      await database.query(`UPDATE client SET status = 'disabled' WHERE client_id = $1`, [client.clientId])
      expect((await requestToken(first.url, client)).status).toBe(401)
      expect((await requestToken(second.url, client)).status).toBe(401)
      await database.query(`UPDATE client SET status = 'active' WHERE client_id = $1`, [client.clientId])
      expect((await requestTokenPatiently(first.url, client)).status).toBe(200)
      expect((await requestTokenPatiently(second.url, client)).status).toBe(200)
    }
  })

  test('that creates a client which was asked for before, it is no longer unknown', async ({
    database,
    second,
  }) => {
    const clientId = 'late-comer'
    const early = await requestToken(second.url, {
      clientId,
      secret: (await registerClient(database)).secret,
    })
    expect(early.status).toBe(401)
    const client = await registerClient(database, { clientId })
    expect((await requestTokenPatiently(second.url, client)).status).toBe(200)
  })
})

ownTest.for(['repeatable read', 'serializable'])(
  'a database whose default isolation is %s does not weaken it',
  async (isolation, { database: own, startService }) => {
    await own.query(
      `ALTER DATABASE ${new URL(own.url).pathname.slice(1)} SET default_transaction_isolation = '${isolation}'`,
    )
    const service = await startService()
    const client = await registerClient(own)
    expect((await requestTokenPatiently(service.url, client)).status).toBe(200)
    const operator = new pg.Client({ connectionString: own.url })
    await operator.connect()
    // Published, and so under the lock, but not committed: the next commit has to wait for it.
    await operator.query('BEGIN')
    await operator.query(`UPDATE client SET status = 'disabled' WHERE client_id = $1`, [client.clientId])
    // Otherwise the server would end this session after a second of silence.
    await operator.query('SET CONSTRAINTS ALL IMMEDIATE; SET LOCAL idle_in_transaction_session_timeout = 0')
    const waiting = requestTokenPatiently(service.url, client)
    // Its commit waits for a lock.
    await until(async () => {
      const waits = await own.query(
        `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
      )
      return waits.length > 0
    })
    await operator.query('COMMIT')
    await operator.end()
    expect((await waiting).status).toBe(401)
  },
)

test('a database that lost its last changes and made others is not taken for what it was', async ({
  database,
  first,
  second,
}) => {
  const client = await registerClient(database)
  expect((await requestTokenPatiently(first.url, client)).status).toBe(200)
  // What a failover to a standby that lagged leaves behind: the version before, and then another change.
  const [before] = await database.query<{ version: string }>('SELECT version FROM registry_version')
  await database.query(`UPDATE client SET status = 'disabled' WHERE client_id = $1`, [client.clientId])
  const [after] = await database.query<{ version: string }>('SELECT version FROM registry_version')
  expect(Number(after?.version) >> 20 === Number(before?.version) >> 20).toBe(false)
  await database.query('DELETE FROM registry_change_set WHERE version >= $1', [before?.version])
  await database.query(`UPDATE registry_version SET version = ((version >> 20) - 1 << 20) + 7`)
  expect((await requestToken(first.url, client)).status).toBe(401)
  expect((await requestToken(second.url, client)).status).toBe(401)
})

test('secrets that were added a moment ago are no guesses, however many come with them at once', async ({
  database,
  first,
}) => {
  const clients = await Promise.all(Array.from({ length: 30 }, () => registerClient(database)))
  await Promise.all(clients.map((client) => requestToken(first.url, client)))
  const added = await Promise.all(clients.map(() => generateSecret()))
  await database.query(
    `INSERT INTO client_secret (secret_id, client_id, hash, hint)
     SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])`,
    [
      added.map(({ secretId }) => secretId),
      clients.map(({ clientId }) => clientId),
      added.map(({ hash }) => hash),
      added.map(({ hint }) => hint),
    ],
  )
  const answers = await Promise.all(
    clients.map(({ clientId }, index) =>
      requestTokenPatiently(first.url, { clientId, secret: added[index]?.secret ?? '' }),
    ),
  )
  expect(answers.map(({ status }) => status)).toEqual(clients.map(() => 200))
})

test('thousands of statements in one transaction are one version, and stop nobody for long', async ({
  database,
  first,
}) => {
  const client = await registerClient(database)
  const [before] = await database.query<{ version: string }>('SELECT version FROM registry_version')
  await database.query(
    `DO $$ BEGIN FOR i IN 1..2000 LOOP
       UPDATE client SET name = 'name ' || i WHERE client_id = '${client.clientId}';
     END LOOP; END $$`,
  )
  const [after] = await database.query<{ version: string }>('SELECT version FROM registry_version')
  expect(Math.floor(Number(after?.version) / 2 ** 20)).toBe(Math.floor(Number(before?.version) / 2 ** 20) + 1)
  expect((await requestTokenPatiently(first.url, client)).status).toBe(200)
})

test('a transaction left open stops nobody, and is not in force', async ({ database, first, second }) => {
  const client = await registerClient(database)
  await requestToken(first.url, client)
  const operator = new pg.Client({ connectionString: database.url })
  await operator.connect()
  await operator.query('BEGIN')
  await operator.query(`UPDATE client SET status = 'disabled' WHERE client_id = $1`, [client.clientId])
  expect((await requestTokenPatiently(first.url, client)).status).toBe(200)
  expect((await requestTokenPatiently(second.url, client)).status).toBe(200)
  await operator.query('COMMIT')
  expect((await requestToken(first.url, client)).status).toBe(401)
  expect((await requestToken(second.url, client)).status).toBe(401)
  await operator.end()
})

test('while the registry changes without pause, good clients are still served', async ({
  database,
  first,
  second,
}) => {
  const client = await registerClient(database)
  const bystander = await registerClient(database)
  let stopped = false
  const changing = (async () => {
    for (let number = 0; !stopped; number += 1) {
      await database.query('UPDATE client SET name = $2 WHERE client_id = $1', [
        bystander.clientId,
        `n${number}`,
      ])
      await sleep(20)
    }
  })()
  const hammering = hammer([first, second], client)
  await hammering.answers(400)
  await hammering.stop()
  stopped = true
  await changing
  expect(hammering.refusals).toEqual([])
})
