import { setTimeout as sleep } from 'node:timers/promises'
import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, errors, jwtVerify } from 'jose'

/** `npm run drill` runs the drills for longer than CI does. */
export const isLong = process.env['DRILL'] === 'long'

/** What stands for a relying service: says of a token whether it accepts it, and if not, why. */
export interface DrillVerifier {
  readonly name: string
  /** How long after its end it must still accept a token. */
  readonly clockSkewSeconds?: number
  /** Undefined: accepted. */
  verify(token: string): Promise<string | undefined>
}

export interface Expected {
  readonly issuer: string
  readonly clockSkewSeconds: number
}

/** jose with a cache of its own, as long-lived as the schedule says that caches may be. */
export function joseVerifier(
  name: string,
  url: string,
  expected: Expected,
  cache: { maxAgeSeconds: number; cooldownSeconds: number },
): DrillVerifier {
  const keys = createRemoteJWKSet(new URL(`${url}/.well-known/jwks.json`), {
    cacheMaxAge: cache.maxAgeSeconds * 1_000,
    cooldownDuration: cache.cooldownSeconds * 1_000,
    timeoutDuration: 30_000,
    headers: { 'mintmark-verifier': name },
  })
  return {
    name,
    clockSkewSeconds: expected.clockSkewSeconds,
    async verify(token) {
      try {
        await jwtVerify(token, keys, {
          issuer: expected.issuer,
          typ: 'at+jwt',
          clockTolerance: expected.clockSkewSeconds,
        })
        return undefined
      } catch (error) {
        return error instanceof errors.JOSEError ? error.code : String(error)
      }
    },
  }
}

export interface DrillResult {
  readonly verified: number
  readonly failures: readonly string[]
  /** Requests that got no token. */
  readonly refused: readonly number[]
  /** In the order in which they first signed. */
  readonly kids: readonly string[]
}

/**
 * Asks for tokens without pause, gives each to every verifier at once, and once more when it is about to
 * expire, until told to stop.
 */
export async function drill(
  issuers: readonly (() => Promise<Response>)[],
  verifiers: readonly DrillVerifier[],
  until: () => boolean,
  onToken: (token: string, kid: string) => void = () => {},
): Promise<DrillResult> {
  let verified = 0
  const failures: string[] = []
  const refused: number[] = []
  const kids = new Set<string>()
  const later: Promise<unknown>[] = []

  async function check(token: string, kid: string): Promise<void> {
    await Promise.all(
      verifiers.map(async ({ name, clockSkewSeconds = 0, verify }) => {
        const problem = await verify(token)
        // Where the answer comes late, the token has expired, and its key may be gone: no fault of a rotation.
        const isOver = Date.now() / 1_000 > (decodeJwt(token).exp ?? 0) + clockSkewSeconds
        if (problem === undefined) verified += 1
        else if (!isOver) failures.push(`${name}: ${problem} (${kid})`)
      }),
    )
  }

  async function ask(issue: () => Promise<Response>): Promise<void> {
    while (!until()) {
      const response = await issue()
      const answer = (await response.json()) as { access_token?: string; expires_in?: number }
      if (answer.access_token === undefined) {
        refused.push(response.status)
        await sleep(50)
        continue
      }
      const token = answer.access_token
      const { kid = '' } = decodeProtectedHeader(token)
      kids.add(kid)
      onToken(token, kid)
      await check(token, kid)
      later.push(sleep(900 * (answer.expires_in ?? 0)).then(() => check(token, kid)))
      if (later.length > 1_000) await Promise.all(later.splice(0, 500))
      await sleep(20)
    }
  }

  await Promise.all(issuers.map(ask))
  await Promise.all(later)
  return { verified, failures, refused, kids: [...kids] }
}
