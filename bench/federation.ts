import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import type pg from 'pg'
import { rawSignature } from '../src/keys/algorithms.ts'
import type { PreparedRequest } from './requests.ts'

/** Requests of workloads that hold no secret: each brings what a trusted issuer signed for it (RFC 7523). */
export interface BenchIssuer {
  readonly issuer: string
  readonly algorithm: 'ES256' | 'RS256'
  readonly kid: string
  readonly privateKey: KeyObject
}

/** Audience of every bench client (clients.ts). */
const audience = 'https://bench.example.com'

/** Trusts an issuer, whose keys are uploaded. Each of its workloads gets an identity of its own, and the bench resource. */
export async function trustIssuer(
  database: pg.Client,
  algorithm: BenchIssuer['algorithm'],
): Promise<BenchIssuer> {
  const { privateKey, publicKey } =
    algorithm === 'ES256'
      ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
      : generateKeyPairSync('rsa', { modulusLength: 2048 })
  const kid = randomBytes(16).toString('base64url')
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid, alg: algorithm, use: 'sig' }
  const issuer = `https://${algorithm.toLowerCase()}.issuer.example.com`
  await database.query(
    `INSERT INTO trusted_issuer (issuer, key_source, jwks) VALUES ($1, 'jwks', $2::jsonb)`,
    [issuer, JSON.stringify([jwk])],
  )
  await database.query(
    `INSERT INTO trust_rule (rule, issuer, conditions, access) VALUES ($1, $2, $3::jsonb, $4::jsonb)`,
    [
      `bench-${algorithm}`,
      issuer,
      JSON.stringify([
        { claim: 'sub', prefix: 'system:serviceaccount:payments:' },
        { claim: '/kubernetes.io/namespace', equals: 'payments' },
      ]),
      JSON.stringify([{ audience, scopes: ['read'] }]),
    ],
  )
  await database.query('DELETE FROM registry_unrecorded_change')
  return { issuer, algorithm, kid, privateKey }
}

const encoded = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')

/**
 * So many requests of a hundred workloads in turn, with claims as Kubernetes writes them. They can be sent for four minutes.
 * @param grant whether the assertion is the grant (RFC 7523 §2.1) or authenticates a client (§2.2).
 */
export function federatedRequests(
  { issuer, algorithm, kid, privateKey }: BenchIssuer,
  service: string,
  count: number,
  grant: 'jwt-bearer' | 'client_credentials',
): PreparedRequest[] {
  const now = Math.floor(Date.now() / 1_000)
  const header = encoded({ alg: algorithm, kid })
  const before =
    grant === 'jwt-bearer'
      ? 'grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion='
      : 'grant_type=client_credentials&client_assertion_type=' +
        'urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion='
  return Array.from({ length: count }, (_, number) => {
    const name = `worker-${number % 100}`
    const uid = createHash('sha256').update(name).digest('hex').slice(0, 32)
    const claims = encoded({
      iss: issuer,
      aud: service,
      sub: `system:serviceaccount:payments:${name}`,
      iat: now,
      nbf: now,
      exp: now + 240,
      jti: randomBytes(16).toString('base64url'),
      'kubernetes.io': {
        namespace: 'payments',
        pod: { name: `${name}-5c9f7d6b8-x2x4z`, uid },
        serviceaccount: { name, uid },
      },
    })
    const input = `${header}.${claims}`
    const signature = sign('sha256', Buffer.from(input), privateKey)
    const text = (algorithm === 'ES256' ? rawSignature(signature) : signature).toString('base64url')
    return {
      method: 'POST',
      path: '/token',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: `${before}${input}.${text}`,
    }
  })
}
