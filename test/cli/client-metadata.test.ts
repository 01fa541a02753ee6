/** The commands about clients that publish a document about themselves. */
import { writeFileSync } from 'node:fs'
import { expect } from 'vitest'
import { metadataWorkloadId } from '../../src/registry/client-metadata-prefix.ts'
import { makeKey } from '../support/assertion.ts'
import { command, succeeding } from '../support/command.ts'
import { test } from '../support/fixtures.ts'
import { fetchingLocally, startKeyServer } from '../support/key-server.ts'

const orders = 'https://orders.example.com'

test('a prefix is added, listed, planned and refused; a document is tried', async ({
  run,
  files,
  database,
  onTestFinished,
}) => {
  const ran = succeeding(run)
  const host = await startKeyServer()
  onTestFinished(() => host.close())
  const [prefix, url] = [`${host.url}/agents/`, `${host.url}/agents/one`]
  const key = makeKey('ES256', 'k1')
  await ran('resources', 'create', orders, '--scope', 'orders:read')
  const add = (name: string, under: string, ...more: string[]) =>
    run('trust', 'add', name, '--client-metadata', under, '--access', `${orders}=orders:read`, ...more)
  expect(await add('partners', prefix, '--owner', 'partners@example.com')).toMatchObject({
    code: 0,
    stdout: `${prefix} is trusted now. The rule partners is created.\n`,
  })
  expect(await ran('trust', 'list')).toMatch(
    /\/agents\/ +active +documents of its clients +partners +sub begins with https:\S+\/agents\/ +any workload .* partners@example\.com$/m,
  )
  for (const [name, under, more, says] of [
    ['open', 'https://agents.example.com', [], 'is not the beginning of addresses'],
    [
      'open',
      'https://a@agents.example.com/',
      [],
      '--client-metadata: "https://a@agents.example.com/" is not the beginning',
    ],
    [
      'open',
      'http://agents.example.com/',
      [],
      '--client-metadata: "http://agents.example.com/" is not the beginning',
    ],
    ['open', 'https://agents.example.com/a/../', [], 'is not the beginning of addresses'],
    ['nested', `${prefix}more/`, [], `overlaps with ${prefix}, which is also trusted`],
    ['around', `${host.url}/`, [], `overlaps with ${prefix}, which is also trusted`],
    ['claims', 'https://agents.example.com/', ['--equals', 'environment=prod'], 'conditions on sub only'],
    [
      'often',
      'https://agents.example.com/',
      ['--assertion-use', 'until_expiry'],
      'accepts an assertion once',
    ],
    ['client', 'https://agents.example.com/', ['--client', 'billing'], 'names no client_id'],
    ['keys', 'https://agents.example.com/', ['--jwks-uri', 'https://a.example/'], 'several sources of keys'],
  ] as const) {
    const refused = await add(name, under, ...more)
    expect({ name, code: refused.code }, refused.stderr).toEqual({ name, code: 1 })
    expect(refused.stderr).toContain(says)
  }

  const tried = (...words: string[]) =>
    command({ DATABASE_URL: database.url, ...fetchingLocally }, 'trust', 'document', ...words)
  const document = {
    client_id: url,
    token_endpoint_auth_method: 'private_key_jwt',
    jwks: { keys: [{ ...key.publicJwk, kid: 'k1' }] },
  }
  host.answer({ '/agents/one': document, '/agents/two': document })
  const found = await tried(url)
  expect(found).toMatchObject({ code: 0 })
  expect(found.stdout).toContain(`  workload  ${metadataWorkloadId(url)}\n`)
  expect(found.stdout).toMatch(new RegExp(`^${key.thumbprint} +ES256 +k1$`, 'm'))
  expect(found.stdout).toMatch(/^partners +yes .*orders:read/m)
  expect(JSON.parse((await tried(`${host.url}/agents/two`, '--json')).stdout)).toMatchObject({
    problem: 'its document has another client_id than its own address',
    keys: [],
  })
  expect(await tried(`${host.url}/agents/two`)).toMatchObject({
    code: 1,
    stdout: expect.stringContaining('Its document gives nothing: its document has another client_id'),
  })
  await ran('trust', 'block', metadataWorkloadId(url))
  expect(await tried(url)).toMatchObject({ code: 1, stdout: expect.stringContaining('which is blocked') })
  expect(await tried(`${url}?a=b`)).toMatchObject({ code: 2 })
  // Private addresses are not reached unless that is allowed.
  const strict = await command({ DATABASE_URL: database.url }, 'trust', 'document', url)
  expect(strict).toMatchObject({
    code: 1,
    stdout: expect.stringContaining('localhost has no public address'),
  })

  const { trust } = JSON.parse(await ran('trust', 'list', '--json'))
  writeFileSync(files.path('trust.json'), JSON.stringify({ trust }))
  expect(await ran('seed', files.path('trust.json'), '--dry-run')).toContain('unchanged')
  trust[0].owner = 'somebody-else@example.com'
  writeFileSync(files.path('trust.json'), JSON.stringify({ trust }))
  expect(await ran('seed', files.path('trust.json'), '--dry-run')).toContain('somebody-else@example.com')
})
