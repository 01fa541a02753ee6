/** A service that asks for certificates, and callers that have one, over real sockets. */
import { once } from 'node:events'
import https from 'node:https'
import tls from 'node:tls'
import type { FreshDatabase } from './database.ts'
import { registerClient, type TestClientOptions } from './service.ts'
import { general, makeCertificate, type TestCertificate } from './x509.ts'

const serverCertificate = makeCertificate(undefined, {
  subject: 'CN=127.0.0.1',
  names: [general.ip(127, 0, 0, 1), general.dns('localhost')],
  keyUsage: null,
  extendedKeyUsage: null,
  until: 7 * 86_400,
})

/** The settings of a service that asks for certificates of these CAs. */
export function mtlsSettings(...authorities: readonly TestCertificate[]): Record<string, string> {
  return {
    MINTMARK_TLS_CERTIFICATE: serverCertificate.pem,
    MINTMARK_TLS_PRIVATE_KEY: serverCertificate.keyPem,
    MINTMARK_TLS_CLIENT_CA: authorities.map(({ pem }) => pem).join('') || 'none',
  }
}

/** The options of Node for a caller that has the key of the first of these certificates. None: it has no certificate. */
export function callerOf(...chain: readonly TestCertificate[]): tls.SecureContextOptions {
  const [own] = chain
  if (own === undefined) return {}
  // Callers may have keys that OpenSSL would not use by itself.
  return { cert: chain.map(({ pem }) => pem).join(''), key: own.keyPem, ciphers: 'DEFAULT:@SECLEVEL=0' }
}

export interface Answer {
  /** 0: the connection was closed without an answer. */
  readonly status: number
  readonly requestId: string
  readonly body: Readonly<Record<string, unknown>>
}

export interface CallOptions extends tls.ConnectionOptions {
  readonly agent?: https.Agent
  readonly headers?: Readonly<Record<string, string>>
}

/** `POST /token`, on a connection of its own unless an agent keeps one. */
export function tokenOver(
  url: string,
  parameters: Readonly<Record<string, string>>,
  { agent, headers, ...options }: CallOptions = {},
): Promise<Answer> {
  const body = new URLSearchParams({ grant_type: 'client_credentials', ...parameters }).toString()
  return new Promise((resolve, reject) => {
    const request = https.request(
      {
        host: '127.0.0.1',
        port: new URL(url).port,
        path: '/token',
        method: 'POST',
        agent: agent ?? false,
        rejectUnauthorized: false,
        headers: {
          'content-type': 'application/x-www-form-urlencoded',
          'content-length': String(body.length),
          ...headers,
        },
        ...options,
      },
      (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', reject)
        response.on('end', () => {
          resolve({
            status: response.statusCode ?? 0,
            requestId: String(response.headers['x-request-id']),
            body: readJson(Buffer.concat(chunks).toString()),
          })
        })
      },
    )
    request.on('error', (error) => resolve({ status: 0, requestId: '', body: { error: error.message } }))
    request.end(body)
  })
}

/** What a proxy in front answers is no JSON. */
function readJson(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>
  } catch {
    return { text }
  }
}

/** The record of a request: what it says of who, how and why. */
export async function recordOf(database: FreshDatabase, { requestId }: Answer) {
  const rows = await database.query<{
    outcome: string
    reason: string | null
    client_id: string | null
    authentication_method: string | null
    credential_id: string | null
    detail: string | null
  }>(
    `SELECT outcome, reason, client_id, authentication_method, credential_id, detail FROM audit_record
      WHERE request_id = $1`,
    [requestId],
  )
  return rows[0]
}

/** `issued`, or why not; the text of the error if there was no answer. */
export async function outcomeOf(database: FreshDatabase, answer: Answer): Promise<string> {
  if (answer.status === 0) return 'no answer'
  const record = await recordOf(database, answer)
  return record?.reason ?? record?.outcome ?? `${answer.status}`
}

export interface CertificateClientOptions extends TestClientOptions {
  /** Name and value. */
  readonly field?: readonly [name: string, value: string]
  readonly required?: readonly [name: string, value: string]
  readonly bound?: boolean
}

/** A client as SQL writes it, without a secret unless its method has one. */
export async function registerCertificateClient(
  database: FreshDatabase,
  { field, required, bound = false, method = 'tls_client_auth', ...options }: CertificateClientOptions,
) {
  const client = await registerClient(database, { method, ...options })
  await database.query(
    `UPDATE client SET certificate_field = $2, certificate_value = $3, required_certificate_field = $4,
            required_certificate_value = $5, certificate_bound_tokens = $6 WHERE client_id = $1`,
    [
      client.clientId,
      field && `tls_client_auth_${field[0]}`,
      field?.[1],
      required && `tls_client_auth_${required[0]}`,
      required?.[1],
      bound,
    ],
  )
  if (method === 'tls_client_auth' || method === 'self_signed_tls_client_auth')
    await database.query('DELETE FROM client_secret WHERE client_id = $1', [client.clientId])
  return client
}

/** Opens a connection and waits until the handshake is done. */
export async function connected(url: string, options: tls.ConnectionOptions): Promise<tls.TLSSocket> {
  const socket = tls.connect({
    host: '127.0.0.1',
    port: Number(new URL(url).port),
    rejectUnauthorized: false,
    ...options,
  })
  await once(socket, 'secureConnect')
  return socket
}
