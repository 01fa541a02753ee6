/** DATABASE_URL: everything in it has an effect or is refused, and no message repeats a part of the password. */
import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createSecureContext, TLSSocket } from 'node:tls'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { readCommandConfig } from '../../src/config.ts'
import { parseDatabaseUrl } from '../../src/database/address.ts'
import { checkConnection } from '../../src/database/check.ts'
import { DatabaseHosts } from '../../src/database/hosts.ts'
import { certificate, privateKey } from '../support/certificate.ts'

const directory = mkdtempSync(join(tmpdir(), 'mintmark-address-'))
afterAll(() => rmSync(directory, { recursive: true }))
const certificateFile = join(directory, 'root.crt')
writeFileSync(certificateFile, certificate)
const otherKeyFile = join(directory, 'other.key')
const { privateKey: otherKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
writeFileSync(otherKeyFile, otherKey.export({ type: 'pkcs8', format: 'pem' }))

function mistake(url: string): string {
  try {
    new DatabaseHosts(url)
  } catch (error) {
    expect(error).toMatchObject({ name: 'OperatorError' })
    const { message } = error as Error
    expect(message).toMatch(/^DATABASE_URL: [^\n]*[.?]$/)
    return message
  }
  throw new Error('it was not refused')
}

describe('what it says', () => {
  test.each([
    [
      'postgresql://app:s%40cret@db.example.com:6432/tokens',
      {
        host: 'db.example.com',
        port: 6432,
        user: 'app',
        password: 's@cret',
        database: 'tokens',
        schema: 'public',
      },
    ],
    ['postgres://db/m', { host: 'db', port: 5432, user: undefined, password: undefined, tls: false }],
    ['postgres://a:b@/m?host=/run/p', { host: '/run/p', user: 'a', password: 'b', database: 'm' }],
    ['postgres:///m?host=/run/p', { host: '/run/p', database: 'm', place: '/run/p/m' }],
    ['postgres:///m?host=%2Frun%2Fa%20b&sslmode=require', { host: '/run/a b', tls: false }],
    ['postgresql://a@[::1]:5433/m', { host: '::1', port: 5433 }],
    ['postgresql://a:b@db/m%20n?schema=tokens', { database: 'm n', schema: 'tokens', place: 'db/m n' }],
    ['postgresql://db/m?schema=Two%20words', { schema: 'Two words' }],
    [
      'postgresql://db?dbname=m&user=u&password=p%2Bq&port=7',
      { database: 'm', user: 'u', password: 'p+q', port: 7 },
    ],
    ['postgresql://a:p+q@db/m?application_name=a+b', { password: 'p+q', applicationName: 'a+b' }],
    ['postgresql://a:Win@ter@db/m', { host: 'db', password: 'Win@ter', place: 'db/m' }],
    ['postgresql://db/m?options=-c%20role%3Dx', { options: '-c role=x', applicationName: 'mintmark' }],
    ['postgresql://db/m?target_session_attrs=read-write', { host: 'db' }],
  ])('%s', (url, expected) => {
    expect(parseDatabaseUrl(url)).toMatchObject(expected)
  })
})

test.each([
  // Characters of the password that move its end.
  'postgresql://app:Winter@Sales2026/Xy7@host/db',
  'postgresql://app:Winter/Sales2026@host/db',
  'postgresql://app:12/Sales2026@host/db',
  'postgresql://app:12?Sales2026@host/db',
  'postgresql://app:12?Sales2026=@host/db',
  'postgresql://app:12?Sales2026',
  'postgresql://app:12#Sales2026@host/db',
  'postgresql://app:Sales2026#x@host/db',
  'postgresql://app:Sales2026',
  'postgresql://app:Sales2026/db',
  'postgresql://app:Sales:2026@host:x/db',
  // Among several hosts.
  'postgresql://app:Winter/Sales2026@one,two/db',
  'postgresql://app:Winter@one,two/db?target_session_attrs=Sales2026',
  // A % that is none.
  'postgresql://app:Sales2026%@host/db',
  'postgresql://app:Sales2026%zz@host/db',
  'postgresql://app:Sales2026%ff@host/db',
])('no part of the password is repeated: %s', (url) => {
  expect(mistake(url)).not.toMatch(/Sales|2026|Xy7|Winter/)
})

test.each([
  ['postgresql://db:99999/m', /the port must be a whole number from 1 to 65535\.$/],
  ['postgresql://a@::1:5432/m', /an address of IPv6 stands in brackets/],
  ['postgresql://a@2001:db8::7/m', /an address of IPv6 stands in brackets/],
  ['postgresql://a:b%00options@db/m', /contains a zero byte \(%00\)/],
  ['postgresql://db/m?application_name=a%00', /contains a zero byte/],
])('%s is refused', (url, said) => {
  expect(mistake(url)).toMatch(said)
})

test.each([
  'postgresql://app:a#b@host/db',
  'postgresql://app:12/b@host/db',
  'postgresql://app:12?b@host/db',
  'postgresql://app@::1/db',
  'postgresql://db:99999/m',
])('the general check of settings leaves it to this one: %s', (url) => {
  expect(readCommandConfig({ DATABASE_URL: url }).databaseUrl).toBe(url)
  expect(mistake(url)).not.toMatch(/must be a URL like/)
})

test.each([
  ['sslmod=require', /no parameter "sslmod"\. Did you mean "sslmode"\?$/],
  ['shcema=tokens', /Did you mean "schema"\?$/],
  ['zzzzzz=1', /^DATABASE_URL: there is no parameter "zzzzzz"\.$/],
  ['connect_timeout=10', /remove the parameter "connect_timeout"\. Mintmark has time limits/],
  ['connection_limit=5', /follows from WORKERS/],
  ['pgbouncer=true', /remove the parameter "pgbouncer"\. A pooler is found out/],
  ['service=tokens', /Service files are not read/],
  [
    `sslmode=verify-full&sslcert=${certificateFile}&sslkey=${otherKeyFile}`,
    /sslrootcert, sslcert, sslkey and sslpassword cannot be used together \(/,
  ],
  ['ssl=true', /sslmode=verify-full/],
  ['schema=a&schema=b', /"schema" is given twice/],
  ['schema=', /schema must be/],
  ['schema=pg_catalog', /schema must be/],
  ['schema=%24user', /schema must be .* not "\$user"/],
  ['schema=a%22b', /schema must be/],
  ['target_session_attrs=standby', /must be read-write, primary or any/],
  ['channel_binding=require', /cannot be enforced/],
  ['sslmode=prefer', /may or may not use TLS/],
  ['sslmode=allow', /may or may not use TLS/],
  ['sslmode=on', /sslmode must be one of disable, require, verify-ca, verify-full\./],
  ['sslmode=no-verify', /is called sslmode=require/],
  ['sslmode=verify-ca', /needs sslrootcert/],
  ['sslmode=require&sslrootcert=system', /needs sslmode=verify-full/],
  [`sslrootcert=${certificateFile}`, /need sslmode=verify-full/],
  [
    'sslmode=verify-full&sslrootcert=/no/such.crt',
    /sslrootcert: cannot read the file "\/no\/such\.crt": there is no such file\./,
  ],
  ['sslmode=verify-full&sslrootcert=/dev/null', /is not what it must be, in PEM/],
  ['sslmode=verify-full&sslcert=/no/such.crt', /sslcert: cannot read/],
  [`sslmode=verify-full&sslcert=${certificateFile}`, /belong together/],
  ['port=0', /the port must be/],
  ['host=a,b,c&port=1,2', /"port" must have one number, or one for each host/],
  ['host=a,b&target_session_attrs=standby', /must be read-write, primary or any/],
  ['host=a,b&host=c', /"host" is given twice/],
  ['host=a,', /names no host/],
])('?%s is refused', (query, said) => {
  expect(mistake(`postgresql://a:b@db/m?${query}`)).toMatch(said)
})

test('several hosts are all named, and share the rest', () => {
  const hosts = new DatabaseHosts(
    'postgresql://a:b@one:5433,[::1]/m?schema=tokens&target_session_attrs=primary',
  )
  expect(hosts.place).toBe('one:5433/m or ::1/m')
  expect(hosts.first).toMatchObject({ host: 'one', port: 5433, password: 'b', schema: 'tokens' })
  expect(hosts.isFixed).toBe(false)
  expect(new DatabaseHosts('postgresql://a:b@one/m').isFixed).toBe(true)
})

/** What happens to a connection to a server with a certificate for another name that nobody trusts. */
describe('sslmode', () => {
  async function said(query: string): Promise<string> {
    const server = createServer((socket) => {
      socket
        .on('error', () => {})
        .once('data', () => {
          socket.write('S')
          const secure = new TLSSocket(socket, {
            isServer: true,
            secureContext: createSecureContext({ cert: certificate, key: privateKey }),
          })
          secure
            .on('error', () => {})
            .once('data', () => {
              const fields = Buffer.from('SFATAL\0C28P01\0Mit was trusted\0\0')
              const length = Buffer.alloc(4)
              length.writeInt32BE(fields.length + 4)
              secure.end(Buffer.concat([Buffer.from('E'), length, fields]))
            })
        })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const warnings: string[] = []
    const onWarning = ({ message }: Error): void => {
      // A warning of Node that the test below asks for.
      if (!message.includes('NODE_TLS_REJECT_UNAUTHORIZED')) warnings.push(message)
    }
    process.on('warning', onWarning)
    try {
      const { port } = server.address() as AddressInfo
      return await checkConnection(`postgresql://a:b@127.0.0.1:${port}/m?${query}`).then(
        () => 'connected',
        (error: Error) => error.message,
      )
    } finally {
      process.off('warning', onWarning)
      server.close()
      expect(warnings).toEqual([])
    }
  }

  test.each([
    ['require: any certificate', 'sslmode=require', /it was trusted/],
    [
      'verify-full: not one that nobody signed',
      'sslmode=verify-full',
      /self-signed certificate. Set sslrootcert/,
    ],
    [
      'verify-ca: signed by the authority, whatever its name',
      `sslmode=verify-ca&sslrootcert=${certificateFile}`,
      /it was trusted/,
    ],
    [
      'require with an authority is verify-ca',
      `sslmode=require&sslrootcert=${certificateFile}`,
      /it was trusted/,
    ],
    [
      'verify-full: not one of another name',
      `sslmode=verify-full&sslrootcert=${certificateFile}`,
      /does not match certificate|IP: 127\.0\.0\.1 is not in/,
    ],
  ])('%s', async (_title, query, expected) => {
    expect(await said(query)).toMatch(expected)
  })

  test('an environment that makes Node trust anybody changes nothing', async () => {
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0')
    try {
      expect(await said('sslmode=verify-full')).toMatch(/self-signed certificate/)
      const authority = await said(`sslmode=verify-full&sslrootcert=${certificateFile}`)
      expect(authority).toMatch(/does not match certificate|IP: 127\.0\.0\.1 is not in/)
    } finally {
      vi.unstubAllEnvs()
    }
  })

  test('require says that it checks nothing', () => {
    expect(parseDatabaseUrl('postgresql://db/m?sslmode=require').warnings).toEqual([
      expect.stringMatching(/does not check .* sslmode=verify-full/),
    ])
    expect(parseDatabaseUrl('postgresql://db/m?sslmode=verify-full').warnings).toEqual([])
  })
})
