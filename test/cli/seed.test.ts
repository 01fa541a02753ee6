/**
 * Applying a file again and again is safe: it says what it did, shows a new secret once, touches no secret
 * that exists, undoes nothing that an operator did, and applies all of the file or nothing.
 */
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { describe, expect } from 'vitest'
import { secretIdOf } from '../../src/authentication/secret.ts'
import { succeeding } from '../support/command.ts'
import { test as base } from '../support/fixtures.ts'
import { root } from '../support/process.ts'

const exampleFile = `${root}prisma/clients.example.yaml`

const test = base
  /** Runs a command that must succeed. */
  .extend('ran', ({ run }) => succeeding(run))
  /** Writes a file, and returns its path. */
  .extend('file', ({ files }) => {
    return (name: string, text: string): string => {
      writeFileSync(files.path(name), text)
      return files.path(name)
    }
  })

interface Report {
  readonly resources: readonly { audience: string; status: string }[]
  readonly clients: readonly { client_id: string; client_secret?: string; status: string }[]
}

describe('the example file', () => {
  test('is created, then unchanged; its secrets are shown once', async ({ ran }) => {
    const first: Report = JSON.parse(await ran('seed', exampleFile, '--json'))
    expect(first.resources.map(({ status }) => status)).toEqual(['created', 'created'])
    expect(first.clients.map(({ client_id }) => client_id)).toEqual(['billing', 'warehouse', 'legacy-erp'])
    const secrets = first.clients.map(({ client_secret }) => client_secret ?? '')
    for (const secret of secrets) expect(secretIdOf(secret)).toBeDefined()

    const again = await ran('seed', exampleFile, '--json')
    const second: Report = JSON.parse(again)
    expect([...second.resources, ...second.clients].map(({ status }) => status)).toEqual(
      Array(5).fill('unchanged'),
    )
    expect(second.clients.some((client) => 'client_secret' in client)).toBe(false)
    const [shown, listed] = [await ran('clients', 'show', 'billing', '--json'), await ran('clients', 'list')]
    for (const secret of secrets) expect(`${again}${shown}${listed}`).not.toContain(secret)
  })

  test('in words', async ({ ran }) => {
    const first = await ran('seed', exampleFile)
    expect(first).toMatch(/^client +billing +created +access to https:\/\/orders\.example\.com created$/m)
    expect(first).toContain('5 created, 0 changed, 0 unchanged.')
    expect(first.match(/mm_[0-9A-Za-z]{57}/g)).toHaveLength(3)
    const second = await ran('seed', exampleFile)
    expect(second).toContain('0 created, 0 changed, 5 unchanged.')
    expect(second).not.toContain('mm_')
  })

  test('nothing is done by a dry run', async ({ database, ran }) => {
    expect(await ran('seed', exampleFile, '--dry-run')).toContain('This was a dry run')
    expect(JSON.parse(await ran('seed', exampleFile, '--dry-run', '--json'))).toMatchObject({ dry_run: true })
    expect(await database.query('SELECT FROM client')).toEqual([])
    expect(await database.query('SELECT FROM audit_record')).toEqual([])
  })
})

test('an algorithm that the service keeps no keys for is applied, and told', async ({ file, ran, run }) => {
  const resource = 'resources: [{audience: urn:a, signing_algorithm: EdDSA}]'
  const outcome = await run('seed', file('eddsa.yaml', resource))
  expect(outcome).toMatchObject({ code: 0 })
  expect(outcome.stderr).toMatch(/^urn:a: is signed with EdDSA, which is not in MINTMARK_SIGNING_ALGORITHMS/)
  const { resources } = JSON.parse(await ran('resources', 'list', '--json'))
  expect(resources).toMatchObject([{ audience: 'urn:a', signing_algorithm: 'EdDSA' }])
  expect(await ran('seed', file('default.yaml', 'resources: [{audience: urn:a}]'))).toContain(
    'signing_algorithm: EdDSA → ES256',
  )
})

describe('--secrets-out', () => {
  test('writes new secrets there and nowhere else, for their owner only', async ({ files, run }) => {
    const path = files.path('secrets.json')
    const outcome = await run('seed', exampleFile, '--json', '--secrets-out', path)
    expect(outcome.code).toBe(0)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    const { clients }: Report = JSON.parse(readFileSync(path, 'utf8'))
    expect(clients.map(({ client_id }) => client_id)).toEqual(['billing', 'warehouse', 'legacy-erp'])
    for (const { client_secret = '' } of clients) {
      expect(secretIdOf(client_secret)).toBeDefined()
      expect(outcome.stdout + outcome.stderr).not.toContain(client_secret)
    }
  })

  test('overwrites nothing, and applies nothing then', async ({ database, file, run }) => {
    const path = file('taken.json', 'precious')
    const outcome = await run('seed', exampleFile, '--secrets-out', path)
    expect(outcome.code).toBe(1)
    expect(outcome.stderr).toContain('exists already')
    expect(readFileSync(path, 'utf8')).toBe('precious')
    expect(await database.query('SELECT FROM client')).toEqual([])
  })

  test('may name the same file again when there are no new secrets', async ({ files, ran }) => {
    const path = files.path('secrets.json')
    await ran('seed', exampleFile, '--secrets-out', path)
    const before = readFileSync(path, 'utf8')
    await ran('seed', exampleFile, '--secrets-out', path)
    expect(readFileSync(path, 'utf8')).toBe(before)
  })

  test('leaves no file behind when there are no new secrets', async ({ files, ran }) => {
    await ran('seed', exampleFile)
    const path = files.path('none.json')
    await ran('seed', exampleFile, '--secrets-out', path)
    expect(existsSync(path)).toBe(false)
  })
})

describe('a file that changed', () => {
  const resources = 'resources:\n  - audience: urn:a\n    scopes: [r, w]\n  - audience: urn:b\n'

  test('is reported with what changed, and recorded', async ({ file, ran }) => {
    const access = '[{audience: urn:a, scopes: [r]}, {audience: urn:b, scopes: []}]'
    await ran(
      'seed',
      file('1.yaml', `${resources}clients:\n  - {client_id: x, access: ${access}}\n  - client_id: y\n`),
    )
    const changed = file(
      '2.yaml',
      'clients:\n  - {client_id: x, name: New, access: [{audience: urn:a, scopes: [r, w]}]}\n  - client_id: y\n',
    )
    const text = await ran('seed', changed)
    expect(text).toMatch(
      /^client +x +changed +name: x → New; access to urn:a changed; access to urn:b deleted$/m,
    )
    expect(text).toContain('0 created, 1 changed, 1 unchanged.')
    const records = JSON.parse(await ran('audit', 'list', '--client', 'x', '--json')).slice(-3)
    expect(records).toMatchObject([
      { type: 'client', outcome: 'changed', detail: { changes: { name: { from: 'x', to: 'New' } } } },
      { type: 'access', outcome: 'changed', audience: 'urn:a', scope: 'r w' },
      { type: 'access', outcome: 'deleted', audience: 'urn:b' },
    ])
  })

  test('does not enable whom an operator disabled, unless it says so', async ({ database, file, ran }) => {
    const plain = file('1.yaml', 'clients:\n  - client_id: x\n')
    await ran('seed', plain)
    await ran('clients', 'disable', 'x')
    expect(await ran('seed', plain)).toContain('0 changed')
    expect(await database.query('SELECT status FROM client')).toEqual([{ status: 'disabled' }])
    expect(await ran('seed', file('2.yaml', 'clients:\n  - {client_id: x, status: active}\n'))).toContain(
      '1 changed',
    )
    expect(await database.query('SELECT status FROM client')).toEqual([{ status: 'active' }])
  })

  test('gives nobody a second secret by itself, but says who lacks one', async ({ file, ran }) => {
    const plain = file('1.yaml', 'clients:\n  - client_id: x\n')
    const secret = JSON.parse(await ran('seed', plain, '--json')).clients[0].client_secret
    await ran('clients', 'secrets', 'revoke', 'x', String(secretIdOf(secret)))
    const text = await ran('seed', plain)
    expect(text).toMatch(/^client +x +unchanged +has no secret: bin\/mintmark clients secrets add x$/m)
    expect(text).not.toContain('mm_')
  })

  test('is applied whole or not at all, with every mistake named', async ({ database, file, run }) => {
    const path = file(
      'bad.yaml',
      `${resources}clients:\n  - client_id: good\n  - client_id: x\n    access:\n      - audience: urn:c\n        scopes: [r]\n` +
        '      - audience: urn:a\n        scopes: [r, x]\n',
    )
    const outcome = await run('seed', path)
    expect(outcome).toMatchObject({ code: 1, stdout: '' })
    expect(outcome.stderr).toContain(`mintmark: ${path} has 2 mistakes; nothing was applied.`)
    expect(outcome.stderr).toContain(`${path}:9:19: clients[1].access[0].audience: there is no resource`)
    expect(outcome.stderr).toContain(
      `${path}:12:21: clients[1].access[1].scopes[1]: urn:a has no scope "x"; it has r, w`,
    )
    expect(await database.query('SELECT FROM resource')).toEqual([])
  })

  test('never brings back a client that was deleted', async ({ file, ran, run }) => {
    const plain = file('1.yaml', 'clients:\n  - client_id: x\n')
    await ran('seed', plain)
    await ran('clients', 'delete', 'x', '--yes')
    const outcome = await run('seed', plain)
    expect(outcome.code).toBe(1)
    expect(outcome.stderr).toContain(
      `${plain}:2:16: clients[0].client_id: "x" belonged to a client that was deleted`,
    )
  })

  test('two at once come out as one after the other', async ({ database, file, run }) => {
    const path = file(
      '1.yaml',
      `clients:\n${Array.from({ length: 20 }, (_, index) => `  - client_id: c${index}\n`).join('')}`,
    )
    const outcomes = await Promise.all([run('seed', path, '--json'), run('seed', path, '--json')])
    expect(outcomes.map(({ code }) => code)).toEqual([0, 0])
    const reports = outcomes.map(({ stdout }): Report => JSON.parse(stdout))
    const statuses = reports.map(({ clients }) => clients[0]?.status)
    expect(statuses.sort()).toEqual(['created', 'unchanged'])
    const secrets = reports.flatMap(({ clients }) =>
      clients.filter((client) => client.client_secret !== undefined),
    )
    expect(secrets).toHaveLength(20)
    expect(await database.query('SELECT FROM client_secret')).toHaveLength(20)
  })
})

test('all mistakes are told at once: those of the file, and those beside what is registered', async ({
  file,
  ran,
  run,
}) => {
  await ran('resources', 'create', 'urn:there', '--scope', 'read')
  const path = file(
    'mistakes.yaml',
    [
      'resources:',
      '  - {audience: "urn:unread", token_lifetime: abc}',
      'clients:',
      '  - {client_id: "a b"}',
      '  - {client_id: c, access: [{audience: "urn:there", scopes: [raed]}]}',
      '  - {client_id: d, access: [{audience: "urn:unread", scopes: [any]}, {audience: "urn:nowhere", scopes: []}]}',
    ].join('\n'),
  )
  const { code, stdout, stderr } = await run('seed', path)
  expect([code, stdout]).toEqual([1, ''])
  const places = [...stderr.matchAll(/mistakes\.yaml:(\d+):\d+: ([^:]+): /g)].map(([, line, where]) => [
    line,
    where,
  ])
  expect(places).toEqual([
    ['2', 'resources[0].token_lifetime'],
    ['4', 'clients[0].client_id'],
    ['5', 'clients[1].access[0].scopes[0]'],
    ['6', 'clients[2].access[1].audience'],
  ])
})

test('an entry that cannot be read is no reason for mistakes in others', async ({ file, ran, run }) => {
  await ran('resources', 'create', 'urn:a', '--scope', 'read', '--scope', 'write')
  await ran('clients', 'create', 'billing', '--access', 'urn:a=read,write', '--auth-method', 'federated_jwt')
  const rule = ['--issuer', 'https://one.example', '--equals', 'sub=a', '--access', 'urn:a=write']
  await ran('trust', 'add', 'moves', ...rule)
  const path = file(
    'mistakes.yaml',
    [
      'resources:',
      '  - {audience: "urn:a", scopes: [read]}',
      'clients:',
      '  - {client_id: billing, access: [{audience: "urn:a", scopes: [read]}], allowed_networks: [nowhere]}',
      '  - {client_id: new, kind: robot}',
      'trust:',
      '  - {issuer: "https://one.example", jwks_uri: "http://one.example"}',
      '  - issuer: https://two.example',
      '    rules:',
      '      - {rule: one, conditions: [{claim: sub, equals: a}], client_id: new}',
      '      - {rule: moves, conditions: [{claim: sub, equals: a}], client_id: old}',
    ].join('\n'),
  )
  const { stderr } = await run('seed', path)
  const places = [...stderr.matchAll(/mistakes\.yaml:\d+:\d+: ([^:]+): /g)].map(([, where]) => where)
  expect(places).toEqual([
    'clients[0].allowed_networks[0]',
    'clients[1].kind',
    'trust[0].jwks_uri',
    'trust[1].rules[1].client_id',
  ])
})
