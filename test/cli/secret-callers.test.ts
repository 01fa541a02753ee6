/** Who uses a secret, and which secrets end while they are needed. */
import { expect } from 'vitest'
import { openSecretUses } from '../../src/authentication/secret-use-store.ts'
import { openDatabase } from '../../src/database/open.ts'
import { succeeding } from '../support/command.ts'
import { test as base } from '../support/fixtures.ts'
import { basic, orders, registerClient } from '../support/service.ts'

const test = base.extend('statements', async ({ database }, { onCleanup }) => {
  const opened = openDatabase(database.url)
  onCleanup(() => opened.close())
  return opened.statements
})

test('says who uses each secret, and what must be replaced', async ({
  database,
  run,
  startService: start,
}) => {
  const ran = succeeding(run)
  const service = await start()
  const client = await registerClient(database)
  await ran('clients', 'secrets', 'rotate', client.clientId, '--overlap', '7d')
  const ask = (userAgent: string) =>
    fetch(`${service.url}/token`, {
      method: 'POST',
      headers: { authorization: basic(client.clientId, client.secret), 'user-agent': userAgent },
      body: new URLSearchParams({ grant_type: 'client_credentials', resource: orders }),
    })
  for (const agent of ['nightly/1', 'nightly/1', 'old-cron/0.3']) expect((await ask(agent)).status).toBe(200)
  // Neither a secret in the wrong header nor a refused request.
  await ask(`Bearer ${client.secret}`)
  await service.close()
  const listed = JSON.parse(await ran('clients', 'secrets', 'list', client.clientId, '--json'))
  const [old, fresh] = listed.secrets
  const last = { address: '127.0.0.1', last_used_at: expect.any(String) }
  expect(old).toMatchObject({ secret_id: client.secretId, replaced_by: fresh.secret_id })
  expect(new Set(old.used_by)).toEqual(
    new Set([
      { ...last, user_agent: 'nightly/1', count: 2 },
      { ...last, user_agent: 'old-cron/0.3', count: 1 },
      { ...last, user_agent: expect.stringMatching(/^\[withheld: .*\]$/), count: 1 },
    ]),
  )
  expect(fresh).toMatchObject({ replaced_by: null, used_by: [] })
  const text = await ran('clients', 'secrets', 'list', client.clientId)
  expect(text).toContain(`Who uses ${client.secretId}, which ${fresh.secret_id} replaces:`)
  expect(text).toMatch(/127\.0\.0\.1 +nightly\/1 +2 /)
  expect(text).not.toContain(client.secret)

  // A second process adds to it. Then the secret is used on its last day.
  const second = await start()
  const answer = await fetch(`${second.url}/token`, {
    method: 'POST',
    headers: { authorization: basic(client.clientId, client.secret), 'user-agent': 'nightly/1' },
    body: new URLSearchParams({ grant_type: 'client_credentials', resource: orders }),
  })
  expect(answer.status).toBe(200)
  await second.close()
  await database.query(
    `UPDATE client_secret SET expires_at = now() + interval '3 hours' WHERE secret_id = '${client.secretId}';
     UPDATE client_secret_overlap SET started_at = now() - interval '1 day'`,
  )
  const outcome = await run('clients', 'secrets', 'list', client.clientId, '--json')
  const [again] = JSON.parse(outcome.stdout).secrets
  expect(again.used_by).toContainEqual({ ...last, user_agent: 'nightly/1', count: 3 })
  expect(again.needs_replacement).toBe(true)
  expect(outcome.stderr).toContain(`${client.secretId} ends`)
  expect((await run('clients', 'list')).stderr).toContain('1 secret that is needed will end soon')

  // A process says so too.
  const third = await start()
  await expect
    .poll(async () => (await (await fetch(`${third.url}/readyz`)).json()) as unknown)
    .toMatchObject({ status: 'ready', warnings: ['secret_expiring'] })
  expect(third.log()).toContain('"event":"secret_expiring"')
})

test('keeps the latest callers, and counts the others together', async ({ database, run, statements }) => {
  const client = await registerClient(database)
  const time = Date.now()
  for (let round = 0; round < 2; round += 1) {
    const uses = openSecretUses(statements, (error) => {
      throw error
    })
    for (let host = 0; host < 15; host += 1) {
      uses.note(client.secretId, { time: time + host, address: `192.0.2.${round * 100 + host}` })
    }
    await uses.close()
  }
  await database.query(
    `UPDATE client_secret_caller SET last_used_at = now() - interval '31 days' WHERE address = '192.0.2.114'`,
  )
  const uses = openSecretUses(statements, (error) => {
    throw error
  })
  uses.note(client.secretId, { time, address: '192.0.2.200' })
  await uses.close()
  const [secret] = JSON.parse(
    await succeeding(run)('clients', 'secrets', 'list', client.clientId, '--json'),
  ).secrets
  expect(secret.used_by).toHaveLength(21)
  expect(secret.used_by.at(-1)).toMatchObject({ address: null, user_agent: null })
  const count = secret.used_by.reduce((sum: number, each: { count: number }) => sum + each.count, 0)
  expect(count, 'one was forgotten').toBe(30)
})

test('a count that a hand wrote, as large as its column, keeps no other use from being written', async ({
  database,
  statements,
}) => {
  const [client, neighbour] = [await registerClient(database), await registerClient(database)]
  const throwing = (error: unknown) => {
    throw error
  }
  const note = async (address: string) => {
    const uses = openSecretUses(statements, throwing)
    const time = Date.now()
    for (const { secretId } of [client, neighbour]) uses.note(secretId, { time, address })
    await uses.close()
  }
  await note('192.0.2.1')
  const most = '9223372036854775807'
  await database.query(`UPDATE client_secret_caller SET count = ${most} WHERE secret_id = $1`, [
    client.secretId,
  ])
  await note('192.0.2.1')
  // And where callers are counted together.
  await database.query(
    `INSERT INTO client_secret_caller SELECT $1, '198.51.100.' || n, '', ${most}, now() - interval '1 hour'
       FROM generate_series(1, 40) AS n`,
    [client.secretId],
  )
  await note('192.0.2.2')
  const counts = await database.query<{ count: string }>(
    'SELECT count::text FROM client_secret_caller WHERE secret_id = $1 ORDER BY address DESC',
    [neighbour.secretId],
  )
  expect(counts.map(({ count }) => count)).toEqual(['1', '2'])
})
