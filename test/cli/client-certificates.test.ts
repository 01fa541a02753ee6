/** Certificates of clients on the command line and in files: what is taken, what is refused, and what is shown. */
import { writeFileSync } from 'node:fs'
import { describe, expect } from 'vitest'
import { succeeding } from '../support/command.ts'
import { sharedTest } from '../support/fixtures.ts'
import { registerResources } from '../support/service.ts'
import { makeCa, makeCertificate } from '../support/x509.ts'

const test = sharedTest.extend('registered', { scope: 'file' }, async ({ database }) => {
  await registerResources(database)
  return true
})

const access = ['--access', 'https://orders.example.com=orders:read']

describe('a client', () => {
  test('is created, shown and changed', async ({ run, registered }) => {
    expect(registered).toBe(true)
    const ok = succeeding(run)
    const uri = 'spiffe://example.org/ledger'
    const method = ['--auth-method', 'tls_client_auth', '--tls-client-auth-san-uri', uri]
    expect(await ok('clients', 'create', 'ledger', ...access, ...method)).toBe(
      'ledger is created. It authenticates with its certificate.\n',
    )
    const show = async () => JSON.parse(await ok('clients', 'show', 'ledger', '--json'))
    expect(await show()).toMatchObject({
      token_endpoint_auth_method: 'tls_client_auth',
      tls_client_auth_san_uri: uri,
      require_certificate: null,
      tls_client_certificate_bound_access_tokens: false,
      secrets: [],
    })
    expect(await ok('clients', 'show', 'ledger')).toMatch(
      /tls_client_auth_san_uri +spiffe:\/\/example\.org\/ledger/,
    )
    // One field takes the place of another.
    const changed = await ok(
      'clients',
      'update',
      'ledger',
      '--tls-client-auth-subject-dn',
      'CN=ledger,O=Example',
    )
    expect(changed).toContain(`tls_client_auth_san_uri: ${uri} → not set`)
    expect(changed).toContain('tls_client_auth_subject_dn: not set → CN=ledger,O=Example')
    const bound = ['--tls-client-certificate-bound-access-tokens', 'yes']
    expect(await ok('clients', 'update', 'ledger', ...bound)).toContain('no → yes')
    expect(await show()).toMatchObject({
      tls_client_auth_subject_dn: 'CN=ledger,O=Example',
      tls_client_certificate_bound_access_tokens: true,
    })
    expect(await show()).not.toHaveProperty('tls_client_auth_san_uri')
    const shown = await ok('audit', 'list', '--client', 'ledger', '--json')
    expect(shown).toContain('tls_client_auth_subject_dn')
  })

  test('brings a certificate in addition to its secret', async ({ run, registered }) => {
    expect(registered).toBe(true)
    const ok = succeeding(run)
    const required = ['--require-certificate', 'tls_client_auth_san_dns=shop.example.com']
    expect(await ok('clients', 'create', 'shop', ...access, ...required)).toContain('Its secret')
    const show = async () => JSON.parse(await ok('clients', 'show', 'shop', '--json'))
    expect((await show()).require_certificate).toEqual({ tls_client_auth_san_dns: 'shop.example.com' })
    expect(await ok('clients', 'update', 'shop', '--no-required-certificate')).toContain(
      'require_certificate: tls_client_auth_san_dns=shop.example.com → not set',
    )
    expect((await show()).require_certificate).toBeNull()
  })

  test('that signs its own certificate is registered with it', async ({ run, registered, files }) => {
    expect(registered).toBe(true)
    const ok = succeeding(run)
    const file = files.path('own.crt')
    const own = makeCertificate(undefined, { subject: 'CN=own' })
    writeFileSync(file, own.pem)
    await ok(
      'clients',
      'create',
      'own',
      ...access,
      '--auth-method',
      'self_signed_tls_client_auth',
      '--key',
      file,
    )
    expect(JSON.parse(await ok('clients', 'keys', 'list', 'own', '--json')).keys).toHaveLength(1)
    // Of a chain, the keys of CAs would be registered as well.
    writeFileSync(file, own.pem + makeCa('CN=CA').pem)
    expect((await run('clients', 'keys', 'add', 'own', file)).code).not.toBe(0)
    writeFileSync(file, own.pem + own.keyPem)
    expect((await run('clients', 'keys', 'add', 'own', file)).stderr).toMatch(/private/)
  })

  test.for([
    [
      ['--auth-method', 'tls_client_auth'],
      /^--auth-method: needs one field of a certificate: --tls-client-auth-subject-dn, /,
    ],
    [
      ['--auth-method', 'tls_client_auth', '--tls-client-auth-san-dns', '*.td'],
      /^--tls-client-auth-san-dns: has a wildcard/,
    ],
    [
      ['--tls-client-auth-san-dns', 'a.td', '--tls-client-auth-san-ip', '10.0.0.1'],
      /^--tls-client-auth-san-ip: is written together with --tls-client-auth-san-dns; .* exactly one field/,
    ],
    [
      ['--auth-method', 'client_secret_basic', '--tls-client-auth-san-dns', 'a.td'],
      /^--tls-client-auth-san-dns: is for clients that authenticate by tls_client_auth, but this one uses client_secret_basic/,
    ],
    [
      ['--auth-method', 'self_signed_tls_client_auth', '--tls-client-auth-san-dns', 'a.td'],
      /^--tls-client-auth-san-dns: is for clients/,
    ],
    [
      ['--tls-client-auth-subject-dn', 'billing'],
      /^--tls-client-auth-subject-dn: is no distinguished name \(RFC 4514\): it has a part without "="/,
    ],
    [['--tls-client-auth-san-uri', 'spiffe://td/a/'], /^--tls-client-auth-san-uri: is no SPIFFE ID/],
    [['--require-certificate', 'dns=a.td'], /^--require-certificate: write FIELD=VALUE/],
    [['--require-certificate', 'tls_client_auth_san_ip=a.td'], /^--require-certificate: is no IP address/],
    [
      ['--tls-client-certificate-bound-access-tokens', 'true'],
      /^--tls-client-certificate-bound-access-tokens: must be yes or no/,
    ],
  ] as const)('is refused: %o', async ([options, expected], { run, registered }) => {
    expect(registered).toBe(true)
    const { code, stderr } = await run('clients', 'create', 'refused', ...access, ...options)
    expect(code).not.toBe(0)
    expect(stderr.replace(/^[^:]*: (?=--)/, '')).toMatch(expected)
  })

  test('keeps what it needs', async ({ run, registered }) => {
    expect(registered).toBe(true)
    const ok = succeeding(run)
    await ok(
      'clients',
      'create',
      'kept',
      ...access,
      '--auth-method',
      'tls_client_auth',
      '--tls-client-auth-san-dns',
      'a.td',
    )
    for (const options of [['--no-certificate'], ['--auth-method', 'client_secret_basic']]) {
      const { code, stderr } = await run('clients', 'update', 'kept', ...options)
      expect(code).not.toBe(0)
      expect(stderr).toMatch(
        /needs one field of a certificate|is for clients that authenticate by tls_client_auth/,
      )
    }
    await ok('clients', 'update', 'kept', '--auth-method', 'any', '--no-certificate')
    expect((await run('clients', 'update', 'kept', '--auth-method', 'tls_client_auth')).stderr).toMatch(
      /needs one field/,
    )
    await ok(
      'clients',
      'update',
      'kept',
      '--auth-method',
      'tls_client_auth',
      '--tls-client-auth-san-email',
      'a@b',
    )
  })
})

describe('a file', () => {
  const seed = (more: string) => `clients:
  - client_id: filed
    access: [{audience: "https://orders.example.com", scopes: [orders:read]}]
${more}`

  test('says the same, and its plan too', async ({ run, registered, files }) => {
    expect(registered).toBe(true)
    const ok = succeeding(run)
    const apply = async (more: string, ...options: string[]) => {
      writeFileSync(files.path('clients.yaml'), seed(more))
      return await ok('seed', files.path('clients.yaml'), ...options)
    }
    const first = `    token_endpoint_auth_method: tls_client_auth
    tls_client_auth_san_dns: filed.example.com
    tls_client_certificate_bound_access_tokens: true
`
    expect(await apply(first)).not.toContain('New secrets')
    expect(await apply(first)).toContain('1 unchanged')
    const second = `    token_endpoint_auth_method: any
    require_certificate: {tls_client_auth_san_ip: "2001:db8::7"}
`
    const plan = await apply(second, '--dry-run')
    for (const change of [
      'tls_client_auth_san_dns: filed.example.com → not set',
      'require_certificate: not set → tls_client_auth_san_ip=2001:db8::7',
      'tls_client_certificate_bound_access_tokens: yes → no',
      'has no secret',
    ]) {
      expect(plan.replaceAll(/\s+/g, ' ')).toContain(change)
    }
    expect(JSON.parse(await ok('clients', 'show', 'filed', '--json'))).toHaveProperty(
      'tls_client_auth_san_dns',
    )
    await apply(second)
    expect(JSON.parse(await ok('clients', 'show', 'filed', '--json'))).toMatchObject({
      require_certificate: { tls_client_auth_san_ip: '2001:db8::7' },
      tls_client_certificate_bound_access_tokens: false,
    })
  })

  test('is refused with the place of each mistake', async ({ run, registered, files }) => {
    expect(registered).toBe(true)
    const mistakes = async (more: string) => {
      writeFileSync(files.path('clients.yaml'), seed(more))
      const { code, stderr } = await run('seed', files.path('clients.yaml'))
      expect(code).not.toBe(0)
      return stderr.replaceAll(files.path('clients.yaml'), 'F')
    }
    expect(await mistakes('    token_endpoint_auth_method: tls_client_auth\n')).toMatch(
      /F:4:33: clients\[0\]\.token_endpoint_auth_method: needs one field/,
    )
    expect(await mistakes('    require_certificate: {}\n')).toMatch(
      /F:4:26: clients\[0\]\.require_certificate: needs one field/,
    )
    expect(await mistakes('    require_certificate: {tls_client_auth_san_dns: "*.td"}\n')).toMatch(
      /F:4:52: clients\[0\]\.require_certificate\.tls_client_auth_san_dns: has a wildcard/,
    )
    expect(await mistakes('    require_certificate: {san_dns: a}\n')).toMatch(/there is no such key/)
    expect(await mistakes('    tls_client_certificate_bound_access_tokens: "yes"\n')).toMatch(
      /must be true or false/,
    )
    expect(
      await mistakes('    tls_client_auth_san_dns: a.td\n    tls_client_auth_san_ip: 10.0.0.1\n'),
    ).toMatch(/F:5:29: .*is written together with tls_client_auth_san_dns/)
  })
})
