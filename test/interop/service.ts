import { execFileSync, spawn } from 'node:child_process'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setDefaultCACertificates } from 'node:tls'
import { freePort } from '../support/ports.ts'

const launcher = join(import.meta.dirname, '../../bin/mintmark')

export interface InteropService {
  readonly issuer: string
  readonly mcpUrl: string
  /** Where callers are asked for a certificate. */
  readonly mtlsUrl: string
  /** The certificate of the authority, which everybody has to trust. */
  readonly certificateFile: string
  /** By client id. */
  readonly secrets: Readonly<Record<string, string>>
  /** What clients that sign have in their environment: their keys, or keys that are wrong. */
  readonly keys: Readonly<Record<string, string>>
  readonly wrongKeys: Readonly<Record<string, string>>
  /** The certificate that names the client `ledger`, and one of the same authority that names nobody. */
  readonly certificates: Readonly<Record<string, string>>
  readonly wrongCertificates: Readonly<Record<string, string>>
  close(): Promise<void>
}

export const audiences = {
  orders: 'https://orders.example.com',
  /** Whose framework refuses at+jwt. */
  legacy: 'https://legacy.example.com',
  /** Whose framework verifies RS256 only. */
  rsa: 'https://rsa.example.com',
  /** Nobody's here: its tokens have to be refused. */
  other: 'https://other.example.com',
} as const

/** The service as it is run: a process of its own with https, its embedded database, and what is registered by a file. */
export async function startInteropService(directory: string): Promise<InteropService> {
  mkdirSync(directory, { recursive: true })
  const [port, mcpPort, mtlsPort] = [await freePort(), await freePort(), await freePort()]
  const issuer = `https://localhost:${port}`
  const mcpUrl = `http://127.0.0.1:${mcpPort}/mcp`
  const { authority, certificate, key, certificates, wrongCertificates } = makeCertificates(directory)
  setDefaultCACertificates([readFileSync(authority, 'utf8')])
  const environment = {
    ...process.env,
    PORT: String(port),
    MINTMARK_ISSUER: issuer,
    MINTMARK_DATA_DIR: join(directory, 'data'),
    MINTMARK_SIGNING_ALGORITHMS: 'ES256,RS256',
    MINTMARK_DPOP_NONCES: 'yes',
    MINTMARK_TLS_CERTIFICATE_FILE: certificate,
    MINTMARK_TLS_PRIVATE_KEY_FILE: key,
    MINTMARK_TLS_CLIENT_CA_FILE: authority,
    MINTMARK_MTLS_PORT: String(mtlsPort),
    // Every library is also tried with a wrong secret.
    MINTMARK_FAILURES_PER_ADDRESS_MAX: '100000',
    MINTMARK_FAILURES_PER_CLIENT_MAX: '100000',
  }
  const child = spawn(process.execPath, [launcher, 'start', '--no-seed'], {
    env: environment,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  while (!(await isReady(issuer))) {
    if (child.exitCode !== null) throw new Error(`the service ended:\n${output}`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  const file = join(directory, 'clients.yaml')
  const [keys, wrongKeys] = [makeKeys(directory, 'right'), makeKeys(directory, 'wrong')]
  writeFileSync(file, registration(mcpUrl, keys.jwks))
  const seeded = execFileSync(process.execPath, [launcher, 'seed', file, '--json'], {
    env: environment,
    encoding: 'utf8',
  })
  const { clients } = JSON.parse(seeded) as { clients: { client_id: string; client_secret: string }[] }
  return {
    issuer,
    mcpUrl,
    mtlsUrl: `https://localhost:${mtlsPort}`,
    certificateFile: authority,
    certificates,
    wrongCertificates,
    keys: keys.environment,
    wrongKeys: wrongKeys.environment,
    secrets: Object.fromEntries(clients.map((client) => [client.client_id, client.client_secret])),
    async close() {
      child.kill('SIGTERM')
      await ended
    },
  }
}

async function isReady(issuer: string): Promise<boolean> {
  const response = await fetch(`${issuer}/readyz`).catch(() => undefined)
  return response?.ok === true
}

/** For localhost and for callers, by an authority of its own, as many companies have one. */
function makeCertificates(directory: string) {
  const file = (name: string) => join(directory, name)
  const run = (...words: string[]) => execFileSync('openssl', words, { stdio: 'pipe' })
  const make = (name: string, ...words: string[]) => {
    const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
    const made = ['-keyout', file(`${name}.key`), '-out', file(`${name}.crt`)]
    run('req', ...kind, '-days', '2', '-subj', `/CN=${name}`, ...words, ...made)
  }
  const signed = (name: string, ...extensions: string[]) => {
    const added = ['basicConstraints=CA:FALSE', ...extensions].flatMap((each) => ['-addext', each])
    make(name, '-CA', file('authority.crt'), '-CAkey', file('authority.key'), ...added)
  }
  /** As PEM, and as Java and .NET like it. */
  const forCaller = (name: string) => {
    signed(name, 'extendedKeyUsage=clientAuth', `subjectAltName=DNS:${name}.example.com`)
    const pair = ['-inkey', file(`${name}.key`), '-in', file(`${name}.crt`)]
    run('pkcs12', '-export', ...pair, '-passout', 'pass:changeit', '-out', file(`${name}.p12`))
    return {
      CERTIFICATE_FILE: file(`${name}.crt`),
      CERTIFICATE_KEY_FILE: file(`${name}.key`),
      CERTIFICATE_STORE_FILE: file(`${name}.p12`),
    }
  }
  make('authority')
  signed('localhost', 'subjectAltName=DNS:localhost,IP:127.0.0.1')
  return {
    authority: file('authority.crt'),
    certificate: file('localhost.crt'),
    key: file('localhost.key'),
    certificates: forCaller('ledger'),
    wrongCertificates: forCaller('stranger'),
  }
}

/** A key of each kind that the programs use, in files; and the public halves. */
function makeKeys(directory: string, name: string) {
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const written = (kind: string, text: string | Buffer): string => {
    const path = join(directory, `${name}.${kind}`)
    writeFileSync(path, text, { mode: 0o600 })
    return path
  }
  const publicJwk = ({ publicKey }: { publicKey: KeyObject }) => publicKey.export({ format: 'jwk' })
  return {
    environment: {
      KEY_ID: 'ec',
      PRIVATE_KEY_FILE: written('ec.pem', ec.privateKey.export({ format: 'pem', type: 'pkcs8' })),
      PRIVATE_JWK_FILE: written('ec.json', JSON.stringify(ec.privateKey.export({ format: 'jwk' }))),
      RSA_PRIVATE_KEY_FILE: written('rsa.pem', rsa.privateKey.export({ format: 'pem', type: 'pkcs8' })),
    },
    jwks: {
      keys: [
        { ...publicJwk(ec), kid: 'ec' },
        { ...publicJwk(rsa), kid: 'rsa', alg: 'RS256' },
      ],
    },
  }
}

function registration(mcpUrl: string, jwks: object): string {
  const { orders, legacy, rsa, other } = audiences
  const access = (audience: string) => ({ audience, scopes: ['orders:read'] })
  const resource = (audience: string, more = {}) => ({ audience, scopes: ['orders:read'], ...more })
  // YAML reads JSON.
  return JSON.stringify({
    resources: [
      resource(orders),
      resource(legacy, { token_typ: 'JWT' }),
      resource(rsa, { signing_algorithm: 'RS256' }),
      resource(other),
      { audience: mcpUrl, scopes: ['tools:use'] },
    ],
    clients: [
      { client_id: 'billing', access: [access(orders)] },
      { client_id: 'shipping', dpop_bound_access_tokens: true, access: [access(orders)] },
      { client_id: 'agent', access: [{ audience: mcpUrl, scopes: ['tools:use'] }] },
      { client_id: 'payroll', token_endpoint_auth_method: 'private_key_jwt', jwks, access: [access(orders)] },
      {
        client_id: 'signing-agent',
        token_endpoint_auth_method: 'private_key_jwt',
        jwks,
        access: [{ audience: mcpUrl, scopes: ['tools:use'] }],
      },
      {
        client_id: 'ledger',
        token_endpoint_auth_method: 'tls_client_auth',
        tls_client_auth_san_dns: 'ledger.example.com',
        tls_client_certificate_bound_access_tokens: true,
        access: [access(orders)],
      },
      {
        client_id: 'old-payroll',
        token_endpoint_auth_method: 'private_key_jwt',
        assertion_audience: 'token_endpoint',
        jwks,
        access: [access(orders)],
      },
      { client_id: 'everywhere', access: [orders, legacy, rsa, other].map(access) },
    ],
  })
}
