import { constants, createHash, generateKeyPairSync, type KeyObject, randomUUID, sign } from 'node:crypto'
import type { FreshDatabase } from './database.ts'
import { registerClient, type TestClientOptions } from './service.ts'

/** Clients that prove themselves with an assertion (RFC 7523), made without a library so that a test can spoil any part. */

export type KeyAlgorithm = 'ES256' | 'EdDSA' | 'PS256' | 'RS256'

export interface TestKey {
  readonly algorithm: KeyAlgorithm
  readonly privateKey: KeyObject
  readonly publicJwk: Readonly<Record<string, string>>
  readonly thumbprint: string
  readonly kid: string | undefined
}

export function makeKey(algorithm: KeyAlgorithm = 'ES256', kid?: string, modulusLength = 2048): TestKey {
  const { privateKey, publicKey } =
    algorithm === 'ES256'
      ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
      : algorithm === 'EdDSA'
        ? generateKeyPairSync('ed25519')
        : generateKeyPairSync('rsa', { modulusLength })
  const publicJwk = publicKey.export({ format: 'jwk' }) as Record<string, string>
  const sorted = Object.fromEntries(
    Object.entries(publicJwk).sort(([one], [other]) => (one < other ? -1 : 1)),
  )
  const thumbprint = createHash('sha256').update(JSON.stringify(sorted)).digest('base64url')
  return { algorithm, privateKey, publicJwk, thumbprint, kid }
}

/** A client without a secret, as SQL writes it. */
export async function registerKeyClient(
  database: FreshDatabase,
  keys: readonly TestKey[],
  { assertionAudience = 'issuer', ...options }: TestClientOptions & { assertionAudience?: string } = {},
): Promise<{ readonly clientId: string }> {
  const { clientId } = await registerClient(database, { method: 'private_key_jwt', ...options })
  await database.query('DELETE FROM client_secret WHERE client_id = $1', [clientId])
  await database.query('UPDATE client SET assertion_audience = $2 WHERE client_id = $1', [
    clientId,
    assertionAudience,
  ])
  for (const key of keys) await registerKey(database, clientId, key)
  return { clientId }
}

export async function registerKey(database: FreshDatabase, clientId: string, key: TestKey): Promise<void> {
  const { thumbprint, kid = null, algorithm, publicJwk } = key
  await database.query(
    'INSERT INTO client_key (client_id, thumbprint, kid, algorithm, public_jwk) VALUES ($1, $2, $3, $4, $5)',
    [clientId, thumbprint, kid, algorithm, publicJwk],
  )
}

const encoded = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

/** Signs any header and any claims; a text stands for itself. */
export function signed(key: TestKey, header: unknown, claims: unknown): string {
  const input = `${encoded(header)}.${encoded(claims)}`
  return `${input}.${signatureOf(key, input).toString('base64url')}`
}

export function signatureOf({ algorithm, privateKey }: TestKey, input: string): Buffer {
  const bytes = Buffer.from(input)
  if (algorithm === 'ES256') return sign('sha256', bytes, { key: privateKey, dsaEncoding: 'ieee-p1363' })
  if (algorithm === 'EdDSA') return sign(null, bytes, privateKey)
  if (algorithm === 'RS256') return sign('sha256', bytes, privateKey)
  const padding = constants.RSA_PKCS1_PSS_PADDING
  return sign('sha256', bytes, { key: privateKey, padding, saltLength: constants.RSA_PSS_SALTLEN_DIGEST })
}

export interface AssertionChanges {
  /** Members to add or to replace; undefined takes one out. */
  readonly header?: Readonly<Record<string, unknown>>
  readonly claims?: Readonly<Record<string, unknown>>
}

/** An assertion as a good library makes it, with some changes. */
export function assertionOf(
  key: TestKey,
  clientId: string,
  audience: string,
  { header, claims }: AssertionChanges = {},
): string {
  const now = Math.floor(Date.now() / 1000)
  return signed(
    key,
    { alg: key.algorithm, typ: 'client-authentication+jwt', kid: key.kid ?? key.thumbprint, ...header },
    { iss: clientId, sub: clientId, aud: audience, jti: randomUUID(), iat: now, exp: now + 60, ...claims },
  )
}

export const assertionType = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'

/** `POST /token` with an assertion, the way a plain client does it. */
export function requestTokenWith(
  url: string,
  assertion: string,
  parameters: Readonly<Record<string, string>> = {},
  headers: Readonly<Record<string, string>> = {},
): Promise<Response> {
  return fetch(`${url}/token`, {
    method: 'POST',
    headers,
    body: new URLSearchParams({
      grant_type: 'client_credentials',
      client_assertion_type: assertionType,
      client_assertion: assertion,
      ...parameters,
    }),
  })
}
