import { writeFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import { expect } from 'vitest'
import { makeKey } from '../support/assertion.ts'
import { commandWithInput, succeeding } from '../support/command.ts'
import { sharedTest } from '../support/fixtures.ts'
import { startService } from '../support/service.ts'

/** A backup is restored, and what was taken away since comes back. */

const test = sharedTest

const tables = [
  'access',
  'client_key_use',
  'client_key',
  'client_secret_use',
  'client_secret',
  'trust_rule',
  'trusted_issuer',
  'blocked_workload',
  'client',
  'resource',
  'signing_key',
  'signing_key_manifest',
]

test('every kind of thing that came back with a restored registry is listed, with the command that takes it away', async ({
  database,
  files,
  run,
}) => {
  const ran = succeeding(run)
  const service = await startService({ database })
  const [orders, old, quoted] = ['https://orders.example.com', 'https://old.example.com', 'urn:x:it%27s']
  await ran(
    'resources',
    'create',
    orders,
    '--scope',
    'read',
    '--scope',
    'write',
    '--scope',
    'x',
    '--token-lifetime',
    '900',
  )
  await ran('resources', 'create', old, '--scope', 'read')
  await ran('resources', 'create', quoted)
  for (const id of ['a', 'b', 'c', 'd']) {
    await ran('clients', 'create', id, '--access', `${orders}=read,write`, '--access', `${quoted}=`)
  }
  await ran('clients', 'secrets', 'add', 'c')
  const key = makeKey('ES256', 'k')
  writeFileSync(files.path('key.json'), JSON.stringify({ ...key.publicJwk, kid: 'k' }))
  await ran('clients', 'keys', 'add', 'c', files.path('key.json'))
  await ran('clients', 'update', 'd', '--assertion-audience', 'token_endpoint')
  // What was so before the backup, and is so after it: nobody's concern.
  await ran('clients', 'create', 'z')
  await ran('clients', 'disable', 'z')

  const bound = ['--auth-method', 'federated_jwt', '--dpop-bound-access-tokens', 'yes']
  await ran('clients', 'create', 'g', ...bound)
  for (const id of ['e', 'f']) await ran('clients', 'create', id, '--tls-client-auth-san-dns', 'a.td')

  await ran('clients', 'update', 'c', '--jwks-uri', 'https://c.example.com/old')

  const idp = (name: string) => `https://${name}.idp.example`
  const trusting = [...['--jwks', files.path('key.json')], ...['--client', 'd']]
  for (const name of ['gone', 'off', 'keys', 'kept'])
    await ran('trust', 'add', name, '--issuer', idp(name), '--equals', `sub=${name}`, ...trusting)
  await ran(
    'trust',
    'add',
    'wide',
    '--issuer',
    idp('kept'),
    '--present',
    'sub',
    '--equals',
    'a=b',
    ...trusting,
  )
  const workload = `workload:${'a'.repeat(43)}`
  await ran('clients', 'update', 'd', '--claim', 'tenant=acme', '--claim', 'old=x')
  await ran(
    'resources',
    'create',
    'cloud',
    '--external',
    'yes',
    '--subject-form',
    'c:{client_id}',
    '--claim',
    'a=b',
  )

  // The backup.
  for (const table of tables) await database.query(`CREATE TABLE backup_${table} AS TABLE ${table}`)

  await ran('clients', 'disable', 'a')
  await ran('clients', 'delete', 'b', '--yes')
  const { secrets } = JSON.parse(await ran('clients', 'secrets', 'list', 'c', '--json'))
  const secretId = secrets[0].secret_id
  await ran('clients', 'secrets', 'revoke', 'c', secretId)
  await ran('clients', 'keys', 'revoke', 'c', 'k')
  await ran('clients', 'update', 'd', '--assertion-audience', 'issuer')
  await ran('clients', 'update', 'd', '--dpop-bound-access-tokens', 'yes')
  await ran('clients', 'update', 'g', '--fapi', 'yes')
  await ran('clients', 'update', 'c', '--jwks-uri', 'https://c.example.com/new')
  await ran('clients', 'update', 'e', '--tls-client-auth-san-dns', 'b.td')
  await ran('clients', 'update', 'e', '--require-certificate', 'tls_client_auth_san_dns=b.td')
  await ran('clients', 'update', 'e', '--tls-client-certificate-bound-access-tokens', 'yes')
  await ran('clients', 'update', 'f', '--no-certificate')
  await ran('clients', 'access', 'remove', 'c', orders, 'write')
  await ran('clients', 'access', 'remove', 'c', quoted)
  await ran('clients', 'update', 'd', '--allow-network', '10.0.0.0/8', '--auth-method', 'client_secret_post')
  await ran('clients', 'update', 'd', '--expires-at', '2090-01-01T00:00:00Z')
  await ran('resources', 'delete', old, '--yes')
  await ran('resources', 'update', orders, '--token-lifetime', '300', '--signing-algorithm', 'EdDSA')
  await ran('resources', 'update', orders, '--remove-scope', 'x')
  const { keys } = JSON.parse(await ran('keys', 'list', '--json'))
  await ran('keys', 'revoke', keys[0].kid, '--yes')
  await ran('trust', 'remove', '--issuer', idp('gone'))
  await ran('trust', 'disable', idp('off'))
  writeFileSync(files.path('other.json'), JSON.stringify(makeKey('ES256', 'k').publicJwk))
  await ran(
    'trust',
    'add',
    'more',
    '--issuer',
    idp('keys'),
    '--equals',
    'sub=more',
    '--client',
    'd',
    '--jwks',
    files.path('other.json'),
  )
  await ran('trust', 'remove', 'kept')
  await ran('trust', 'remove', 'wide')
  await ran('trust', 'add', 'wide', '--issuer', idp('kept'), '--equals', 'sub=narrow', ...trusting)
  await ran('trust', 'block', workload)
  await ran('clients', 'update', 'd', '--claim', 'tenant=other', '--no-claim', 'old')
  await ran('resources', 'update', 'cloud', '--external', 'no', '--no-subject-form', '--no-claim', 'a')
  // Taken away and given back on purpose.
  await ran('clients', 'disable', 'c')
  await ran('clients', 'enable', 'c')
  const file = files.path('ledger.json')
  const listed = await ran('audit', 'list', '--limit', '10000', '--json')
  writeFileSync(file, listed)
  const lines = files.path('ledger.jsonl')
  const followed = (JSON.parse(listed) as object[]).map((each) =>
    JSON.stringify({ ...each, a_new_member: {} }),
  )
  writeFileSync(lines, [JSON.stringify({ chain_begins: 7 }), ...followed].join('\n'))
  expect(await run('audit', 'compare', file)).toMatchObject({ code: 0, stdout: '' })

  // The restore, and the ledger of that time.
  await service.close()
  await database.query(
    `SET session_replication_role = replica; TRUNCATE ${tables.join(', ')} CASCADE;
     ${tables.map((table) => `INSERT INTO ${table} SELECT * FROM backup_${table};`).join('\n')}
     DELETE FROM audit_record r USING audit_record d
      WHERE d.type = 'client' AND d.outcome = 'disabled' AND d.client_id = 'a' AND r.chain >= d.chain;
     SET session_replication_role = origin`,
  )
  const { code, stdout } = await run('audit', 'compare', file, '--json')
  expect(code).toBe(1)
  const found = JSON.parse(stdout).came_back as { kind: string; repair: string }[]
  expect(found.map(({ kind, repair }) => [kind, repair]).toSorted()).toEqual(
    [
      ['client_enabled', 'bin/mintmark clients disable a'],
      ['client_undeleted', 'bin/mintmark clients delete b'],
      ['secret_alive', `bin/mintmark clients secrets revoke c ${secretId}`],
      ['client_key_alive', `bin/mintmark clients keys revoke c ${key.thumbprint}`],
      ['client_audience_widened', 'bin/mintmark clients update d --assertion-audience issuer'],
      ['client_keys_elsewhere', 'bin/mintmark clients update c --jwks-uri https://c.example.com/new'],
      ['client_dpop_unbound', 'bin/mintmark clients update d --dpop-bound-access-tokens yes'],
      ['client_not_fapi', 'bin/mintmark clients update g --fapi yes'],
      ['client_certificate_changed', 'bin/mintmark clients update e --tls-client-auth-san-dns b.td'],
      ['client_certificate_changed', 'bin/mintmark clients update f --no-certificate'],
      [
        'client_certificate_not_required',
        'bin/mintmark clients update e --require-certificate tls_client_auth_san_dns=b.td',
      ],
      [
        'client_tokens_unbound',
        'bin/mintmark clients update e --tls-client-certificate-bound-access-tokens yes',
      ],
      ['access_widened', `bin/mintmark clients access remove c ${orders} write`],
      ['access_back', `bin/mintmark clients access remove c ${quoted}`],
      ['client_networks_widened', 'bin/mintmark clients update d --allow-network 10.0.0.0/8'],
      ['client_method_changed', 'bin/mintmark clients update d --auth-method client_secret_post'],
      ['client_expires_later', 'bin/mintmark clients update d --expires-at 2090-01-01T00:00:00Z'],
      ['resource_undeleted', `bin/mintmark resources delete ${old}`],
      ['resource_lifetime_longer', `bin/mintmark resources update ${orders} --token-lifetime 300`],
      ['resource_scopes_back', `bin/mintmark resources update ${orders} --remove-scope x`],
      ['resource_changed', `bin/mintmark resources update ${orders} --signing-algorithm EdDSA`],
      ['issuer_undeleted', `bin/mintmark trust remove --issuer ${idp('gone')}`],
      ['issuer_enabled', `bin/mintmark trust disable ${idp('off')}`],
      ['issuer_keys_back', `bin/mintmark trust disable ${idp('keys')}`],
      ['rule_undeleted', 'bin/mintmark trust remove kept'],
      ['rule_changed', 'bin/mintmark trust remove wide'],
      ['workload_unblocked', `bin/mintmark trust block ${workload}`],
      ['client_claims_changed', `bin/mintmark clients update d --claim 'tenant:="other"' --no-claim old`],
      ['resource_changed', 'bin/mintmark resources update cloud --external no --no-subject-form'],
      ['resource_changed', 'bin/mintmark resources update cloud --no-subject-form'],
      ['resource_claims_changed', 'bin/mintmark resources update cloud --no-claim a'],
      ['key_unrevoked', `bin/mintmark keys revoke ${keys[0].kid}`],
    ].toSorted(),
  )
  expect((await run('audit', 'compare', lines, '--json')).stdout).toBe(stdout)
  const table = await run('audit', 'compare', file)
  expect(table.stdout).toContain('client a')
  expect(table.stderr).toContain('32 things came back.')

  // The commands do what they say.
  for (const { repair } of found) {
    const asks = /^bin\/mintmark (?:keys revoke|clients delete|resources delete) /.test(repair)
    const words = repair.split(' ').map((word) => word.replaceAll("'", ''))
    await ran(...words.slice(1), ...(asks ? ['--yes'] : []))
  }
  expect(await run('audit', 'compare', file)).toMatchObject({ code: 0, stdout: '' })
  // What is given back on purpose after the restore has not come back.
  await ran('clients', 'enable', 'a')
  expect(await run('audit', 'compare', file)).toMatchObject({ code: 0, stdout: '' })
})

test('a file that is no copy of a ledger is refused in words', async ({ files, run }) => {
  const path = files.path('x.json')
  for (const [text, words] of [
    ['{"a"', 'is not JSON in line 1'],
    ['[\n{"a"\n]', 'is not JSON.'],
    ['{"a":1}\n', 'has no record of the ledger'],
    ['', 'has no record of the ledger'],
    ['{"type":"token","outcome":"issued","time":"2027-01-31T23:59:59Z"}\n', 'there is nothing to compare'],
  ] as const) {
    writeFileSync(path, text)
    const { code, stderr } = await run('audit', 'compare', path)
    expect([code, stderr]).toEqual([1, expect.stringContaining(words)])
  }
  expect((await run('audit', 'compare', files.path('none'))).stderr).toContain('cannot read it')
  writeFileSync(path, gzipSync('{"a":1}\n'))
  expect((await run('audit', 'compare', path)).stderr).toContain(
    'it is compressed with gzip; unpack it first.',
  )
})

test('a copy may come from another program', async ({ database }) => {
  const copy = '{"type":"token","outcome":"issued","time":"2027-01-31T23:59:59Z"}\n'
  const { stderr } = await commandWithInput({ DATABASE_URL: database.url }, copy, 'audit', 'compare', '-')
  expect(stderr).toContain('-: has no change of the registry')
})
