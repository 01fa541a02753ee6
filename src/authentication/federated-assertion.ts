import { hasControlCharacter } from '../lib/form-encoding.ts'
import { limits } from '../limits.ts'
import type { RefusalReason } from '../refusals.ts'
import { isJti } from './compact-jws.ts'
import {
  type Claims,
  type Moments,
  type ReadJwt,
  readMoments,
  readSignedJwt,
  type SignedJwt,
  textOf,
} from './signed-jwt.ts'

/**
 * Reads an assertion that another issuer signed about a workload (RFC 7523 §2.1 and §2.2, JWT-SVID): a token of a Kubernetes
 * service account, of a CI job, of an agent. Nothing in it is proven here. Pure.
 */
export interface ReadFederated {
  /** Who it says has signed it, and about whom, for the record of a refusal too. */
  readonly issuer: string | undefined
  readonly subject: string | undefined
  /** What is wrong with it, whoever signed it. */
  readonly refusal: RefusalReason | undefined
  /** Undefined if there is a refusal. */
  readonly assertion: FederatedAssertion | undefined
}

export interface FederatedAssertion extends SignedJwt, Moments {
  /** Its `iss`; without one, the trust domain of its subject. */
  readonly issuer: string
  readonly subject: string
  /** The one audience that it names; undefined if it names several, or if the value is not text. */
  readonly audience: string | undefined
  /** Undefined if it has none: JWT-SVIDs and older tokens of Kubernetes. */
  readonly jti: string | undefined
  readonly claims: Claims
}

/**
 * The types of tokens that platforms give their workloads. An access token of another service has none of these types,
 * so a service that received one cannot use it here (RFC 8725 §3.12).
 */
const types: ReadonlySet<string | undefined> = new Set([
  undefined,
  'jwt',
  'jose',
  'client-authentication+jwt',
  'authorization-grant+jwt',
])

/** An assertion about a user, who is no machine (draft-ietf-oauth-identity-assertion-authz-grant). */
const userAssertionType = 'oauth-id-jag+jwt'

export function readFederatedText(text: string): ReadFederated {
  return readFederated(readSignedJwt(text), false)
}

/** @param isSpiffe whether it is a JWT-SVID: its issuer is the trust domain, whatever else it says. */
export function readFederated({ claims, refusal, jwt }: ReadJwt, isSpiffe: boolean): ReadFederated {
  const subject = textOf(claims?.['sub'])
  const named = isSpiffe ? undefined : textOf(claims?.['iss'])
  const issuer = named ?? trustDomainOf(subject)
  const refuse = (reason: RefusalReason): ReadFederated => {
    return { issuer, subject, refusal: reason, assertion: undefined }
  }
  if (claims === undefined || jwt === undefined) return refuse(refusal ?? 'assertion_malformed')
  if (jwt.type === userAssertionType) return refuse('assertion_about_user')
  if (!types.has(jwt.type)) return refuse('assertion_type_wrong')
  const moments = readMoments(claims)
  const { jti, aud } = claims
  if (issuer === undefined || subject === undefined || moments === undefined || aud === undefined) {
    return refuse('assertion_claims_malformed')
  }
  if (!isNamed(issuer, subject) || (jti !== undefined && !isJti(jti)))
    return refuse('assertion_claims_malformed')
  const assertion = { ...jwt, ...moments, issuer, subject, audience: onlyAudience(aud), jti, claims }
  return { issuer, subject, refusal: undefined, assertion }
}

/**
 * Whether issuer and subject can name a workload. Names have no control characters, and no column can hold all of
 * those. A trust domain can name only its own workloads, also when it gives its own name as issuer.
 */
function isNamed(issuer: string, subject: string): boolean {
  if (issuer.length > limits.issuerCharactersMax || subject.length > limits.subjectCharactersMax) return false
  if (hasControlCharacter(issuer) || hasControlCharacter(subject)) return false
  return !issuer.startsWith('spiffe:') || trustDomainOf(subject) === issuer
}

/** Kubernetes, SPIRE and others write a list even where there is only one. */
function onlyAudience(audience: unknown): string | undefined {
  const only: unknown = Array.isArray(audience) && audience.length === 1 ? audience[0] : audience
  return typeof only === 'string' ? only : undefined
}

/** A workload in a trust domain (SPIFFE ID §2): lower case, no port, no empty or dotted part of the path. */
const spiffeId = /^(spiffe:\/\/[a-z0-9._-]{1,255})(?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9._-]+)+$/

/** The trust domain of a SPIFFE ID; undefined if the text is not a SPIFFE ID, or names no workload in the domain. */
function trustDomainOf(subject: string | undefined): string | undefined {
  return spiffeId.exec(subject ?? '')?.[1]
}
