/** Values that nobody should have written, in every table: each is shown as what it is, and stops nothing else. */
import { expect } from 'vitest'
import { test } from '../support/fixtures.ts'
import { registerClient, requestTokenPatiently } from '../support/service.ts'

const moments = {
  late: 'infinity',
  early: '-infinity',
  ancient: '0044-03-15 00:00:00 BC',
  distant: '290000-01-01',
}

test('moments in the registry and the ledger', async ({ database, run, service }) => {
  const neighbour = await registerClient(database, { clientId: 'neighbour' })
  for (const [clientId, moment] of Object.entries(moments)) {
    const { secretId } = await registerClient(database, { clientId })
    for (const [statement, id] of [
      ['UPDATE client SET created_at = $1, updated_at = $1, expires_at = $1 WHERE client_id = $2', clientId],
      ['UPDATE client_secret SET created_at = $1, revoked_at = $1 WHERE client_id = $2', clientId],
      ['INSERT INTO client_secret_use (secret_id, last_used_at) VALUES ($2, $1)', secretId],
      ['UPDATE access SET created_at = $1, updated_at = $1 WHERE client_id = $2', clientId],
    ] as const) {
      await database.query(statement, [moment, id])
    }
    await database.query(
      `INSERT INTO resource (audience, name, scopes, created_at) VALUES ($2, $2, '{}', $1)`,
      [moment, `urn:${clientId}`],
    )
  }
  await database.query(`UPDATE audit_record SET committed_at = 'infinity', expires_at = 'infinity'`)
  await database.query(`UPDATE audit_chain SET committed_at = '-infinity', opened_at = '-infinity'`)
  expect((await requestTokenPatiently(service.url, neighbour)).status).toBe(200)
  const calls = [
    ['clients', 'list'],
    ['clients', 'list', '--json'],
    ...Object.keys(moments).map((clientId) => ['clients', 'show', clientId]),
    ['clients', 'secrets', 'list', 'late', '--json'],
    ['clients', 'disable', 'late'],
    ['clients', 'delete', 'early', '--yes'],
    ['resources', 'list'],
    ['audit', 'list'],
    ['audit', 'list', '--json'],
    ['audit', 'export'],
  ]
  for (const call of calls) {
    const outcome = await run(...call)
    expect(outcome, `${call.join(' ')}: ${outcome.stderr}`).toMatchObject({ code: 0 })
  }
  expect((await run('clients', 'show', 'distant')).stdout).toMatch(/infinity/)
})

test('in keys, verifiers and processes', async ({ database, run, startService }) => {
  const first = await startService()
  const client = await registerClient(database)
  await database.query(
    `INSERT INTO signing_key (kid, algorithm, generation, public_jwk, sealed_private_key, key_encryption_key_id,
                              published_at, signs_from, signs_until, published_until)
     VALUES (E'new\\nline\\x1b[31m', 'ES256', 2147483647, 'null', '', 'x', '-infinity', '-infinity', 'infinity', 'infinity'),
            ('ended', 'none', 1, '[1e400]'::jsonb, '', 'x', '0044-03-15 BC', '0044-03-15 BC', '290000-01-01', 'infinity')`,
  )
  await database.query(
    `INSERT INTO verifier (name, named, address, last_fetched_at, kids) VALUES (E'\\x1b[2J', true, 'x', 'infinity', '{}')`,
  )
  await database.query(
    `INSERT INTO running_process (process_id, described, settings) VALUES (gen_random_uuid(), 'x', 'null')`,
  )
  expect((await requestTokenPatiently(first.url, client)).status).toBe(200)
  for (const call of [
    ['keys', 'list'],
    ['keys', 'list', '--json'],
    ['keys', 'rotate', '--plan'],
    ['keys', 'rotate', '--plan', '--json'],
    ['keys', 'revoke', 'ended', '--yes'],
    ['audit', 'list', '--json'],
  ]) {
    const { code, stdout, stderr } = await run(...call)
    expect([code, stderr], call.join(' ')).toEqual([0, expect.anything()])
    expect(stdout + stderr).not.toContain('\x1b')
  }
  await startService()
})

test('texts that would disturb a terminal, in what a command says about a change', async ({
  database,
  run,
}) => {
  const { clientId } = await registerClient(database)
  await database.query(`UPDATE client SET purpose = E'a\\x1b[31m\\u009bb\\u202e' WHERE client_id = $1`, [
    clientId,
  ])
  const { code, stdout } = await run('clients', 'update', clientId, '--purpose', 'other')
  expect(code).toBe(0)
  expect(stdout).toContain('a\ufffd[31m\ufffdb\ufffd')
})
