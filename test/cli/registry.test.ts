/** What an operator sees of a sealed registry, and does about it. */
import { expect } from 'vitest'
import { command, commandAtTerminal } from '../support/command.ts'
import { test as base } from '../support/fixtures.ts'
import { orders, registerClient } from '../support/service.ts'

const key = Buffer.alloc(32, 5).toString('base64')

const test = base.extend('runSealed', ({ database }) => {
  const environment = { MINTMARK_SEALED_REGISTRY: 'yes', MINTMARK_KEY_ENCRYPTION_KEY: key }
  return (...given: readonly string[]) => command({ DATABASE_URL: database.url, ...environment }, ...given)
})

test('an existing registry is sealed, and what somebody writes by hand is named until it is right', async ({
  database,
  run,
  runSealed,
}) => {
  await registerClient(database, { clientId: 'billing' })

  // Whoever runs it without the setting would unseal the registry with the next command.
  const without = await run('registry', 'seal')
  expect(without).toMatchObject({ code: 1 })
  expect(without.stderr).toContain('MINTMARK_SEALED_REGISTRY')

  const dry = await runSealed('registry', 'seal', '--dry-run')
  expect(dry.stdout).toBe(
    '1 client, 1 secret, 1 grant and 2 resources are registered.\nThe registry was not sealed before.\n' +
      'This was a dry run: nothing was sealed.\n',
  )
  const unasked = await runSealed('registry', 'seal')
  expect([unasked.code, unasked.stderr]).toEqual([1, expect.stringContaining('use --yes')])
  expect(await database.query('SELECT 1 FROM sealed_registry_head')).toEqual([])
  expect(await runSealed('registry', 'seal', '--yes')).toMatchObject({ code: 0 })
  expect((await runSealed('clients', 'list')).stderr).toBe('')

  // Nothing differs, so nobody has to be asked.
  const again = await runSealed('registry', 'seal', '--json')
  expect(JSON.parse(again.stdout)).toMatchObject({ sealed: true, clients: 1, lessened: 0, differences: [] })

  await database.query(`UPDATE access SET scopes = '{orders:read}'`)
  await database.query(`INSERT INTO client (client_id, name) VALUES ('stranger', 'Stranger')`)
  const listed = await runSealed('clients', 'list')
  expect(listed.stderr).toContain('WARNING: 1 client with rows that nobody with the key-encryption key wrote')
  expect(listed.stderr).toContain('  stranger: unregistered\n')
  const shown = await runSealed('clients', 'show', 'stranger', '--json')
  expect(JSON.parse(shown.stdout)).toMatchObject({ client_id: 'stranger', unsealed: ['unregistered'] })
  const withoutKey = await command(
    { DATABASE_URL: database.url, MINTMARK_SEALED_REGISTRY: 'yes' },
    'clients',
    'list',
  )
  expect(withoutKey, 'a list needs no key').toMatchObject({ code: 0 })
  expect(withoutKey.stderr).toContain('WARNING: Nobody can tell which rows were registered.')

  const refused = await runSealed('registry', 'seal')
  expect(refused.code).toBe(1)
  expect(refused.stdout).toContain('1 entry has less than was registered')
  expect(refused.stderr).toMatch(/^DANGER: 1 differ.*\n {2}client stranger: unregistered$/m)
  expect(await runSealed('clients', 'delete', 'stranger', '--yes')).toMatchObject({ code: 0 })
  expect((await runSealed('registry', 'seal')).stdout).toContain('Nothing gives more than was registered.')
})

test('who is asked sees what differs, also where the output is JSON', async ({ database, runSealed }) => {
  await registerClient(database, { clientId: 'billing' })
  expect(await runSealed('registry', 'seal', '--yes')).toMatchObject({ code: 0 })
  await database.query(`INSERT INTO client (client_id, name) VALUES ('stranger', 'Stranger')`)
  const environment = {
    DATABASE_URL: database.url,
    MINTMARK_SEALED_REGISTRY: 'yes',
    MINTMARK_KEY_ENCRYPTION_KEY: key,
  }
  const answer = (typed: string) => commandAtTerminal(environment, `${typed}\n`, 'registry', 'seal', '--json')
  const refused = await answer('no')
  expect([refused.code, refused.stdout]).toEqual([1, ''])
  expect(refused.stderr).toMatch(/^DANGER: 1 differ.*\n {2}client stranger: unregistered\n/)
  expect(refused.stderr).toContain('mintmark: that is not "seal", so nothing was changed.')
  expect(JSON.parse((await answer('seal')).stdout)).toMatchObject({ sealed: true })
})

test('commands seal what they change, and change nothing without the key', async ({
  database,
  runSealed,
}) => {
  const created = await runSealed('resources', 'create', orders, '--scope', 'orders:read')
  expect(created, created.stderr).toMatchObject({ code: 0 })
  const access = ['--access', `${orders}=orders:read`]
  expect(await runSealed('clients', 'create', 'billing', ...access)).toMatchObject({ code: 0 })
  expect(await runSealed('clients', 'secrets', 'add', 'billing')).toMatchObject({ code: 0 })
  const review = await runSealed('registry', 'seal', '--dry-run', '--json')
  expect(JSON.parse(review.stdout)).toMatchObject({ sealed: false, secrets: 2, differences: [], lessened: 0 })
  const withoutKey = await command(
    { DATABASE_URL: database.url, MINTMARK_SEALED_REGISTRY: 'yes' },
    ...['clients', 'disable', 'billing'],
  )
  expect(withoutKey).toMatchObject({ code: 1 })
  expect(withoutKey.stderr).toContain('MINTMARK_KEY_ENCRYPTION_KEY')
  expect(await database.query('SELECT status FROM client')).toEqual([{ status: 'active' }])
})

test('a command without the setting says that its change counts for nothing', async ({ run, runSealed }) => {
  expect(await runSealed('resources', 'create', orders, '--scope', 'orders:read')).toMatchObject({ code: 0 })
  const { code, stderr } = await run('resources', 'update', orders, '--add-scope', 'orders:write')
  expect(code).toBe(0)
  expect(stderr).toMatch(/^WARNING: This registry was sealed, and this change is not/m)
  expect(
    (await runSealed('resources', 'update', orders, '--add-scope', 'orders:write')).stderr,
  ).not.toContain('WARNING')
})

test('a registry that was never sealed is not sealed in part by the first command', async ({
  database,
  runSealed,
}) => {
  await registerClient(database)
  const { code, stderr } = await runSealed('resources', 'create', 'urn:example:new', '--scope', 'read')
  expect(code).toBe(1)
  expect(stderr).toContain('registry seal')
  expect(await database.query('SELECT 1 FROM sealed_registry_head')).toEqual([])
})
