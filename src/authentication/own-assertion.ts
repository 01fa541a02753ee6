import { hash } from 'node:crypto'
import { limits } from '../limits.ts'
import type { RefusalReason } from '../refusals.ts'
import type { RegisteredKey } from '../registry/client.ts'
import type { ParsedAssertion } from './client-assertion.ts'
import { keyRefusal } from './client-key.ts'
import type { Proof, ProvenAssertion } from './method.ts'

/**
 * The rules for every assertion that a client signs for itself (RFC 7523 §2.2), whether its keys are registered or in a
 * document of its own. Pure.
 */

/**
 * The key that an assertion names, by its kid or its thumbprint. An assertion that names none is from a client with one
 * valid key of that algorithm. A key that is no longer valid is only chosen if there is no valid one. Then the record
 * can name it.
 */
export function chooseKey(
  keys: readonly RegisteredKey[] | undefined,
  { algorithm, kid }: ParsedAssertion,
  now: number,
): RegisteredKey | undefined {
  const named = (keys ?? []).filter((key) => {
    return key.algorithm === algorithm && (kid === undefined || key.kid === kid || key.thumbprint === kid)
  })
  const valid = named.filter((key) => keyRefusal(key, now) === undefined)
  if (kid !== undefined) return valid[0] ?? named[0]
  const candidates = valid.length === 0 ? named : valid
  return candidates.length === 1 ? candidates[0] : undefined
}

/** What its signature proves, and that it counts once. */
export function provenAssertion(
  { clientId, assertion, keyId }: { clientId: string; assertion: ParsedAssertion; keyId: string },
  issuer: string,
): Proof & { readonly assertion: ProvenAssertion } {
  const { expiresAt, notBefore, issuedAt, jti } = assertion
  const audience = audienceOf(assertion.audience, issuer)
  // The length stands in front, so that no two pairs give the same bytes.
  const digest = hash('sha256', `assertion ${clientId.length}:${clientId}${jti}`, 'hex')
  return {
    credentialId: keyId,
    checkedHash: undefined,
    matched: true,
    assertion: { expiresAt, notBefore, issuedAt, audience },
    once: { digest, expiresAt: Math.ceil(expiresAt), reason: 'assertion_replayed' },
  }
}

/**
 * Compared character by character (RFC 7523 §3). The issuer must stand alone and as text (RFC 10070 §4). An older
 * caller names the token endpoint instead, or a list. Every entry must mean this service.
 */
function audienceOf(audience: unknown, issuer: string): ProvenAssertion['audience'] {
  if (audience === issuer) return 'issuer'
  const named: readonly unknown[] = Array.isArray(audience) ? audience : [audience]
  const areOurs = named.every((each) => each === issuer || each === `${issuer}/token`)
  return areOurs && named.length > 0 ? 'token_endpoint' : 'other'
}

/** Why it does not count now. */
export function momentRefusal(
  { expiresAt, notBefore = 0, issuedAt = 0 }: Omit<ProvenAssertion, 'audience'>,
  now: number,
): RefusalReason | undefined {
  const { assertionLeewaySeconds: leeway, assertionLifetimeSecondsMax: most } = limits
  // No leeway: an assertion is made for one request, a moment ago.
  if (expiresAt <= now) return 'assertion_expired'
  if (notBefore > now + leeway || issuedAt > now + leeway) return 'assertion_not_yet_valid'
  const isLongLived = expiresAt > now + most + leeway || (issuedAt > 0 && expiresAt - issuedAt > most)
  return isLongLived ? 'assertion_lifetime_too_long' : undefined
}
