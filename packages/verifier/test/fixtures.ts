import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'

export const issuer = 'https://mint.example'
export const audience = 'https://orders.example'
/** The moment at which tests begin, in seconds since 1970. */
export const start = 1_800_000_000

export interface TestKey {
  readonly kid: string
  readonly privateKey: KeyObject
  readonly jwk: Record<string, unknown>
}

export function makeKey(kid: string): TestKey {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return { kid, privateKey, jwk: { ...publicKey.export({ format: 'jwk' }), kid, alg: 'ES256', use: 'sig' } }
}

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')

/** A good token, but for what is changed. */
export function makeToken(key: TestKey, changed: Record<string, unknown> = {}): string {
  const claims = {
    iss: issuer,
    sub: 'billing',
    client_id: 'billing',
    aud: audience,
    scope: 'orders:read',
    iat: start,
    exp: start + 300,
    jti: 'test-token',
    ...changed,
  }
  const input = `${part({ alg: 'ES256', typ: 'at+jwt', kid: key.kid })}.${part(claims)}`
  const signature = sign('sha256', Buffer.from(input), { key: key.privateKey, dsaEncoding: 'ieee-p1363' })
  return `${input}.${signature.toString('base64url')}`
}

/** A clock that moves when it is told to: the wall clock and the monotonic one, together or not. */
export class TestClock {
  wall = start
  monotonic = 1_000

  pass(seconds: number): void {
    this.wall += seconds
    this.monotonic += seconds
  }
  readonly nowSeconds = (): number => this.wall
  readonly monotonicSeconds = (): number => this.monotonic
}
