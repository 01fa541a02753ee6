/** The commands about trusted issuers: what they write is what a file would say, and what they refuse they explain. */
import { writeFileSync } from 'node:fs'
import { expect } from 'vitest'
import { workloadId } from '../../src/registry/issuer.ts'
import { makeKey } from '../support/assertion.ts'
import { succeeding } from '../support/command.ts'
import { test as base } from '../support/fixtures.ts'
import { github as platform } from '../support/platforms.ts'

const github = platform.issuer
const test = base.extend('ran', ({ run }) => succeeding(run))
const guardedRule = ['--equals', 'repository_id=78', '--client', 'billing']

test('a rule is added, listed, applied by a file as it stands, and removed', async ({ run, ran, files }) => {
  const orders = 'https://orders.example.com'
  await ran('resources', 'create', orders, '--scope', 'orders:read')
  const created = await ran(
    'clients',
    'create',
    'billing',
    '--auth-method',
    'federated_jwt',
    '--access',
    `${orders}=orders:read`,
  )
  expect(created).toBe('billing is created. It has no secret and no key.\n')
  const add = ['trust', 'add', 'deploy', '--issuer', github, '--equals', 'repository=acme/shop']
  const added = await run(
    ...add,
    '--equals',
    'ref=refs/heads/main',
    '--equals',
    'ref=refs/heads/next',
    '--client',
    'billing',
  )
  expect(added).toMatchObject({ code: 0, stdout: `${github} is trusted now. The rule deploy is created.\n` })
  expect(added.stderr).toContain('Add repository_id as well: it never gets another owner.')

  // Keys belong to the issuer: what one rule names counts for the others too, so that is said.
  const url = 'https://keys.example.com/jwks'
  const moved = await run('trust', 'add', 'moved', '--issuer', github, '--jwks-uri', url, ...guardedRule)
  expect(moved).toMatchObject({ code: 0, stdout: 'The rule moved is created.\n' })
  expect(moved.stderr).toContain(
    `keys of ${github}: jwks_uri ${url} now, and discovery before. This counts for all its rules.`,
  )
  const same = await run('trust', 'add', 'same', '--issuer', github, ...guardedRule)
  expect(same.stderr).not.toContain('all its rules')
  await ran('trust', 'remove', 'moved')
  await ran('trust', 'remove', 'same')

  const key = makeKey('RS256', 'cluster-1')
  writeFileSync(
    files.path('cluster.json'),
    JSON.stringify({ keys: [{ ...key.publicJwk, kid: 'cluster-1' }] }),
  )
  await ran(
    ...[
      'trust',
      'add',
      'payments',
      '--issuer',
      'https://kubernetes.default.svc',
      '--jwks',
      files.path('cluster.json'),
    ],
    ...[
      '--prefix',
      'sub=system:serviceaccount:payments:',
      '--access',
      `${orders}=orders:read`,
      '--token-lifetime',
      '60',
    ],
  )
  const list = await ran('trust', 'list')
  expect(list).toMatch(
    /githubusercontent\.com +active +https:\/\/keys\.example\.com\/jwks +deploy +repository = acme\/shop, ref = refs\/heads\/main or refs\/heads\/next +billing +all that the client may/,
  )
  expect(list).toMatch(/1 uploaded +payments +sub begins with system:serviceaccount:payments: +any workload/)

  // What the list says as JSON is a file, and applying it changes nothing.
  writeFileSync(files.path('trust.json'), await ran('trust', 'list', '--json'))
  const again: { trust: { status: string }[] } = JSON.parse(
    await ran('seed', files.path('trust.json'), '--json'),
  )
  expect(again.trust.map(({ status }) => status)).toEqual(['unchanged', 'unchanged'])

  expect(await ran('trust', 'disable', github)).toBe(`${github} is disabled.\n`)
  expect(await ran('trust', 'remove', 'deploy')).toBe(`deploy is removed. ${github} is still trusted.\n`)
  expect(await ran('trust', 'remove', '--issuer', github)).toContain(
    'is no longer trusted; 0 rules removed with it.',
  )
  expect(await run('trust', 'remove', 'deploy')).toMatchObject({ code: 3 })
})

test.for([
  [['--equals', 'ref=refs/heads/main'], 'fits everybody in the world who has an account there'],
  [[], 'fits everybody that the issuer signs for'],
  [['--prefix', 'repository=acme'], 'ends in the middle of a name'],
  [['--equals', 'sub=system:serviceaccount:shop:default'], 'names the service account "default"'],
  [
    ['--equals', 'repository_id=74', '--assertion-max-age', '0'],
    '--assertion-max-age: must be a whole number',
  ],
  // Said as options, and not as lines of a file.
  [
    ['--equals', 'repository_id=74', '--token-lifetime', '10m'],
    '--token-lifetime: must be a whole number of seconds, for example 600.',
  ],
  [['--present', 'sub'], 'or write --dangerously-any-subject if'],
  [
    ['--equals', 'repository_id=74', '--require-dpop', 'yes'],
    '--require-dpop: "yes" does not say which key is needed; write any_key or confirmed_key',
  ],
  [
    ['--equals', 'repository_id=74', '--require-certificate', 'tls_client_auth_san_uri={subject}'],
    '--require-certificate: is no absolute URI',
  ],
  [
    ['--equals', 'repository_id=74', '--require-certificate', 'common_name=ci'],
    '--require-certificate: there is no such key',
  ],
  [['--equals', 'repository_id=74', '--client', 'billng'], '--client: there is no client "billng"'],
] as const)('a rule that is too open or wrong is refused: %j', async ([options, words], { run, ran }) => {
  const client = options.includes('--client' as never) ? [] : ['--client', 'billing']
  await ran('clients', 'create', 'billing', '--auth-method', 'federated_jwt')
  const refused = await run('trust', 'add', 'deploy', '--issuer', github, ...options, ...client)
  expect(refused.code).toBeGreaterThan(0)
  expect(refused.stderr).toContain(words)
})

test.for([
  ['/dev/zero', 'it has more than'],
  ['/nowhere', 'there is no such file'],
] as const)('an assertion is not read from %s', async ([file, words], { run }) => {
  const { code, stderr } = await run('trust', 'test', '--assertion', file)
  expect([code, stderr]).toEqual([1, expect.stringContaining(words)])
})

test('a scope that a rule gives is not removed from its resource, and the rule is named', async ({
  run,
  ran,
}) => {
  await ran('resources', 'create', 'urn:a', '--scope', 'read')
  await ran(
    'trust',
    'add',
    'pay',
    '--issuer',
    github,
    '--equals',
    'repository_id=7',
    '--access',
    'urn:a=read',
  )
  const { code, stderr } = await run('resources', 'update', 'urn:a', '--remove-scope', 'read')
  expect(code).toBe(1)
  expect(stderr).toContain('--remove-scope: "read" may still be requested by the rule pay. Apply a seed file')
  expect(stderr).not.toContain('clients access remove')
})

test('a workload is blocked before it was ever seen, and listed', async ({ run, ran }) => {
  const id = workloadId('https://kubernetes.default.svc', 'system:serviceaccount:payments:api')
  expect(await ran('trust', 'block', id)).toBe(`${id} is blocked.\n`)
  expect(await ran('trust', 'block', id)).toBe(`${id} was already blocked.\n`)
  expect(await ran('trust', 'workloads')).toMatch(new RegExp(`${id} +- +- +- +never`))
  expect(await ran('trust', 'unblock', id)).toBe(`${id} is not blocked.\n`)
  expect((await run('trust', 'block', 'billing')).code).toBe(2)
  // No client can have such an id.
  const refused = await run('clients', 'create', id)
  expect(refused.stderr).toContain('begins like the id of a workload')
})
