/** The commands of the development CA: what they say, what they refuse, and that the service serves with the result. */
import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { describe, expect } from 'vitest'
import { command } from '../support/command.ts'
import { test as base } from '../support/fixtures.ts'
import { isAtHand } from '../support/openssl.ts'
import { type Outcome, startServiceProcess } from '../support/process.ts'

const test = base.extend('ca', ({ files }) => {
  const environment = { MINTMARK_DATA_DIR: files.path('data') }
  return (line: string): Promise<Outcome> => command(environment, 'ca', ...line.split(' '))
})

test('from nothing to a revoked certificate, and a table of it all', async ({ ca, files }) => {
  const directory = files.path('data/ca')
  const created = await ca('init')
  expect(created).toMatchObject({ code: 0 })
  expect(created.stdout).toMatch(/^Mintmark development CA [0-9a-f]{8} is created, valid until /)
  expect(created.stderr).toContain('is for development and tests')
  expect(created.stderr).toContain('It can sign for any name.')
  const issued = await ca('issue localhost --dns localhost --ip 127.0.0.1 --server')
  expect(issued).toMatchObject({ code: 0, stderr: '' })
  expect(issued.stdout).toContain('a certificate of a server for localhost, 127.0.0.1, valid until ')
  expect(issued.stdout).toContain(
    `MINTMARK_TLS_PRIVATE_KEY_FILE='${directory}/localhost/tls.key' npm start\n`,
  )
  expect((await ca('issue billing --uri spiffe://example.org/billing --client --days 7')).stdout).toContain(
    "--auth-method tls_client_auth --tls-client-auth-san-uri 'spiffe://example.org/billing' --access",
  )
  expect(await ca('renew billing --new-key')).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^billing is renewed with a new key, valid until .*\.\n$/),
  })
  expect(await ca('renew')).toMatchObject({ stdout: 'No certificate is due. ca.crl was written again.\n' })
  const shown = await ca('show')
  expect(shown.stderr).toBe('')
  expect(shown.stdout.split('\n').map((line) => line.replace(/\d{4}-\S+ \S+/, 'MOMENT'))).toEqual([
    'NAME       STATE  LIFE                  LEFT       EXPIRES               FOR',
    'billing    valid  ████████████████████  7 days     MOMENT  client: spiffe://example.org/billing',
    'localhost  valid  ████████████████████  30 days    MOMENT  server: localhost, 127.0.0.1',
    'ca.crl     valid  ████████████████████  30 days    MOMENT  0 certificates revoked',
    'ca.crt     valid  ████████████████████  3650 days  MOMENT  signs for any name',
    '',
  ])
  expect(await ca('revoke billing')).toMatchObject({
    code: 0,
    stdout: `billing is revoked: 2 certificates.\n${directory}/ca.crl\n`,
  })
  expect((await ca('show')).stdout).toMatch(/^billing +revoked +×{20} +- /m)
  expect((await ca('show billing')).stdout).toMatch(
    /^tls_client_auth_san_uri +spiffe:\/\/example.org\/billing$/m,
  )
  expect(JSON.parse((await ca('show --json')).stdout)).toMatchObject({
    crl: { revoked: 2 },
    certificates: [
      { name: 'billing', state: 'revoked', registration: { tls_client_auth_subject_dn: 'CN=billing' } },
      { name: 'localhost', state: 'valid', files: 'in place' },
    ],
  })
})

test('every command answers in JSON', async ({ ca, files }) => {
  const json = async (line: string): Promise<unknown> => JSON.parse((await ca(`${line} --json`)).stdout)
  expect(await json('init --permit example.org')).toMatchObject({
    status: 'created',
    permitted: ['example.org', 'localhost', '127.0.0.0/8', '::1/128'],
  })
  const fields = { name: 'a', names: ['dns:a.example.org'], uses: ['server', 'client'] }
  expect(await json('issue a --dns a.example.org')).toMatchObject({ ...fields, status: 'issued' })
  expect(await json('renew a --days 3')).toMatchObject({ renewed: [fields] })
  expect(await json('show a')).toMatchObject({ ...fields, 'x5t#S256': expect.stringMatching(/^[\w-]{43}$/) })
  expect(await json('revoke a')).toMatchObject({ revoked: [fields, fields], changed: true })
  expect(await json('revoke a')).toMatchObject({ revoked: [], changed: false })
  expect(readFileSync(files.path('data/ca/a/tls.key'), 'utf8')).toMatch(/^-----BEGIN PRIVATE KEY-----/)
})

describe('a mistake is named, and nothing is made', () => {
  test.for<[line: string, code: number, says: string]>([
    ['issue A --dns localhost', 2, 'NAME: "A" is not a name for a certificate.'],
    ['issue ../a --dns localhost', 2, 'NAME: "../a" is not a name for a certificate.'],
    ['issue ca.key --dns localhost', 2, 'belongs to the CA itself'],
    ['issue a', 2, 'A server needs a name that its callers know. Add --dns'],
    [
      'issue a --dns 127.0.0.1',
      2,
      '--dns: "127.0.0.1" cannot stand in a certificate. It is an address: use --ip.',
    ],
    ['issue a --dns https://a.example', 2, 'use --uri for it. Did you mean a.example?'],
    [
      'issue a --dns bücher.example',
      2,
      'Only ASCII characters can stand in it. Did you mean xn--bcher-kva.example?',
    ],
    ['issue a --ip 10.0.0.0/8', 2, 'It is a network.'],
    ['issue a --uri spiffe://Example.org/a', 2, 'The trust domain of a SPIFFE ID has lower-case letters'],
    ['issue a --uri orders', 2, 'It has no scheme.'],
    ['issue a --email orders', 2, 'Write an e-mail address like orders@example.com.'],
    ['issue a --dns a.example --days 0', 2, '--days: "0" is not a number of days from 1 to 397.'],
    ['issue a --dns a.example --days 398', 2, 'from 1 to 397.'],
    ['issue a --dns a.example --days 30d', 2, '--days: "30d" is not a number of days'],
    ['init --days 4000', 2, 'from 1 to 3650.'],
    ['init --permit *.a.example', 2, '--permit: "*.a.example" is neither a domain nor a network.'],
    ['issue a --dns a.example', 1, 'there is no CA. "bin/mintmark ca init" creates one.'],
    ['renew a', 1, 'there is no CA.'],
    ['renew', 1, 'there is no CA.'],
    ['revoke a', 1, 'there is no CA.'],
    ['show', 1, 'there is no CA.'],
  ])('"%s"', async ([line, code, says], { ca, files }) => {
    const outcome = await ca(line)
    expect(outcome).toMatchObject({ code, stdout: '' })
    expect(outcome.stderr).toMatch(/^mintmark: .*\n$/)
    expect(outcome.stderr).toContain(says)
    expect(existsSync(files.path('data'))).toBe(false)
  })

  test('with a CA', async ({ ca }) => {
    await ca('init --permit example.org --days 20')
    await ca('issue billing --dns billing.example.org --days 20')
    const refused: readonly (readonly [string, number, string])[] = [
      ['init', 1, 'there is already a CA. Nothing was changed.'],
      ['issue billing --dns a.example.org', 1, '"bin/mintmark ca renew billing" renews it.'],
      [
        'issue web --dns example.com',
        1,
        'is not among the names that this CA may sign for: example.org, localhost,',
      ],
      ['issue web --dns example.org --days 21', 1, '--days: the CA expires in 20 days'],
      ['renew biling', 3, 'Did you mean "billing"?'],
      ['revoke biling', 3, 'Did you mean "billing"?'],
      ['show biling', 3, 'Did you mean "billing"?'],
    ]
    for (const [line, code, says] of refused) {
      const outcome = await ca(line)
      expect(outcome, line).toMatchObject({ code, stdout: '', stderr: expect.stringContaining(says) })
    }
  })
})

test.skipIf(!isAtHand('curl'))(
  'the service serves with it, and curl trusts it',
  async ({ ca, files, track }) => {
    const directory = files.path('data/ca')
    await ca('init')
    await ca('issue localhost --dns localhost --ip 127.0.0.1')
    const environment = {
      MINTMARK_DATA_DIR: files.path('data'),
      MINTMARK_TLS_CERTIFICATE_FILE: `${directory}/localhost/tls.crt`,
      MINTMARK_TLS_PRIVATE_KEY_FILE: `${directory}/localhost/tls.key`,
    }
    const service = track(await startServiceProcess(['start'], { environment }))
    await service.until(() => service.output().includes('jwks.json\n'))
    const { port } = new URL(service.url)
    const curl = (...words: readonly string[]) => promisify(execFile)('curl', ['-sS', ...words])
    const jwks = `https://localhost:${port}/.well-known/jwks.json`
    expect(JSON.parse((await curl('--cacert', `${directory}/ca.crt`, jwks)).stdout).keys).toHaveLength(1)
    // What it prints can be pasted.
    const line =
      service
        .output()
        .split('\n')
        .find((each) => /curl .*\/token$/.test(each)) ?? 'false'
    expect(line).toContain(`--cacert '${directory}/ca.crt'`)
    expect(JSON.parse((await promisify(execFile)('/bin/sh', ['-c', line])).stdout)).toMatchObject({
      expires_in: 300,
    })
    await expect(curl(jwks)).rejects.toThrow(/certificate/)
  },
)
