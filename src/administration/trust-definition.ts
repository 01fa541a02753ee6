import { readIssuerKey } from '../authentication/issuer-key.ts'
import {
  conditionWords,
  type IssuerKeySource,
  readCondition,
  type TrustedIssuer,
  type TrustRule,
} from '../registry/issuer.ts'
import { type CertificateWords, fieldIn, fieldWords } from './certificate-words.ts'
import type { IssuerDefinition } from './definition.ts'
import type { IssuerInput, RuleInput } from './trust-registration.ts'

/** Issuers in the words of files, and back. */

export function toIssuer(input: IssuerInput): IssuerDefinition {
  const { issuer, status, owner } = input
  const keys = keySource(input)
  const rules = input.rules.map(toRule).map((rule) => {
    if (keys.kind !== 'client_metadata' || rule.conditions.length > 0) return rule
    // Whom it is about is said by the issuer already. Written out, it is a rule like all others.
    return { ...rule, conditions: [{ claim: 'sub', prefix: issuer }] }
  })
  return { issuer, status, keys, owner, rules }
}

function keySource({ jwks_uri, spiffe_bundle, jwks, client_metadata }: IssuerInput): IssuerKeySource {
  if (client_metadata === true) return { kind: 'client_metadata' }
  if (jwks_uri !== undefined) return { kind: 'jwks_uri', url: jwks_uri }
  if (spiffe_bundle !== undefined) return { kind: 'spiffe_bundle', url: spiffe_bundle }
  if (jwks === undefined) return { kind: 'discovery' }
  // Only the members that make the key and name it, never a member that was not checked.
  const keys = jwks.keys.flatMap((jwk) => {
    const key = readIssuerKey(jwk, 'sig')
    if (!('thumbprint' in key)) return []
    const { publicJwk, kid, algorithm } = key
    return [{ ...publicJwk, alg: algorithm, ...(kid === undefined ? {} : { kid }) }]
  })
  return { kind: 'jwks', keys }
}

function toRule(input: RuleInput): TrustRule {
  return {
    rule: input.rule,
    conditions: input.conditions.flatMap((words) => readCondition(words) ?? []),
    clientId: input.client_id,
    access: input.access as TrustRule['access'],
    assertionAudience: input.assertion_audience,
    assertionMaxAgeSeconds: input.assertion_max_age,
    assertionUse: input.assertion_use,
    tokenLifetimeSeconds: input.token_lifetime,
    allowDefaultServiceAccount: input.allow_default_service_account,
    dangerouslyAnySubject: input.dangerously_any_subject,
    ...(input.require_certificate === undefined
      ? {}
      : { requiredCertificate: fieldIn(input.require_certificate as CertificateWords) }),
    ...(input.require_dpop === undefined ? {} : { requireDpop: input.require_dpop }),
  }
}

/** What a file would say, with the defaults left out. */
export function issuerWords({ issuer, status, keys, owner, rules }: TrustedIssuer) {
  const owned = owner === undefined ? {} : { owner }
  return { issuer, status, ...keyWords(keys), ...owned, rules: rules.map(ruleWords) }
}

export function keyWords(keys: IssuerKeySource): Readonly<Record<string, unknown>> {
  if (keys.kind === 'discovery') return {}
  if (keys.kind === 'client_metadata') return { client_metadata: true }
  return keys.kind === 'jwks' ? { jwks: { keys: keys.keys } } : { [keys.kind]: keys.url }
}

/** The same read back. */
export function keysOfWords(words: {
  readonly client_metadata?: unknown
  readonly jwks?: unknown
  readonly jwks_uri?: unknown
  readonly spiffe_bundle?: unknown
}): IssuerKeySource {
  const { client_metadata, jwks, jwks_uri, spiffe_bundle } = words
  if (client_metadata === true) return { kind: 'client_metadata' }
  if (typeof jwks_uri === 'string') return { kind: 'jwks_uri', url: jwks_uri }
  if (typeof spiffe_bundle === 'string') return { kind: 'spiffe_bundle', url: spiffe_bundle }
  const keys = (jwks as { readonly keys?: unknown } | undefined)?.keys
  return Array.isArray(keys) ? { kind: 'jwks', keys } : { kind: 'discovery' }
}

export function ruleWords(rule: TrustRule) {
  return {
    rule: rule.rule,
    conditions: rule.conditions.map(conditionWords),
    ...(rule.clientId === undefined ? {} : { client_id: rule.clientId }),
    ...(rule.access === undefined ? {} : { access: rule.access }),
    assertion_audience: rule.assertionAudience,
    assertion_max_age: rule.assertionMaxAgeSeconds,
    assertion_use: rule.assertionUse,
    ...(rule.tokenLifetimeSeconds === undefined ? {} : { token_lifetime: rule.tokenLifetimeSeconds }),
    ...(rule.allowDefaultServiceAccount ? { allow_default_service_account: true } : {}),
    ...(rule.dangerouslyAnySubject ? { dangerously_any_subject: true } : {}),
    ...(rule.requiredCertificate === undefined
      ? {}
      : { require_certificate: fieldWords(rule.requiredCertificate) }),
    ...(rule.requireDpop === undefined ? {} : { require_dpop: rule.requireDpop }),
  }
}
