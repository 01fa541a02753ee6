/**
 * Verifies tokens as a relying service does, for as long as it is told to. The parent sends one contestant after the other;
 * the answer is how many tokens it verified, and the CPU time.
 */
import { generateKeyPairSync, sign } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createVerifier } from '@mintmark/verifier'
import { createRemoteJWKSet, jwtVerify } from 'jose'

export interface VerifyRound {
  readonly contestant: 'mintmark' | 'jose' | 'fast-jwt'
  /** Whether each token comes for the first time, or the same one again and again. */
  readonly isCold: boolean
  readonly seconds: number
}

export interface VerifyResult {
  readonly verified: number
  readonly seconds: number
  readonly cpuMicroseconds: number
}

const issuer = 'http://127.0.0.1:1'
const audience = 'https://orders.example.com'
/** More than any memory of tokens here has places for, so that each token comes as if for the first time. */
const tokensMade = 30_000
const batch = 500

const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'bench', alg: 'ES256', use: 'sig' }
const iat = Math.floor(Date.now() / 1000)
const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')

function makeToken(number: number): string {
  const claims = { iss: issuer, sub: 'billing', client_id: 'billing', aud: audience, scope: 'orders:read' }
  const jti = `01a21b29-9570-7b70-950b-${String(number).padStart(12, '0')}`
  const header = part({ alg: 'ES256', typ: 'at+jwt', kid: jwk.kid })
  const input = `${header}.${part({ ...claims, iat, exp: iat + 86_400, jti })}`
  return `${input}.${sign('sha256', Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
}
/** A token comes with a request, so it is a text of its own and in one piece. */
const asReceived = (token: string): string => Buffer.from(token, 'latin1').toString('latin1')
const fresh = Array.from({ length: tokensMade }, (_, number) => asReceived(makeToken(number)))
const repeated = Array.from({ length: batch }, () => asReceived(fresh[0] ?? ''))
/** Which token comes next, over all rounds of a contestant: none comes again while it may be remembered. */
const next: Partial<Record<VerifyRound['contestant'], number>> = {}

const server = createServer((_, response) => {
  response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'max-age=3600' })
  response.end(JSON.stringify({ keys: [jwk] }))
})
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
server.unref()
const jwksUri = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`

/** Each as its own page says, with keys from an endpoint where it can. */
const contestants: Record<VerifyRound['contestant'], () => Promise<(token: string) => unknown>> = {
  async mintmark() {
    const verifier = createVerifier({ issuer, audience, jwksUri })
    return (token) => verifier.verify(token)
  },
  async jose() {
    const keys = createRemoteJWKSet(new URL(jwksUri))
    const options = { issuer, audience, typ: 'at+jwt', algorithms: ['ES256'] }
    return (token) => jwtVerify(token, keys, options)
  },
  async 'fast-jwt'() {
    const peer = await import('../peers/fast-jwt.js')
    const key = publicKey.export({ type: 'spki', format: 'pem' }).toString()
    const options = { algorithms: ['ES256'], allowedIss: issuer, allowedAud: audience, checkTyp: 'at+jwt' }
    return peer.createFastJwtVerifier({ ...options, key, cache: true })
  },
}
const made: Partial<Record<VerifyRound['contestant'], (token: string) => unknown>> = {}

async function measure({ contestant, isCold, seconds }: VerifyRound): Promise<VerifyResult> {
  made[contestant] ??= await contestants[contestant]()
  const verify = made[contestant]
  const before = process.cpuUsage()
  const started = performance.now()
  let verified = 0
  let at = next[contestant] ?? 0
  while (performance.now() - started < seconds * 1000) {
    for (let count = 0; count < batch; count += 1) {
      await verify((isCold ? fresh[at % tokensMade] : repeated[count]) ?? '')
      at += 1
    }
    verified += batch
  }
  next[contestant] = at
  const { user, system } = process.cpuUsage(before)
  return { verified, seconds: (performance.now() - started) / 1000, cpuMicroseconds: user + system }
}

process.on('message', (round: VerifyRound) => {
  void measure(round).then(
    (result) => process.send?.(result),
    (error: unknown) => {
      throw error
    },
  )
})
process.send?.('ready')
