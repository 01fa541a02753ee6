/**
 * Every setting means what it says, or stops the start with one line that names it. No secret is ever in it.
 *
 * Long because it is a table of all settings with right and wrong values.
 */
import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, hostname, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { type Config, readCommandConfig, readConfig, readServiceConfig } from '../src/config.ts'
import { OperatorError } from '../src/errors.ts'
import { settingNames } from '../src/settings.ts'
import { certificate, privateKey, rsaCertificate, rsaPrivateKey } from './support/certificate.ts'
import { makeCertificate } from './support/x509.ts'

const directory = mkdtempSync(join(tmpdir(), 'mintmark-config-'))
afterAll(() => rmSync(directory, { recursive: true }))

let files = 0
function fileOf(content: string, encoding: BufferEncoding = 'utf8'): string {
  files += 1
  const path = join(directory, `setting-${files}`)
  writeFileSync(path, content, encoding)
  return path
}

/** A key of the same kind that belongs to no certificate here. */
const strangersKey = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg5Fgy4gZiKsiNZidv
Nl9wlERufBhLfoRD+c4UvjZ2t7ChRANCAASK7SG55Xmg+vBlrbv0aO/BTdf44ijh
7iJ8vYFeG8XclSnq4JCqPllBe4KPph5lkNJf5AZ9Sw4Y292FoQZkoinN
-----END PRIVATE KEY-----`
const tls = { MINTMARK_TLS_CERTIFICATE: certificate, MINTMARK_TLS_PRIVATE_KEY: privateKey }
const severalHosts = 'postgresql://a:b@one:5432,two/m?target_session_attrs=primary'
const key = Buffer.from(Array.from({ length: 32 }, (_, index) => 255 - index))

type Environment = Readonly<Record<string, string>>

/** The message that stops the start. Anything but an OperatorError of one line is a fault of its own. */
function refusalOf(environment: Environment): string {
  try {
    readConfig(environment)
  } catch (error) {
    expect(error).toBeInstanceOf(OperatorError)
    const { message } = error as OperatorError
    expect(message).not.toMatch(/[\r\n]/)
    return message
  }
  throw new Error('nothing was refused')
}

describe('defaults', () => {
  test('without any setting it listens on loopback, over plain HTTP, with a database of its own', () => {
    const { argon2ParallelMax, ...config } = readConfig({})
    expect(config).toEqual({
      host: '127.0.0.1',
      port: 8080,
      workers: 1,
      databaseUrl: undefined,
      dataDirectory: resolve('data'),
      issuer: 'http://127.0.0.1:8080',
      keyEncryptionKey: undefined,
      tls: undefined,
      speaksTls: false,
      clientTrust: undefined,
      requiresClientCertificate: false,
      mtls: undefined,
      trustedProxies: [],
      fetchPrivateNetworks: [],
      fetchCertificateAuthorities: undefined,
      registryClientsMax: 100_000,
      failuresPerClientMax: 30,
      failuresPerAddressMax: 100,
      keyEncryptionKeyPrevious: undefined,
      sealedRegistry: false,
      dpopNonces: false,
      schedule: {
        keyLifetimeSeconds: 7_776_000,
        tokenLifetimeSecondsMax: 86_400,
        jwksMaxAgeSeconds: 300,
        verifierCooldownSeconds: 60,
        clockSkewSeconds: 60,
      },
      signingAlgorithms: ['ES256'],
      logLevel: 'info',
    })
    expect(argon2ParallelMax).toBeGreaterThanOrEqual(1)
    expect(argon2ParallelMax).toBeLessThanOrEqual(4)
  })

  test('an empty variable is a variable that is not set, and so is its file', () => {
    const empty = settingNames.flatMap((name) => [
      [name, ''],
      [`${name}_FILE`, ''],
    ])
    expect(readConfig(Object.fromEntries(empty))).toEqual(readConfig({}))
  })

  test('what is not ours is not looked at', () => {
    expect(readConfig({ PATH: '/bin', MINT: 'x', mintmark_port: '1', NODE_ENV: 'production' })).toEqual(
      readConfig({}),
    )
  })

  // What the kubelet gives to every container beside Services "mintmark", "mintmark-db" and "mintmark-mtls", over IPv4 and IPv6.
  test.each(['MINTMARK', 'MINTMARK_DB', 'MINTMARK_MTLS'])(
    'the variables that Kubernetes sets for a Service %s pass',
    (service) => {
      for (const [address, inUrl] of [
        ['10.96.0.7', '10.96.0.7'],
        ['fd00::7', '[fd00::7]'],
      ] as const) {
        const links: Record<string, string> = {
          [`${service}_SERVICE_HOST`]: address,
          [`${service}_SERVICE_PORT`]: '8080',
          [`${service}_SERVICE_PORT_HTTP`]: '8080',
          [`${service}_SERVICE_PORT_GRPC_WEB_2`]: '8081',
          [`${service}_PORT`]: `tcp://${inUrl}:8080`,
        }
        for (const transport of ['TCP', 'UDP', 'SCTP']) {
          const link = `${service}_PORT_8080_${transport}`
          links[link] = `${transport.toLowerCase()}://${inUrl}:8080`
          links[`${link}_PROTO`] = transport.toLowerCase()
          links[`${link}_PORT`] = '8080'
          links[`${link}_ADDR`] = address
        }
        expect(readConfig(links)).toEqual(readConfig({}))
      }
    },
  )

  test('the variables of a container that Docker links pass', () => {
    const links = {
      MINTMARK_DB_PORT: 'tcp://172.17.0.5:5432',
      MINTMARK_DB_PORT_5432_TCP_ADDR: '172.17.0.5',
      MINTMARK_DB_NAME: '/tokens_1/mintmark-db',
      MINTMARK_DB_ENV_PG_MAJOR: '17',
    }
    expect(readConfig(links)).toEqual(readConfig({}))
  })

  test('nobody can change what was read', () => {
    expect(Object.isFrozen(readConfig({}))).toBe(true)
  })
})

type Accepted = [name: string, text: string, expected: Partial<Config>, others?: Environment]

function scheduleWith(changed: Partial<Config['schedule']>): Config['schedule'] {
  return { ...readConfig({}).schedule, ...changed }
}

/** A key a minute, as in a drill. */
const short = {
  MINTMARK_TOKEN_LIFETIME_SECONDS_MAX: '9',
  MINTMARK_JWKS_MAX_AGE_SECONDS: '15',
  MINTMARK_VERIFIER_COOLDOWN_SECONDS: '4',
  MINTMARK_CLOCK_SKEW_SECONDS: '1',
}
const shortest = {
  keyLifetimeSeconds: 60,
  tokenLifetimeSecondsMax: 9,
  jwksMaxAgeSeconds: 15,
  verifierCooldownSeconds: 4,
  clockSkewSeconds: 1,
}

const loopbackName = { MINTMARK_ISSUER: 'https://tokens.example.com' }

describe('what is accepted', () => {
  test.each<Accepted>([
    ['HOST', 'localhost', { host: 'localhost', issuer: 'http://localhost:8080' }],
    ['HOST', '127.9.9.9', { host: '127.9.9.9', issuer: 'http://127.9.9.9:8080' }],
    ['HOST', '::1', { host: '::1', issuer: 'http://[::1]:8080' }],
    ['HOST', '0:0:0:0:0:0:0:1', { issuer: 'http://[::1]:8080' }],
    ['HOST', '0.0.0.0', { host: '0.0.0.0' }, { ...tls, ...loopbackName }],
    ['HOST', '::', { host: '::' }, { ...tls, ...loopbackName }],
    ['HOST', 'fe80::1%eth0', { host: 'fe80::1%eth0' }, { ...tls, ...loopbackName }],
    ['PORT', '1', { port: 1, issuer: 'http://127.0.0.1:1' }],
    ['PORT', '80', { port: 80, issuer: 'http://127.0.0.1' }],
    ['PORT', '65535', { port: 65_535 }],
    ['PORT', '443', { port: 443, issuer: 'https://127.0.0.1' }, tls],
    ['WORKERS', '1', { workers: 1 }],
    ['WORKERS', '64', { workers: 64 }],
    ['DATABASE_URL', 'postgresql://a:b@db:5432/m', { databaseUrl: 'postgresql://a:b@db:5432/m' }],
    ['DATABASE_URL', 'postgres:///m?host=/run/p', { databaseUrl: 'postgres:///m?host=/run/p' }],
    ['DATABASE_URL', 'postgres://a:b@/m?host=/run/p', { databaseUrl: 'postgres://a:b@/m?host=/run/p' }],
    ['DATABASE_URL', severalHosts, { databaseUrl: severalHosts }],
    ['MINTMARK_DATA_DIR', '/var/lib/mintmark', { dataDirectory: '/var/lib/mintmark' }],
    ['MINTMARK_DATA_DIR', 'here', { dataDirectory: resolve('here') }],
    ['MINTMARK_KEY_ENCRYPTION_KEY', key.toString('base64'), { keyEncryptionKey: key }],
    ['MINTMARK_KEY_ENCRYPTION_KEY', key.toString('base64').slice(0, 43), { keyEncryptionKey: key }],
    ['MINTMARK_KEY_ENCRYPTION_KEY', key.toString('base64url'), { keyEncryptionKey: key }],
    ['MINTMARK_KEY_ENCRYPTION_KEY', key.toString('hex'), { keyEncryptionKey: key }],
    ['MINTMARK_KEY_ENCRYPTION_KEY', key.toString('hex').toUpperCase(), { keyEncryptionKey: key }],
    ['MINTMARK_KEY_ENCRYPTION_KEY_PREVIOUS', key.toString('base64'), { keyEncryptionKeyPrevious: key }],
    ['MINTMARK_KEY_LIFETIME_SECONDS', '518760', { schedule: scheduleWith({ keyLifetimeSeconds: 518_760 }) }],
    ['MINTMARK_KEY_LIFETIME_SECONDS', '60', { schedule: shortest }, short],
    ['MINTMARK_TOKEN_LIFETIME_SECONDS_MAX', '1', { schedule: scheduleWith({ tokenLifetimeSecondsMax: 1 }) }],
    ['MINTMARK_JWKS_MAX_AGE_SECONDS', '0', { schedule: scheduleWith({ jwksMaxAgeSeconds: 0 }) }],
    ['MINTMARK_JWKS_MAX_AGE_SECONDS', '86400', { schedule: scheduleWith({ jwksMaxAgeSeconds: 86_400 }) }],
    ['MINTMARK_VERIFIER_COOLDOWN_SECONDS', '0', { schedule: scheduleWith({ verifierCooldownSeconds: 0 }) }],
    ['MINTMARK_CLOCK_SKEW_SECONDS', '3600', { schedule: scheduleWith({ clockSkewSeconds: 3_600 }) }],
    ['MINTMARK_SIGNING_ALGORITHMS', 'EdDSA', { signingAlgorithms: ['EdDSA'] }],
    ['MINTMARK_SIGNING_ALGORITHMS', 'RS256, ES256,RS256', { signingAlgorithms: ['RS256', 'ES256'] }],
    [
      'MINTMARK_TLS_CERTIFICATE',
      certificate,
      { tls: { certificate, privateKey }, speaksTls: true, issuer: 'https://127.0.0.1:8080' },
      { MINTMARK_TLS_PRIVATE_KEY: privateKey },
    ],
    [
      'MINTMARK_DANGEROUSLY_SERVE_PLAIN_HTTP',
      'yes',
      { host: '0.0.0.0' },
      { HOST: '0.0.0.0', ...loopbackName },
    ],
    ['MINTMARK_DANGEROUSLY_SERVE_PLAIN_HTTP', 'no', { tls: undefined }],
    ['MINTMARK_DANGEROUSLY_TRUST_SECRET_FILES', 'yes', {}],
    ['MINTMARK_DANGEROUSLY_TRUST_SECRET_FILES', 'no', {}],
    ['MINTMARK_TRUSTED_PROXIES', '10.0.0.0/8', { trustedProxies: ['10.0.0.0/8'] }],
    [
      'MINTMARK_TRUSTED_PROXIES',
      '10.0.0.1, 2001:db8::/32',
      { trustedProxies: ['10.0.0.1', '2001:db8::/32'] },
    ],
    [
      'MINTMARK_FETCH_PRIVATE_NETWORKS',
      '10.0.0.0/8,fd00::/8',
      { fetchPrivateNetworks: ['10.0.0.0/8', 'fd00::/8'] },
    ],
    ['MINTMARK_FETCH_CERTIFICATE_AUTHORITIES', certificate, { fetchCertificateAuthorities: certificate }],
    ['MINTMARK_REGISTRY_CLIENTS_MAX', '10', { registryClientsMax: 10 }],
    ['MINTMARK_REGISTRY_CLIENTS_MAX', '10000000', { registryClientsMax: 10_000_000 }],
    ['MINTMARK_ARGON2_PARALLEL_MAX', '1', { argon2ParallelMax: 1 }],
    ['MINTMARK_ARGON2_PARALLEL_MAX', '64', { argon2ParallelMax: 64 }],
    ['MINTMARK_FAILURES_PER_CLIENT_MAX', '1', { failuresPerClientMax: 1 }],
    ['MINTMARK_FAILURES_PER_CLIENT_MAX', '1000000', { failuresPerClientMax: 1_000_000 }],
    ['MINTMARK_FAILURES_PER_ADDRESS_MAX', '1', { failuresPerAddressMax: 1 }],
    ['MINTMARK_FAILURES_PER_ADDRESS_MAX', '1000000', { failuresPerAddressMax: 1_000_000 }],
    ['MINTMARK_LOG_LEVEL', 'trace', { logLevel: 'trace' }],
    ['MINTMARK_LOG_LEVEL', 'silent', { logLevel: 'silent' }],
  ])('%s=%j', (name, text, expected, others) => {
    expect(readConfig({ ...others, [name]: text })).toMatchObject(expected)
    // The same from a file, with the line break that editors and `echo` leave.
    expect(readConfig({ ...others, [`${name}_FILE`]: fileOf(`${text}\n`) })).toMatchObject(expected)
  })
})

describe('what bounds all workers together is shared out among them', () => {
  const shares = (environment: Environment) => {
    const { argon2ParallelMax, failuresPerClientMax, failuresPerAddressMax } = readConfig(environment)
    return { argon2ParallelMax, failuresPerClientMax, failuresPerAddressMax }
  }
  const bounds = {
    MINTMARK_ARGON2_PARALLEL_MAX: '6',
    MINTMARK_FAILURES_PER_CLIENT_MAX: '30',
    MINTMARK_FAILURES_PER_ADDRESS_MAX: '100',
  }

  test.each([
    ['1', { argon2ParallelMax: 6, failuresPerClientMax: 30, failuresPerAddressMax: 100 }],
    // Fewer verifications rather than more, or none of a machine's cores is left for tokens.
    ['4', { argon2ParallelMax: 1, failuresPerClientMax: 8, failuresPerAddressMax: 25 }],
    ['64', { argon2ParallelMax: 1, failuresPerClientMax: 1, failuresPerAddressMax: 2 }],
  ])('among %s', (WORKERS, expected) => {
    expect(shares({ ...bounds, WORKERS })).toEqual(expected)
  })

  test('by default too', () => {
    expect(shares({ WORKERS: '2' })).toMatchObject({ failuresPerClientMax: 15, failuresPerAddressMax: 50 })
    const cores = availableParallelism()
    expect(readConfig({ WORKERS: String(cores) }).argon2ParallelMax).toBe(1)
  })
})

const absurd: Readonly<Record<string, readonly string[]>> = {
  HOST: [
    'a'.repeat(254),
    'localhost:8080',
    '127.0.0.1:8080',
    '::g',
    ' ',
    '127.0.0.1 ',
    'a b',
    'http://localhost',
    'host/path',
    '[::1]',
    'a\nb',
    'localhost\n',
    'ü',
    '*',
  ],
  PORT: ['0', '65536', '-1', '+1', '8080.5', '8e3', '0x50', ' 80', '80\n', 'http', '１２', '9'.repeat(400)],
  WORKERS: ['0', '65', '-1', '1.5', 'two', 'auto'],
  DATABASE_URL: [
    'db',
    'localhost:5432',
    'mysql://a@b/c',
    'http://a/b',
    'postgresql:',
    'postgresql://',
    'postgresql:///m',
    'postgresql:///m?host=',
    'file:data',
    ' ',
    'postgresql://db/m\r',
    ' postgresql://db/m',
    '"postgresql://db/m"',
  ],
  MINTMARK_DATA_DIR: [
    ' ',
    'data ',
    'data\r',
    '"data"',
    "'data'",
    '~/data',
    '$HOME/data',
    '/srv/$(hostname)',
    'data # note',
    'da\u200bta',
  ],
  MINTMARK_ISSUER: [
    'https://tokens.example.com,',
    'tokens.example.com',
    'ftp://tokens.example.com',
    'https://tokens.example.com/',
    'https://tokens.example.com/a/',
    'https://tokens.example.com?a',
    'https://tokens.example.com/#a',
    'https://tokens.example.com#',
    'https://Tokens.example.com',
    'HTTPS://tokens.example.com',
    'https://tokens.example.com:443',
    'https://tokens.example.com:99999',
    'https://tokens.example.com/a/../b',
    'https://user@tokens.example.com',
    'https://user:word@tokens.example.com',
    'https://tokens.example.com/a b',
    'https://tokens.example.com/"',
    'https://tökens.example.com',
    'https://127.1',
    ' https://tokens.example.com',
    'https://tokens.example.com\n',
    'https://',
    'urn:mintmark',
    'http://tokens.example.com',
    'http://10.0.0.1',
  ],
  MINTMARK_KEY_ENCRYPTION_KEY: [
    'short',
    key.toString('base64').slice(0, 42),
    `${key.toString('base64')}=`,
    `${key.toString('base64')}AAAA`,
    key.toString('hex').slice(1),
    `${key.toString('hex').slice(1)}g`,
    `${key.toString('base64').slice(0, 42)}!`,
    ` ${key.toString('base64')}`,
    '0'.repeat(32),
  ],
  MINTMARK_KEY_ENCRYPTION_KEY_PREVIOUS: ['short', `${key.toString('base64')}=`, key.toString('hex').slice(1)],
  // The last one makes sense by itself and does not fit to the others.
  MINTMARK_KEY_LIFETIME_SECONDS: ['0', '5', '-1', '90d', '1e6', '9999999999', '518759'],
  MINTMARK_TOKEN_LIFETIME_SECONDS_MAX: ['0', '86401', '1.5', '5m'],
  MINTMARK_JWKS_MAX_AGE_SECONDS: ['-1', '86401', 'never'],
  MINTMARK_VERIFIER_COOLDOWN_SECONDS: ['-1', '86401', '30s'],
  MINTMARK_CLOCK_SKEW_SECONDS: ['-1', '3601', '1m'],
  MINTMARK_SIGNING_ALGORITHMS: ['none', 'HS256', 'es256', 'ES256,', ',', 'ES256 EdDSA', 'ES256,none'],
  MINTMARK_TLS_CERTIFICATE: ['/etc/tls.crt', privateKey, '-----BEGIN CERTIFICATE-----\nAAAA'],
  MINTMARK_TLS_PRIVATE_KEY: [
    '/etc/tls.key',
    certificate,
    '-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA',
    '-----BEGIN PRIVATE KEY-----\nAAAA',
    strangersKey,
    rsaPrivateKey,
  ],
  MINTMARK_TLS_CLIENT_CA: ['/etc/ca.crt', 'None', privateKey],
  MINTMARK_TLS_CLIENT_CRL: ['/etc/ca.crl', certificate],
  MINTMARK_REQUIRE_CLIENT_CERTIFICATE: ['true', '1', 'YES', ' yes', 'yes'],
  MINTMARK_CLIENT_CERTIFICATE_HEADER: ['yes', 'Client-Cert', 'RFC9440', 'rfc9440'],
  MINTMARK_CLIENT_CERTIFICATE_PROXY: [
    '10.0.0.1',
    'sha256:00',
    `sha256:${'0'.repeat(63)}g`,
    '0'.repeat(64),
    'ip:10.0.0.1',
    'dns:',
    'dns:a b',
    'dns:a,,dns:b',
    'dns:front.example.com',
  ],
  MINTMARK_MTLS_PORT: ['0', '65536', 'eighty', '8443'],
  MINTMARK_MTLS_URL: [
    'mtls.example.com',
    'http://a.example.com',
    'https://a.example.com/',
    'https://a.example.com',
  ],
  MINTMARK_PROXY_SOCKET: [
    'proxy.sock',
    '@proxy',
    '/',
    '/run/mintmark/',
    '/run/a b',
    `/${'a'.repeat(103)}`,
    '/a\n',
  ],
  MINTMARK_SEALED_REGISTRY: ['true', '1', 'YES', ' yes', 'yes\n'],
  MINTMARK_DPOP_NONCES: ['true', '1', 'required', ' yes'],
  MINTMARK_DANGEROUSLY_SERVE_PLAIN_HTTP: ['true', '1', 'YES', 'on', ' yes'],
  MINTMARK_DANGEROUSLY_TRUST_SECRET_FILES: ['true', '1', 'YES', 'on', ' yes'],
  MINTMARK_TRUSTED_PROXIES: [
    'yes',
    'true',
    '1',
    'loopback',
    '10.0.0.0/33',
    '10.0.0.1/8',
    '10.0.0.1,',
    ',',
    '10.0.0.1 10.0.0.2',
    'proxy.example.com',
    '0.0.0.0/0',
    '::/0',
    '10.0.0.1,::/0',
    '::ffff:0.0.0.0/96',
  ],
  MINTMARK_FETCH_PRIVATE_NETWORKS: ['10.0.0.1/8', 'cluster', '10.0.0.0/33'],
  MINTMARK_FETCH_CERTIFICATE_AUTHORITIES: ['ca.pem', '-----BEGIN CERTIFICATE-----\nx'],
  MINTMARK_REGISTRY_CLIENTS_MAX: ['0', '9', '10000001', '-1', 'many', '1e6', '100_000'],
  MINTMARK_ARGON2_PARALLEL_MAX: ['0', '65', '1.5', 'auto'],
  MINTMARK_FAILURES_PER_CLIENT_MAX: ['0', '1000001', '-1', 'none'],
  MINTMARK_FAILURES_PER_ADDRESS_MAX: ['0', '1000001', '-1', 'none'],
  MINTMARK_LOG_LEVEL: ['INFO', 'verbose', 'fatal', '30', 'info '],
}

describe('what makes no sense stops the start', () => {
  test('nothing is without a refusal of its own', () => {
    expect(Object.keys(absurd).sort()).toEqual([...settingNames].sort())
  })

  const rows = Object.entries(absurd).flatMap(([name, texts]) => texts.map((text) => [name, text] as const))
  test.each(rows)('%s=%j', (name, text) => {
    const message = refusalOf({ ...tls, [name]: text })
    expect(message.startsWith(`${name}: `)).toBe(true)
    expect(message.endsWith('.')).toBe(true)
    expect(message.length).toBeLessThan(300)
  })

  test('the message says what it was, cut short', () => {
    expect(refusalOf({ PORT: 'eighty' })).toBe(
      'PORT: must be a whole number from 1 to 65535; it is "eighty".',
    )
    expect(refusalOf({ PORT: '9'.repeat(400) })).toContain(`it is "${'9'.repeat(80)}"`)
  })

  test.each<Environment>([
    { MINTMARK_KEY_ENCRYPTION_KEY: `"${key.toString('base64')}"` },
    { MINTMARK_KEY_ENCRYPTION_KEY: `${key.toString('base64')} ` },
    { MINTMARK_KEY_ENCRYPTION_KEY: `${key.toString('base64')}\r` },
    { MINTMARK_KEY_ENCRYPTION_KEY_FILE: '/absent/key\r' },
    { MINTMARK_TLS_CERTIFICATE_FILE: '"/absent/tls.crt"' },
  ])('what stands around a value is told, also where the value is not: %o', (environment) => {
    expect(refusalOf(environment)).toMatch(/Remove the (?:quotes|space or line end)|has a carriage return/)
  })

  test.each([
    ['a certificate in DER', new X509Certificate(certificate).raw, 'CERTIFICATE'],
    ['a key in DER', createPrivateKey(privateKey).export({ type: 'pkcs8', format: 'der' }), 'PRIVATE_KEY'],
  ])('%s is told', (_title, content, name) => {
    const file = fileOf(content.toString('latin1'), 'latin1')
    chmodSync(file, 0o600)
    expect(refusalOf({ [`MINTMARK_TLS_${name}_FILE`]: file })).toMatch(
      new RegExp(`^MINTMARK_TLS_${name}_FILE: .* is binary \\(DER or PKCS#12\\), and must be PEM\\.`),
    )
  })

  test('a key with a passphrase is told, in both forms', () => {
    const secured = { format: 'pem', cipher: 'aes-128-cbc', passphrase: 'x' } as const
    for (const type of ['pkcs8', 'sec1'] as const) {
      const text = createPrivateKey(privateKey).export({ type, ...secured }) as string
      expect(refusalOf({ ...tls, MINTMARK_TLS_PRIVATE_KEY: text })).toMatch(
        /^MINTMARK_TLS_PRIVATE_KEY: must be an unencrypted private key/,
      )
    }
  })

  test('a chain that begins with the CA is told what it should begin with', () => {
    expect(refusalOf({ ...tls, MINTMARK_TLS_CERTIFICATE: `${rsaCertificate}\n${certificate}` })).toMatch(
      /is not the key of the certificate\. In the file .* is the first one/,
    )
    const ca = makeCertificate(undefined, { subject: 'CN=CA', isCa: true })
    expect(refusalOf({ ...tls, MINTMARK_TLS_CERTIFICATE: `${ca.pem}\n${certificate}` })).toMatch(
      /is not the key of the certificate\. In the file .* is the first one/,
    )
  })

  test('a key on a curve that no connection uses is told', () => {
    const { privateKey: odd, publicKey } = generateKeyPairSync('ec', { namedCurve: 'secp256k1' })
    const keyOf = { ...makeCertificate(undefined), privateKey: odd, publicKey }
    const { pem, keyPem } = makeCertificate(undefined, { keyOf })
    expect(refusalOf({ ...tls, MINTMARK_TLS_CERTIFICATE: pem, MINTMARK_TLS_PRIVATE_KEY: keyPem })).toMatch(
      /^MINTMARK_TLS_PRIVATE_KEY: TLS cannot use it: its curve is secp256k1\. Use P-256/,
    )
  })

  test('a file in UTF-16 is told', () => {
    const file = fileOf('\ufeff8080', 'utf16le')
    expect(refusalOf({ PORT_FILE: file })).toMatch(/^PORT_FILE: .* is not UTF-8 text\. Save it as UTF-8\.$/)
  })

  test.each([
    [{ MINTMARK_TLS_CLIENT_CA: 'none' }, 'MINTMARK_TLS_CLIENT_CA: needs MINTMARK_TLS_CERTIFICATE'],
    [
      { ...tls, MINTMARK_TLS_CLIENT_CA: 'none', MINTMARK_REQUIRE_CLIENT_CERTIFICATE: 'yes' },
      'MINTMARK_REQUIRE_CLIENT_CERTIFICATE: needs CAs',
    ],
    [
      { ...tls, MINTMARK_TLS_CLIENT_CA: 'none', MINTMARK_MTLS_PORT: '8080' },
      'MINTMARK_MTLS_PORT: must be another port',
    ],
    [
      { ...tls, MINTMARK_TLS_CLIENT_CA: 'none', MINTMARK_MTLS_URL: 'https://a.example.com' },
      'MINTMARK_MTLS_URL: needs MINTMARK_MTLS_PORT',
    ],
    [
      { ...tls, MINTMARK_TLS_CLIENT_CA: certificate, MINTMARK_CLIENT_CERTIFICATE_HEADER: 'nginx' },
      'MINTMARK_CLIENT_CERTIFICATE_PROXY: must be set with the header',
    ],
    [
      { ...tls, MINTMARK_TLS_CLIENT_CA: certificate, MINTMARK_CLIENT_CERTIFICATE_PROXY: 'dns:front' },
      'MINTMARK_CLIENT_CERTIFICATE_HEADER: must be set with the proxy',
    ],
    [
      {
        ...tls,
        MINTMARK_TLS_CLIENT_CA: 'none',
        MINTMARK_CLIENT_CERTIFICATE_HEADER: 'nginx',
        MINTMARK_CLIENT_CERTIFICATE_PROXY: `sha256:${'0'.repeat(64)}, dns:front`,
      },
      'MINTMARK_CLIENT_CERTIFICATE_PROXY: "dns:front" needs CAs',
    ],
  ])('certificates of callers: %o', (environment, expected) => {
    expect(refusalOf(environment as Environment)).toContain(expected)
  })

  test('where callers with certificates go', () => {
    const asking = { ...tls, MINTMARK_TLS_CLIENT_CA: 'none', MINTMARK_MTLS_PORT: '8443' }
    const issuer = (text: string) => readConfig({ ...asking, MINTMARK_ISSUER: text }).mtls
    expect(issuer('https://t.example.com')).toEqual({ port: 8443, url: 'https://t.example.com:8443' })
    expect(issuer('https://t.example.com:444/a')).toEqual({ port: 8443, url: 'https://t.example.com:8443/a' })
    const named = readConfig({ ...asking, MINTMARK_MTLS_URL: 'https://m.example.com' })
    expect(named.mtls).toEqual({ port: 8443, url: 'https://m.example.com' })
    expect(readConfig({ ...tls, MINTMARK_TLS_CLIENT_CA: certificate }).clientTrust).toEqual({
      authorities: certificate,
      revocationLists: undefined,
    })
  })

  test('a schedule that does not fit together: the message has the numbers', () => {
    expect(refusalOf({ ...short, MINTMARK_KEY_LIFETIME_SECONDS: '59' })).toMatch(
      /^MINTMARK_KEY_LIFETIME_SECONDS: JWKS max-age 15 s \+ verifier cooldown 4 s .* third .* at least 60 s\.$/,
    )
    expect(refusalOf({ MINTMARK_KEY_LIFETIME_SECONDS: '518759' })).toMatch(/sixth .* at least 518760 s\.$/)
  })

  test('a certificate without its key, and a key without its certificate', () => {
    expect(refusalOf({ MINTMARK_TLS_CERTIFICATE: certificate })).toMatch(/^MINTMARK_TLS_PRIVATE_KEY: /)
    expect(refusalOf({ MINTMARK_TLS_PRIVATE_KEY: privateKey })).toMatch(/^MINTMARK_TLS_CERTIFICATE: /)
  })

  test.each([
    ['MINTMARK_PROT', ''],
    ['MINTMARK_', ''],
    ['MINTMARK_FILE', ''],
    ['MINTMARK_LOG_LEVEL_FILE_FILE', ''],
    ['MINTMARK_ISUER', ' Did you mean "MINTMARK_ISSUER"?'],
    ['MINTMARK_PORT', ' Did you mean "PORT"?'],
    ['MINTMARK_DATABASE_URL', ' Did you mean "DATABASE_URL"?'],
    ['MINTMARK_DATABASE_URL_FILE', ' Did you mean "DATABASE_URL_FILE"?'],
  ])('a name that does not exist: %s', (name, hint) => {
    expect(refusalOf({ [name]: 'canary' })).toBe(
      `${name}: there is no such setting; .env.example lists them all.${hint}`,
    )
  })

  test.each([
    ['mintmark_log_level', 'MINTMARK_LOG_LEVEL'],
    ['MINTMARK_log_level', 'MINTMARK_LOG_LEVEL'],
    ['Mintmark_Sealed_Registry', 'MINTMARK_SEALED_REGISTRY'],
    ['database_url_file', 'DATABASE_URL_FILE'],
  ])('%s would have no effect', (name, meant) => {
    expect(refusalOf({ [name]: 'canary' })).toBe(
      `${name}: settings are written in capital letters: ${meant}.`,
    )
  })

  test('names of others in small letters', () => {
    const of = { port: '1', host: 'x', mintmark_home: '/x', database_url: '' }
    expect(readConfig({ ...of, MINTMARK_LOG_LEVEL: 'warn', mintmark_log_level: 'info' })).toMatchObject({
      port: 8080,
      logLevel: 'warn',
    })
  })

  // The same names with values that Kubernetes never gives: a person who mistook them for settings.
  test.each([
    ['MINTMARK_PORT', '9000'],
    ['MINTMARK_PORT', 'http://10.0.0.7:8080'],
    ['MINTMARK_SERVICE_HOST', 'tokens.example.com'],
    ['MINTMARK_SERVICE_PORT', 'http'],
    ['MINTMARK_SERVICE_NAME', '10.0.0.7'],
    ['MINTMARK_NAME', 'tokens'],
    ['MINTMARK_DB_NAME', '/mintmark'],
    ['MINTMARK_PORT_8080_TCP', '8080'],
    ['MINTMARK_PORT_8080_TCP_PROTO', 'http'],
    ['MINTMARK_PORT_FILE', 'tcp://10.0.0.7:8080'],
  ])('nor is %s=%s a variable of Kubernetes', (name, value) => {
    expect(refusalOf({ [name]: value })).toMatch(new RegExp(`^${name}: there is no such setting`))
  })

  test('no text whatever is a whole number by accident', () => {
    const limit = fc.string().filter((text) => text !== '' && !/^\d+$/.test(text))
    fc.assert(
      fc.property(limit, (text) => {
        expect(refusalOf({ MINTMARK_ARGON2_PARALLEL_MAX: text })).toMatch(/^MINTMARK_ARGON2_PARALLEL_MAX: /)
      }),
    )
  })
})

describe('plain HTTP (RFC 6749 §3.2 wants TLS)', () => {
  const reachable = [
    '0.0.0.0',
    '::',
    '10.0.0.7',
    '192.168.1.1',
    'tokens.example.com',
    '::ffff:10.0.0.7',
    '128.0.0.1',
  ]

  test('says that some shells set HOST to the name of the machine', () => {
    expect(refusalOf({ HOST: hostname(), ...loopbackName })).toMatch(
      /If your shell set HOST, .* HOST=127\.0\.0\.1\.$/,
    )
    expect(refusalOf({ HOST: 'other.example.com', ...loopbackName })).not.toContain('shell')
  })

  test.each(reachable)('is refused on %s', (host) => {
    const message = refusalOf({ HOST: host, ...loopbackName })
    expect(message).toMatch(/^HOST: /)
    expect(message).toContain('MINTMARK_DANGEROUSLY_SERVE_PLAIN_HTTP=yes')
    expect(refusalOf({ HOST: host, ...loopbackName, MINTMARK_DANGEROUSLY_SERVE_PLAIN_HTTP: 'no' })).toBe(
      message,
    )
  })

  test.each(reachable)(
    'is served on %s to who says that it is dangerous, and over TLS to everybody',
    (host) => {
      const dangerous = { HOST: host, ...loopbackName, MINTMARK_DANGEROUSLY_SERVE_PLAIN_HTTP: 'yes' }
      expect(readConfig(dangerous)).toMatchObject({ host, tls: undefined })
      expect(readConfig({ HOST: host, ...loopbackName, ...tls }).host).toBe(host)
    },
  )
})

describe('the issuer (RFC 8414 §2)', () => {
  test('must be named where others come from elsewhere: nobody can guess it', () => {
    expect(refusalOf({ HOST: '0.0.0.0', ...tls })).toMatch(/^MINTMARK_ISSUER: must be set/)
  })

  test.each([
    'https://tokens.example.com',
    'https://tokens.example.com:8443',
    'https://example.com/tokens/eu',
    'https://xn--tkens-kua.example.com',
    'https://[2001:db8::1]',
    'http://localhost:8080',
    'http://127.0.0.1',
    'http://[::1]:8080',
  ])('%s is taken as it is written', (issuer) => {
    expect(readConfig({ MINTMARK_ISSUER: issuer }).issuer).toBe(issuer)
  })

  test.each([
    'https://a.example/*',
    'https://a.example/:x',
    'https://a.example/(b',
    'https://a.example/%zz',
    'https://a.example/b//c',
  ])('%s is refused: a path becomes a route, where its characters would have a meaning', (issuer) => {
    expect(refusalOf({ MINTMARK_ISSUER: issuer })).toMatch(/^MINTMARK_ISSUER: must be a URL without/)
  })

  test('http is refused where the service speaks TLS: nobody could reach what its metadata says', () => {
    const plain = { MINTMARK_ISSUER: 'http://localhost:8080' }
    const permission = { MINTMARK_DANGEROUSLY_SERVE_PLAIN_HTTP: 'yes' }
    for (const environment of [
      { ...tls, ...plain },
      { ...tls, ...plain, ...permission },
    ])
      expect(refusalOf(environment)).toMatch(/^MINTMARK_ISSUER: is "http:.* speaks TLS, .* Write https\.$/)
    expect(readConfig(plain).issuer).toBe('http://localhost:8080')
  })

  test('http off loopback needs the dangerous setting', () => {
    const plain = { MINTMARK_ISSUER: 'http://tokens.internal' }
    expect(refusalOf(plain)).toMatch(/^MINTMARK_ISSUER: must be an https URL/)
    expect(readConfig({ ...plain, MINTMARK_DANGEROUSLY_SERVE_PLAIN_HTTP: 'yes' }).issuer).toBe(
      'http://tokens.internal',
    )
  })

  test('the one that is made up is one that would be accepted', () => {
    const host = fc.constantFrom('localhost', '127.0.0.1', '::1', '0::1', '::ffff:127.0.0.1')
    const port = fc.oneof(fc.constantFrom(80, 443), fc.integer({ min: 1, max: 65_535 }))
    fc.assert(
      fc.property(host, port, fc.boolean(), (HOST, number, encrypted) => {
        const environment = { HOST, PORT: String(number), ...(encrypted ? tls : {}) }
        const { issuer } = readConfig(environment)
        expect(readConfig({ ...environment, MINTMARK_ISSUER: issuer }).issuer).toBe(issuer)
      }),
    )
  })
})

describe('a command that does not serve', () => {
  const unusable: Environment = {
    HOST: '0.0.0.0',
    PORT: 'eighty',
    MINTMARK_TLS_CERTIFICATE_FILE: '/absent/tls.crt',
    MINTMARK_TLS_PRIVATE_KEY_FILE: '/absent/tls.key',
    MINTMARK_KEY_ENCRYPTION_KEY_FILE: '/absent/key',
    MINTMARK_KEY_LIFETIME_SECONDS: '1',
    DATABASE_URL: 'postgresql://db/mintmark',
  }

  test('reads a setting only when it uses it', () => {
    const config = readCommandConfig(unusable)
    expect(config.databaseUrl).toBe('postgresql://db/mintmark')
    expect(config.speaksTls).toBe(true)
    expect(() => config.keyEncryptionKey).toThrow(/^MINTMARK_KEY_ENCRYPTION_KEY_FILE: /)
    expect(() => config.schedule).toThrow(/^MINTMARK_KEY_LIFETIME_SECONDS: /)
    expect(() => config.tls).toThrow(/^MINTMARK_TLS_CERTIFICATE_FILE: /)
    expect(() => config.port).toThrow(/^PORT: /)
    expect(() => config.issuer).toThrow(/^PORT: |^MINTMARK_ISSUER: /)
  })

  test('reads the same as a process that serves', () => {
    const environment = { ...tls, WORKERS: '3', MINTMARK_KEY_ENCRYPTION_KEY: key.toString('hex') }
    expect({ ...readCommandConfig(environment) }).toEqual(readConfig(environment))
  })

  test('refuses a mistyped name at once', () => {
    expect(() => readCommandConfig({ MINTMARK_PROT: '1' })).toThrow(/^MINTMARK_PROT: /)
  })
})

describe('what is wrong with the settings', () => {
  const messageOf = (environment: Environment): string => {
    try {
      readServiceConfig(environment)
    } catch (error) {
      expect(error).toBeInstanceOf(OperatorError)
      return (error as OperatorError).message
    }
    return ''
  }

  test('is told at once, each once, and before the database is asked', () => {
    const names = messageOf({
      HOST: '0.0.0.0',
      PORT: 'x',
      DATABASE_URL: 'postgresql://db/mintmark',
      MINTMARK_KEY_LIFETIME_SECONDS: '60',
      MINTMARK_PROT: '1',
      MINTMARK_LOG_LEVEL: 'loud',
    })
      .split('\n')
      .map((line) => line.split(':')[0])
    expect(names.toSorted()).toEqual([
      'HOST',
      'MINTMARK_KEY_ENCRYPTION_KEY',
      'MINTMARK_KEY_LIFETIME_SECONDS',
      'MINTMARK_LOG_LEVEL',
      'MINTMARK_PROT',
      'PORT',
    ])
  })

  test('includes a key-encryption key that is missing, for the process that finds it', () => {
    const environment = { DATABASE_URL: 'postgresql://db/mintmark' }
    expect(messageOf(environment)).toMatch(/^MINTMARK_KEY_ENCRYPTION_KEY: must be set when DATABASE_URL is/)
    expect(messageOf({ ...environment, MINTMARK_KEY_ENCRYPTION_KEY: key.toString('hex') })).toBe('')
    expect(messageOf({})).toBe('')
  })
})

describe('a setting from a file', () => {
  test.each(settingNames)('%s: itself and its file together are refused', (name) => {
    expect(refusalOf({ [name]: 'canary', [`${name}_FILE`]: '/canary' })).toBe(
      `${name}: set it or ${name}_FILE, not both.`,
    )
  })

  test.each(settingNames)('%s: its file that is not there, cannot be read, or is empty', (name) => {
    const file = `${name}_FILE`
    for (const path of [join(directory, 'absent'), directory, 'a\0b', 'line\nbreak']) {
      expect(refusalOf({ [file]: path })).toMatch(
        new RegExp(`^${file}: cannot read .*: (?:there is no|it is a|its name has) .*\\.$`),
      )
    }
    expect(refusalOf({ [file]: fileOf('') })).toMatch(new RegExp(`^${file}: .* is empty\\.$`))
    expect(refusalOf({ [file]: fileOf(' \n\n') })).toMatch(new RegExp(`^${file}: .* is empty\\.$`))
  })

  test('what a file holds is never repeated', () => {
    expect(refusalOf({ PORT_FILE: fileOf('canary') })).toBe('PORT: must be a whole number from 1 to 65535.')
  })

  test('the message of an ordinary setting names the path', () => {
    expect(refusalOf({ PORT_FILE: '/absent/port' })).toBe(
      'PORT_FILE: cannot read "/absent/port": there is no such file.',
    )
  })
})

describe('the file of a secret', () => {
  const path = fileOf(key.toString('base64'))
  const environment = { MINTMARK_KEY_ENCRYPTION_KEY_FILE: path }

  test('that others can change is refused, and used if the operator says so', () => {
    chmodSync(path, 0o666)
    expect(refusalOf(environment)).toBe(
      'MINTMARK_KEY_ENCRYPTION_KEY_FILE: the file it names can be changed by others (mode 0666). Give it the mode 0600. ' +
        'MINTMARK_DANGEROUSLY_TRUST_SECRET_FILES=yes switches this check off.',
    )
    const trusting = { ...environment, MINTMARK_DANGEROUSLY_TRUST_SECRET_FILES: 'yes' }
    expect(readConfig(trusting).keyEncryptionKey).toEqual(key)
    chmodSync(path, 0o600)
    expect(readConfig(environment).keyEncryptionKey).toEqual(key)
  })

  test('a file with another setting may have any mode', () => {
    const port = fileOf('8081')
    chmodSync(port, 0o666)
    expect(readConfig({ PORT_FILE: port }).port).toBe(8081)
  })
})

describe('no secret is ever repeated', () => {
  const canary = 'CANARYcanary0123456789'

  /** What is wrong with them; nothing, if nothing is. */
  const said = (environment: Environment): string => {
    try {
      readConfig(environment)
      return ''
    } catch (error) {
      return (error as Error).message
    }
  }

  test.each(settingNames)('not one that was meant for another setting: %s', (name) => {
    const database = `postgresql://mintmark:${canary}@db/m`
    const keyText = `${canary}${key.toString('base64').slice(canary.length)}`
    for (const text of [database, keyText, `-----BEGIN PRIVATE KEY-----\n${canary}`])
      for (const environment of [{ [name]: text }, { [`${name}_FILE`]: text }])
        expect(said(environment)).not.toContain(canary)
  })

  const secrets = [
    ['DATABASE_URL', `mysql://mintmark:${canary}@db/m`],
    ['DATABASE_URL', `${canary}`],
    ['DATABASE_URL', `postgresql://a:${canary}@one,/m`],
    ['MINTMARK_KEY_ENCRYPTION_KEY', canary],
    ['MINTMARK_KEY_ENCRYPTION_KEY_PREVIOUS', canary],
    [
      'MINTMARK_KEY_ENCRYPTION_KEY',
      key
        .toString('base64')
        .replace(/^.{22}/, canary)
        .slice(1),
    ],
    ['MINTMARK_TLS_PRIVATE_KEY', `-----BEGIN PRIVATE KEY-----\n${canary}\n-----END PRIVATE KEY-----`],
    ['MINTMARK_TLS_PRIVATE_KEY', `-----BEGIN ENCRYPTED PRIVATE KEY-----\n${canary}`],
  ] as const

  test.each(secrets)('%s=%j', (name, text) => {
    const environments = [
      { ...(name.includes('TLS') ? tls : {}), [name]: text },
      {
        ...(name.includes('TLS') ? { MINTMARK_TLS_CERTIFICATE: certificate } : {}),
        [`${name}_FILE`]: fileOf(text),
      },
      // The value where its path belongs: an easy mistake, and a costly one in a log.
      { [`${name}_FILE`]: text },
      { [name]: text, [`${name}_FILE`]: '/path' },
    ]
    for (const environment of environments) {
      expect(refusalOf(environment)).not.toContain(canary)
      try {
        readConfig(environment)
      } catch (error) {
        expect(String((error as Error).cause)).not.toContain(canary)
      }
    }
  })
})
