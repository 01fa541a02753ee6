import { limits } from '../limits.ts'
import type { RefusalReason } from '../refusals.ts'
import {
  type ClaimCondition,
  type ClaimValue,
  type TrustedIssuer,
  type TrustRule,
  workloadId,
} from '../registry/issuer.ts'
import { type Claims, type Moments, textOf } from './signed-jwt.ts'

/**
 * Which rules an assertion fits, which it does not and why. Pure: a function of the assertion, the rules and now.
 *
 * Rules have no order. Every rule that fits admits something, and a token is issued only if one of them admits all of
 * it. If two rules fit and stand for two clients, the service does not choose: the caller names the client, or is
 * refused.
 */
export interface AssertionFacts extends Moments {
  readonly issuer: string
  readonly subject: string
  readonly claims: Claims
  /** Whom it names as its audience, alone: this issuer, its token endpoint, or somebody else. */
  readonly audience: 'issuer' | 'token_endpoint' | 'other'
}

/** Why an assertion does not fit a rule. */
export type Misfit =
  | { readonly kind: 'claim'; readonly condition: ClaimCondition; readonly found: unknown }
  | { readonly kind: 'audience' }
  | { readonly kind: 'too_old'; readonly maxAgeSeconds: number }
  | { readonly kind: 'default_service_account' }
  /** It names no key, and the rule asks for a proof of that one. */
  | { readonly kind: 'no_confirmation' }

export interface JudgedRule {
  readonly rule: TrustRule
  /** None: it fits. */
  readonly misfits: readonly Misfit[]
}

/** What the rules of an issuer say about an assertion. */
export type RuleVerdict =
  | {
      readonly refusal: RefusalReason
      /** The rule that came closest, if one did not fit. */
      readonly closest: JudgedRule | undefined
    }
  | {
      /** The client, or the workload, that the assertion stands for. */
      readonly clientId: string
      /** Those that fit, at least one. */
      readonly rules: readonly TrustRule[]
    }

/**
 * @param clientId the client that the caller names; undefined if it names none.
 * @param now seconds since 1970.
 */
export function judgeAssertion(
  issuer: TrustedIssuer,
  facts: AssertionFacts,
  clientId: string | undefined,
  now: number,
): RuleVerdict {
  const refusal = momentRefusal(facts, now)
  if (refusal !== undefined) return { refusal, closest: undefined }
  const judged = judgeRules(issuer.rules, facts, now)
  const fitting = judged.filter(({ misfits }) => misfits.length === 0).map(({ rule }) => rule)
  if (fitting.length === 0) return { refusal: reasonOf(judged[0]), closest: judged[0] }
  const ofClient = fitting.filter((rule) => clientId === undefined || identityOf(rule, facts) === clientId)
  const [first] = ofClient
  if (first === undefined) return { refusal: 'client_id_mismatch', closest: undefined }
  const identity = identityOf(first, facts)
  if (ofClient.some((rule) => identityOf(rule, facts) !== identity)) {
    return { refusal: 'trust_rules_ambiguous', closest: undefined }
  }
  return { clientId: identity, rules: ofClient }
}

/**
 * All rules, those with the fewest misfits first; among equals those whose conditions hold, and then by name. The order
 * in which they are given does not matter.
 */
export function judgeRules(
  rules: readonly TrustRule[],
  facts: AssertionFacts,
  now: number,
): readonly JudgedRule[] {
  return rules
    .map((rule) => ({ rule, misfits: misfitsOf(rule, facts, now) }))
    .sort(
      (one, other) =>
        one.misfits.length - other.misfits.length ||
        claimMisfits(one) - claimMisfits(other) ||
        (one.rule.rule < other.rule.rule ? -1 : 1),
    )
}

const claimMisfits = ({ misfits }: JudgedRule): number =>
  misfits.filter(({ kind }) => kind === 'claim').length

/** Whom a rule is for. */
function identityOf(
  { clientId }: TrustRule,
  { issuer, subject }: Pick<AssertionFacts, 'issuer' | 'subject'>,
): string {
  return clientId ?? workloadId(issuer, subject)
}

function momentRefusal(
  { expiresAt, notBefore = 0, issuedAt = 0 }: Moments,
  now: number,
): RefusalReason | undefined {
  const leeway = limits.assertionLeewaySeconds
  // No leeway: a token must not outlive its assertion, and so there would be nothing to issue.
  if (Math.floor(expiresAt) <= now) return 'assertion_expired'
  return notBefore > now + leeway || issuedAt > now + leeway ? 'assertion_not_yet_valid' : undefined
}

function misfitsOf(rule: TrustRule, facts: AssertionFacts, now: number): readonly Misfit[] {
  const misfits: Misfit[] = []
  for (const condition of rule.conditions) {
    const found = claimAt(facts.claims, condition.claim)
    if (!holds(condition, found)) misfits.push({ kind: 'claim', condition, found })
  }
  // A rule does not mean it without a condition, unless the rule says so.
  if (rule.conditions.length === 0 && !rule.dangerouslyAnySubject)
    misfits.push({ kind: 'claim', condition: { claim: 'sub', present: true }, found: undefined })
  const isAudienceRight =
    facts.audience === 'issuer' ||
    (facts.audience === 'token_endpoint' && rule.assertionAudience === 'token_endpoint')
  if (!isAudienceRight) misfits.push({ kind: 'audience' })
  const maxAgeSeconds = Math.min(rule.assertionMaxAgeSeconds, limits.assertionAgeSecondsMax)
  // Nobody knows how old an assertion without iat is. It may have as long to live as another one may be old.
  const isTooOld =
    facts.issuedAt === undefined
      ? facts.expiresAt - now > maxAgeSeconds
      : now - facts.issuedAt > maxAgeSeconds
  if (isTooOld) misfits.push({ kind: 'too_old', maxAgeSeconds })
  if (isDefaultServiceAccount(facts) && !rule.allowDefaultServiceAccount)
    misfits.push({ kind: 'default_service_account' })
  if (rule.requireDpop === 'confirmed_key' && confirmationIn(facts.claims).jkt === undefined)
    misfits.push({ kind: 'no_confirmation' })
  return misfits
}

/** The key and the certificate that an assertion is bound to (RFC 7800 §3.1, RFC 8705 §3.1, RFC 9449 §6.1). */
export function confirmationIn(claims: Claims): {
  readonly jkt: string | undefined
  readonly certificateThumbprint: string | undefined
} {
  const cnf = claims['cnf']
  const [jkt, thumbprint] = [memberOf(cnf, 'jkt'), memberOf(cnf, 'x5t#S256')]
  return { jkt: textOf(jkt), certificateThumbprint: textOf(thumbprint) }
}

/** The service account of a Kubernetes pod that was given none. All such pods of a namespace share it. */
function isDefaultServiceAccount({ subject }: AssertionFacts): boolean {
  return /^system:serviceaccount:[^:]*:default$/.test(subject)
}

/** The claim of a name, or at the place that a JSON Pointer leads to (RFC 6901). */
export function claimAt(claims: Claims, claim: string): unknown {
  if (!claim.startsWith('/')) return memberOf(claims, claim)
  let value: unknown = claims
  for (const part of claim.slice(1).split('/')) {
    value = memberOf(value, part.replaceAll('~1', '/').replaceAll('~0', '~'))
  }
  return value
}

/** Own members only: an assertion has no claim `constructor` because all objects do. */
function memberOf(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  return Object.hasOwn(value, name) ? (value as Claims)[name] : undefined
}

/**
 * Values are compared as they are: the text "74" is not the number 74, and a list is not equal to one of its entries.
 */
function holds(condition: ClaimCondition, found: unknown): boolean {
  if ('equals' in condition) return found === condition.equals
  if ('oneOf' in condition) return condition.oneOf.includes(found as ClaimValue)
  if ('prefix' in condition) {
    return (
      typeof found === 'string' &&
      found.startsWith(condition.prefix) &&
      found.length > condition.prefix.length
    )
  }
  return found !== undefined && found !== null && found !== ''
}

/** Why an assertion is refused for which this is the closest rule. */
function reasonOf(closest: JudgedRule | undefined): RefusalReason {
  const kinds = new Set(closest?.misfits.map(({ kind }) => kind))
  if (kinds.has('claim') || closest === undefined) return 'assertion_no_rule_fits'
  if (kinds.has('audience')) return 'assertion_audience_wrong'
  if (kinds.has('too_old')) return 'assertion_too_old'
  return kinds.has('no_confirmation') ? 'assertion_confirmation_missing' : 'default_service_account'
}
