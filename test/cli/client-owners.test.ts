/** Whom a client belongs to and what it is for: said when it is created, changed later, and what lists choose by. */

import { writeFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { describe, expect } from 'vitest'
import { command, succeeding } from '../support/command.ts'
import { test } from '../support/fixtures.ts'
import { orders, registerClient, requestTokenPatiently } from '../support/service.ts'

type Run = (...given: readonly string[]) => Promise<string>

async function listed(ran: Run, ...options: readonly string[]): Promise<string[]> {
  const { clients } = JSON.parse(await ran('clients', 'list', '--json', ...options))
  return clients.map((client: { client_id: string }) => client.client_id)
}

test('a client says whom it belongs to, what it is for, and who created it', async ({ database, run }) => {
  const ran = succeeding(run)
  const said = ['--owner', 'team-reports', '--purpose', 'Exports orders', '--kind', 'job']
  await ran('clients', 'create', 'nightly', ...said, '--json')
  const show = async () => JSON.parse(await ran('clients', 'show', 'nightly', '--json'))
  expect(await show()).toMatchObject({
    owner: 'team-reports',
    purpose: 'Exports orders',
    kind: 'job',
    created_by: userInfo().username,
    last_used_at: null,
    ends_at: null,
  })
  expect(await ran('clients', 'show', 'nightly')).toMatch(/^owner +team-reports$/m)
  const changed = await ran('clients', 'update', 'nightly', '--owner', 'Ada', '--no-purpose')
  expect(changed).toContain('owner: team-reports → Ada')
  expect(await show()).toMatchObject({
    owner: 'Ada',
    purpose: null,
    kind: 'job',
    created_by: userInfo().username,
  })
  const [record] = await database.query<{ detail: string }>(
    `SELECT detail FROM audit_record WHERE type = 'client' AND outcome = 'changed'`,
  )
  expect(JSON.parse(record?.detail ?? '').changes).toEqual({
    owner: { from: 'team-reports', to: 'Ada' },
    purpose: { from: 'Exports orders', to: null },
  })
  // Who says something else keeps it.
  await ran('clients', 'update', 'nightly', '--name', 'Nightly')
  expect(await show()).toMatchObject({ owner: 'Ada', kind: 'job' })
})

test('a file says it too, and what it leaves out is gone', async ({ files, run }) => {
  const ran = succeeding(run)
  const apply = async (client: object) => {
    writeFileSync(files.path('clients.yaml'), JSON.stringify({ clients: [{ client_id: 'a', ...client }] }))
    return await ran('seed', files.path('clients.yaml'), '--json')
  }
  await apply({ owner: 'team-a', purpose: 'Tries files', kind: 'agent' })
  expect(JSON.parse(await ran('clients', 'show', 'a', '--json'))).toMatchObject({
    owner: 'team-a',
    kind: 'agent',
    created_by: userInfo().username,
  })
  expect(await apply({ owner: 'team-a', purpose: 'Tries files', kind: 'agent' })).toContain('unchanged')
  await apply({})
  expect(JSON.parse(await ran('clients', 'show', 'a', '--json'))).toMatchObject({
    owner: null,
    purpose: null,
    kind: null,
    created_by: userInfo().username,
  })
})

test('lists choose by each of it, and by several together', async ({ database, run, startService }) => {
  const ran = succeeding(run)
  const create = (id: string, ...options: string[]) => ran('clients', 'create', id, '--json', ...options)
  await create('a', '--owner', 'team-1', '--kind', 'service', '--purpose', 'Pays 100% of bills')
  await create(
    'b',
    '--owner',
    'team-1',
    '--kind',
    'job',
    '--expires-at',
    new Date(Date.now() + 10 * 86_400_000).toISOString(),
  )
  await create('c', '--owner', 'Team-1', '--secret-expires-in', '20d')
  await create('d', '--secret-expires-in', '60d')
  const used = await registerClient(database, { clientId: 'e' })
  const service = await startService()
  expect((await requestTokenPatiently(service.url, used, { resource: orders })).status).toBe(200)
  await service.close()

  expect(await listed(ran, '--owner', 'team-1')).toEqual(['a', 'b'])
  expect(await listed(ran, '--owner', 'team-1', '--kind', 'job')).toEqual(['b'])
  expect(await listed(ran, '--no-owner')).toEqual(['d', 'e'])
  expect(await listed(ran, '--purpose', 'PAYS')).toEqual(['a'])
  expect(await listed(ran, '--purpose', '100%')).toEqual(['a'])
  expect(await listed(ran, '--purpose', 'P_ys')).toEqual([])
  expect(await listed(ran, '--created-by', userInfo().username)).toEqual(['a', 'b', 'c', 'd'])
  expect(await listed(ran, '--never-used')).toEqual(['a', 'b', 'c', 'd'])
  expect(await listed(ran, '--expires-within', '30d')).toEqual(['b', 'c'])
  expect(await listed(ran, '--expires-within', '90d', '--never-used', '--no-owner')).toEqual(['d'])
  expect(await listed(ran, '--created-since', '1h')).toHaveLength(5)
  expect(await listed(ran, '--unused-for', '30d')).toEqual([])
  await database.query(
    `UPDATE client SET created_at = now() - interval '90 days' WHERE client_id IN ('a', 'e');
     UPDATE client_secret SET expires_at = now() - interval '1 day' WHERE client_id = 'c'`,
  )
  expect(await listed(ran, '--created-since', '30d')).toEqual(['b', 'c', 'd'])
  expect(await listed(ran, '--unused-for', '30d')).toEqual(['a'])
  await database.query(`UPDATE client_use SET last_used_at = now() - interval '40 days'`)
  expect(await listed(ran, '--unused-for', '30d')).toEqual(['a', 'e'])
  expect(await listed(ran, '--expires-within', '30d'), 'what has ended does not end').toEqual(['b'])
  const table = await ran('clients', 'list', '--owner', 'team-1')
  expect(table).toMatch(/^CLIENT .* EXPIRES +LAST USED +KIND +OWNER\n/)
  expect(table).toMatch(/^a .* never +service +team-1$/m)
})

describe('is refused', () => {
  test.each([
    [['create', 'a', '--owner', ' '], '--owner: is empty'],
    [['create', 'a', '--owner', 'x'.repeat(201)], '--owner: is 201 characters long; at most 200'],
    [['create', 'a', '--purpose', 'x'.repeat(501)], '--purpose: is 501 characters long; at most 500'],
    [['create', 'a', '--purpose', 'a\u202eb'], '--purpose: contains a control, invisible or bidirectional'],
    [
      ['create', 'a', '--kind', 'jop'],
      '--kind: "jop" is not a kind of client; known are service, job, agent. Did you mean "job"?',
    ],
    [['update', 'a', '--owner', 'x', '--no-owner'], '--no-owner: not with --owner'],
    [['list', '--owner', 'x', '--no-owner'], '--no-owner: not with --owner'],
    [['list', '--kind', 'jop'], '--kind: must be one of service, job, agent. Did you mean "job"?'],
    [['list', '--expires-within', 'soon'], '--expires-within: "soon" is not a time'],
  ])('%j', async (call, says) => {
    const { code, stderr } = await command({ DATABASE_URL: 'postgresql://127.0.0.1:1/x' }, 'clients', ...call)
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining(says) })
  })
})
