import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import type pg from 'pg'
import { rawSignature } from '../src/keys/algorithms.ts'
import type { Credentials, PreparedRequest } from './requests.ts'

/** Requests by private_key_jwt (RFC 7523). Each brings an assertion of its own, because an assertion counts once. */
export interface KeyCredentials extends Credentials {
  readonly jwk: Readonly<Record<string, unknown>>
  readonly privateKey: KeyObject
}

/** Gives registered clients a key each. They may use their secrets as well. */
export async function addKeys(
  database: pg.Client,
  clients: readonly Credentials[],
): Promise<KeyCredentials[]> {
  const made = clients.map((client) => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const { crv, kty, x, y } = publicKey.export({ format: 'jwk' })
    const thumbprint = createHash('sha256').update(JSON.stringify({ crv, kty, x, y })).digest('base64url')
    return { ...client, privateKey, jwk: { crv, kty, x, y, kid: thumbprint } }
  })
  await database.query(
    `INSERT INTO client_key (client_id, thumbprint, algorithm, public_jwk)
     SELECT k.id, k.thumbprint, 'ES256', k.jwk - 'kid'
       FROM unnest($1::text[], $2::text[], $3::jsonb[]) AS k (id, thumbprint, jwk)`,
    [
      made.map(({ clientId }) => clientId),
      made.map(({ jwk }) => jwk.kid),
      made.map(({ jwk }) => JSON.stringify(jwk)),
    ],
  )
  return made
}

const assertionType = 'urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer'

/** So many requests, from the clients in turn. They can be sent for four minutes. */
export function assertionRequests(
  clients: readonly KeyCredentials[],
  issuer: string,
  count: number,
): PreparedRequest[] {
  const exp = Math.floor(Date.now() / 1_000) + 240
  const encoded = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const headers = clients.map(({ jwk }) => encoded({ alg: 'ES256', kid: jwk['kid'] }))
  return Array.from({ length: count }, (_, number) => {
    const which = number % clients.length
    const { clientId, privateKey } = clients[which] as KeyCredentials
    const claims = {
      iss: clientId,
      sub: clientId,
      aud: issuer,
      jti: randomBytes(16).toString('base64url'),
      exp,
    }
    const input = `${headers[which]}.${encoded(claims)}`
    const signature = rawSignature(sign('sha256', Buffer.from(input), privateKey)).toString('base64url')
    return {
      method: 'POST',
      path: '/token',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body:
        `grant_type=client_credentials&client_assertion_type=${assertionType}` +
        `&client_assertion=${input}.${signature}`,
    }
  })
}
