/** Audiences of somebody else, and claims, on the command line: made, shown, changed, and refused where they contradict. */

import { writeFileSync } from 'node:fs'
import { expect } from 'vitest'
import { command, succeeding } from '../support/command.ts'
import { sharedTest as test } from '../support/fixtures.ts'

test('resources and clients, from nothing to a change', async ({ run, database }) => {
  const ran = succeeding(run)
  const made = await run(
    ...['resources', 'create', 'sts.amazonaws.com', '--external', 'yes', '--subject-form', 'c:{client_id}'],
    ...['--claim', 'environment=test', '--claim', 'level:=3', '--claim', 'regions:=["eu","us"]'],
  )
  expect(made).toMatchObject({ code: 0, stdout: 'sts.amazonaws.com is created.\n' })
  // What it needs from the service, and from the address of the issuer.
  expect(made.stderr).toContain('is signed with RS256, which is not in MINTMARK_SIGNING_ALGORITHMS')
  expect(made.stderr).toContain('Clouds fetch the keys from a public https address without a port')
  const quiet = await command(
    {
      DATABASE_URL: database.url,
      MINTMARK_ISSUER: 'https://tokens.example.com',
      MINTMARK_SIGNING_ALGORITHMS: 'RS256',
    },
    ...['resources', 'update', 'sts.amazonaws.com', '--name', 'AWS'],
  )
  expect(quiet).toMatchObject({ code: 0, stderr: '' })

  const listed = async () => JSON.parse(await ran('resources', 'list', '--json')).resources[0]
  expect(await listed()).toMatchObject({
    external: true,
    subject_form: 'c:{client_id}',
    claims: { environment: 'test', level: 3, regions: ['eu', 'us'] },
    signing_algorithm: 'RS256',
    token_typ: 'JWT',
  })
  expect(await ran('resources', 'list')).toContain('external: c:{client_id}')
  expect(
    await ran(
      ...['resources', 'update', 'sts.amazonaws.com', '--claim', 'level:=4', '--no-claim', 'regions'],
      '--no-subject-form',
    ),
  ).toBe(
    'sts.amazonaws.com is changed: subject_form: c:{client_id} → not set; claims: ' +
      '{"environment":"test","level":3,"regions":["eu","us"]} → {"environment":"test","level":4}.\n',
  )
  expect(await listed()).toMatchObject({ subject_form: null, claims: { environment: 'test', level: 4 } })

  await ran(
    'clients',
    'create',
    'billing',
    '--access',
    'sts.amazonaws.com=',
    '--claim',
    'tenant=acme',
    '--claim',
    'old=x',
  )
  expect(await ran('clients', 'update', 'billing', '--claim', 'tenant=other', '--no-claim', 'old')).toBe(
    'billing is changed: claims: {"old":"x","tenant":"acme"} → {"tenant":"other"}.\n',
  )
  // What is not named stays.
  await ran('clients', 'update', 'billing', '--name', 'Billing')
  expect(JSON.parse(await ran('clients', 'show', 'billing', '--json')).claims).toEqual({ tenant: 'other' })
  expect(await ran('clients', 'show', 'billing')).toMatch(/^claim tenant +"other"$/m)
  expect(JSON.parse(await ran('clients', 'list', '--json')).clients[0].claims).toEqual({ tenant: 'other' })
  const [record] = await database.query<{ detail: string }>(
    `SELECT detail FROM audit_record WHERE type = 'client' AND outcome = 'changed' ORDER BY chain, seq LIMIT 1`,
  )
  expect(JSON.parse(record?.detail ?? '').changes.claims.to).toBe('{"tenant":"other"}')

  // A client and a resource that contradict each other, from every side.
  const contradicts = [
    [
      ['clients', 'update', 'billing', '--claim', 'level:=5'],
      '--claim: the claim "level" contradicts that of the resource sts.amazonaws.com',
    ],
    [
      ['resources', 'update', 'sts.amazonaws.com', '--claim', 'tenant=acme'],
      '--claim: the claim "tenant" contradicts that of the client billing',
    ],
    [
      ['clients', 'create', 'other', '--access', 'sts.amazonaws.com=', '--claim', 'level:=5'],
      'the claim "level" contradicts',
    ],
  ] as const
  for (const [given, says] of contradicts)
    expect(await run(...given)).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining(says) })
  await ran('clients', 'access', 'remove', 'billing', 'sts.amazonaws.com')
  await ran('clients', 'update', 'billing', '--claim', 'level:=5')
  expect(await run('clients', 'access', 'grant', 'billing', 'sts.amazonaws.com')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('the claim "level" contradicts that of the resource sts.amazonaws.com'),
  })
})

test('a seed file, tried first', async ({ run, files }) => {
  const ran = succeeding(run)
  const file = files.path('cloud.yaml')
  const text = (tenant: string) => `
    resources: [{audience: cloud, external: true, subject_form: "spiffe://a.example/{client_id}", claims: {tenant: acme}}]
    clients: [{client_id: shop, claims: {tenant: ${tenant}}, access: [{audience: cloud, scopes: []}]}]`
  writeFileSync(file, text('other'))
  expect(await run('seed', file)).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(
      /cloud\.yaml:3:\d+: clients\[0\]\.claims\.tenant: the claim "tenant" contradicts/,
    ),
  })
  writeFileSync(file, text('acme'))
  expect(await ran('seed', file, '--dry-run')).toContain(
    '2 created, 0 changed, 0 unchanged. This was a dry run',
  )
  await ran('seed', file)
  expect(await ran('seed', file)).toContain('0 created, 0 changed, 2 unchanged')
  writeFileSync(file, text('acme').replaceAll('{tenant: acme}', '{}').replace('a.example', 'b.example'))
  expect(await ran('seed', file, '--dry-run')).toMatch(
    /subject_form: spiffe:\/\/a\.example\/\{client_id\} → spiffe:\/\/b\.example\/\{client_id\}; claims: \{"tenant":"acme"\} → not set/,
  )
  expect(await run('clients', 'create', 'a:b', '--access', 'cloud=', '--claim', 'x=y')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('does not make a SPIFFE ID for a:b'),
  })
})

test.for([
  [
    ['clients', 'create', 'a', '--claim', 'iss=x'],
    '--claim: "iss" is a claim by which others know what a token is',
  ],
  [['clients', 'create', 'a', '--claim', 'tenant'], '--claim: write NAME=VALUE'],
  [['clients', 'create', 'a', '--claim', 'a=1', '--claim', 'a=2'], '--claim: a is named twice'],
  [['clients', 'create', 'a', '--claim', 'a:=[1'], '--claim: a:= needs JSON'],
  [
    ['clients', 'create', 'a', '--claim', 'a:={"b":1}'],
    '--claim: "a" must be text of at most 256 characters',
  ],
  [['clients', 'create', 'a', '--claim', 'a='], '--claim: "a" must be text'],
  [['resources', 'create', 'a', '--external', 'maybe'], '--external'],
  [
    ['resources', 'create', 'a', '--subject-form', 'c:{client_id}'],
    '--subject-form: is for a resource with --external yes',
  ],
  [
    ['resources', 'create', 'a', '--external', 'yes', '--subject-form', 'c'],
    '--subject-form: "c" is not a form of a subject',
  ],
] as const)('%j is refused before the database is opened', async ([given, says]) => {
  expect(await command({}, ...given)).toMatchObject({ code: 2, stderr: expect.stringContaining(says) })
})

test('a claim that is not there cannot be lost', async ({ run }) => {
  await succeeding(run)('resources', 'create', 'urn:x')
  expect(await run('resources', 'update', 'urn:x', '--no-claim', 'tenant')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('--no-claim: there is no claim tenant'),
  })
})
