/** The commands about trusted issuers: what they write is what a file would say, and what they refuse they explain. */
import { writeFileSync } from 'node:fs'
import { expect } from 'vitest'
import { workloadId } from '../../src/registry/issuer.ts'
import { makeKey } from '../support/assertion.ts'
import { succeeding } from '../support/command.ts'
import { test as base } from '../support/fixtures.ts'

const github = 'https://token.actions.githubusercontent.com'
const test = base.extend('ran', ({ run }) => succeeding(run))

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
  expect(added.stderr).toContain('Add repository_id as well: it stays with its first owner.')

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
    /githubusercontent\.com +active +discovery +deploy +repository = acme\/shop, ref = refs\/heads\/main or refs\/heads\/next +billing +all that the client may/,
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
    'is not trusted any more; 0 rules went with it.',
  )
  expect(await run('trust', 'remove', 'deploy')).toMatchObject({ code: 3 })
})

test.for([
  [['--equals', 'ref=refs/heads/main'], 'fits everybody in the world who has an account there'],
  [[], 'fits whomever the issuer signs for'],
  [['--prefix', 'repository=acme'], 'ends in the middle of a name'],
  [['--equals', 'sub=system:serviceaccount:shop:default'], 'names the service account "default"'],
  [
    ['--equals', 'repository_id=74', '--assertion-max-age', '0'],
    '--assertion-max-age: must be a whole number',
  ],
  [['--equals', 'repository_id=74', '--client', 'billng'], '--client: there is no client "billng"'],
] as const)('a rule that is too open or wrong is refused: %j', async ([options, words], { run, ran }) => {
  const client = options.includes('--client' as never) ? [] : ['--client', 'billing']
  await ran('clients', 'create', 'billing', '--auth-method', 'federated_jwt')
  const refused = await run('trust', 'add', 'deploy', '--issuer', github, ...options, ...client)
  expect(refused.code).toBeGreaterThan(0)
  expect(refused.stderr).toContain(words)
})

test('a workload is blocked before it was ever seen, and listed', async ({ run, ran }) => {
  const id = workloadId('https://kubernetes.default.svc', 'system:serviceaccount:payments:api')
  expect(await ran('trust', 'block', id)).toBe(`${id} is blocked.\n`)
  expect(await ran('trust', 'workloads')).toMatch(new RegExp(`${id} +- +- +- +never`))
  expect(await ran('trust', 'unblock', id)).toBe(`${id} is not blocked.\n`)
  expect((await run('trust', 'block', 'billing')).code).toBe(2)
  // No client can have such an id.
  const refused = await run('clients', 'create', id)
  expect(refused.stderr).toContain('begins like the id of a workload')
})
