import { hash } from 'node:crypto'
import { limits } from '../limits.ts'
import { OAuthError, type RefusalReason } from '../refusals.ts'
import type { RegisteredClient } from '../registry/client.ts'
import { isWorkloadId, type TrustedIssuer, type TrustTable } from '../registry/issuer.ts'
import { isSignedBy } from './assertion-signature.ts'
import type { VerifyingKey } from './client-key.ts'
import { closestRule } from './closest-rule.ts'
import type { FederatedAssertion, ReadFederated } from './federated-assertion.ts'
import { callersOf } from './federated-callers.ts'
import { addressOf, keySourceId, uploadedKeys } from './issuer-keys.ts'
import type {
  AdmittedFederated,
  AuthenticationEdges,
  AuthenticationMethod,
  FederatedCredentials,
  PresentedCredentials,
  Proof,
  UseEdges,
} from './method.ts'
import type { RemoteKeys } from './remote-keys.ts'
import type { SecretUse } from './secret-use-store.ts'
import { type AssertionFacts, judgeAssertion, type RuleVerdict } from './trust-rules.ts'

/**
 * An assertion that a trusted issuer signed about the caller: as authentication of a client (RFC 7523 §2.2, and a JWT-SVID by
 * its own type), or as the grant itself (RFC 7523 §2.1), where no client is named. Both are judged by the same rules.
 */

/** RFC 7523 §2.2, and draft-ietf-oauth-spiffe-client-auth. */
const assertionTypes: ReadonlySet<string | undefined> = new Set([
  'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
  'urn:ietf:params:oauth:client-assertion-type:jwt-spiffe',
])

export const spiffeAssertionType = 'urn:ietf:params:oauth:client-assertion-type:jwt-spiffe'

export const federatedJwt: AuthenticationMethod<FederatedCredentials, AdmittedFederated> = {
  isPresented: ({ clientAssertion, clientAssertionType }) =>
    clientAssertion?.federated !== undefined || clientAssertionType === spiffeAssertionType,
  parse({ clientAssertion, clientAssertionType, clientId }: PresentedCredentials) {
    if (clientAssertionType !== undefined && !assertionTypes.has(clientAssertionType)) {
      throw new OAuthError('authentication_method_unsupported')
    }
    if (clientAssertion === undefined || clientAssertionType === undefined) {
      throw new OAuthError('assertion_incomplete')
    }
    const { federated, refusal } = clientAssertion
    if (federated === undefined) throw new OAuthError(refusal ?? 'assertion_malformed')
    return credentialsOf(federated, clientId)
  },
  admit,
  prove,
  callersOf,
  judge: (proof, client) =>
    proof.federated?.clientId === client.clientId ? undefined : 'client_id_mismatch',
  noteUse(
    { workloadUses }: UseEdges,
    clientId: string,
    { credentialId: rule, federated }: Proof,
    { time }: SecretUse,
  ) {
    if (federated === undefined || !isWorkloadId(clientId)) return
    const { issuer, subject } = federated.facts
    workloadUses.note({ workloadId: clientId, issuer, subject, rule, time })
  },
}

/**
 * The grant: the assertion alone says who asks.
 * @throws OAuthError when it is missing or not complete, or a client authenticates beside it.
 */
export function parseAssertionGrant(
  assertion: ReadFederated | undefined,
  { authorization, clientSecret, clientAssertion, clientAssertionType, clientId }: PresentedCredentials,
): FederatedCredentials {
  const others = [authorization, clientSecret, clientAssertion, clientAssertionType]
  if (others.some((other) => other !== undefined)) throw new OAuthError('authentication_methods_multiple')
  if (assertion === undefined) throw new OAuthError('assertion_missing')
  return credentialsOf(assertion, clientId)
}

function credentialsOf(
  { assertion, refusal }: ReadFederated,
  clientId: string | undefined,
): FederatedCredentials {
  if (assertion === undefined) throw new OAuthError(refusal ?? 'assertion_malformed')
  return { method: 'federated_jwt', clientId, assertion }
}

/** A right signature under a key in memory, by a rule in memory, waits for nothing, and nothing is counted. */
function admit(
  edges: AuthenticationEdges,
  credentials: FederatedCredentials,
  address: string,
): AdmittedFederated | Promise<AdmittedFederated> {
  const issuer = issuerIn(edges.registry.trustNow(), credentials.assertion, edges.issuer)
  const keyId = issuer && signedBy(keysNow(edges, issuer), credentials.assertion)
  const admitted =
    issuer === undefined || keyId === undefined ? undefined : admitSigned(edges, credentials, issuer, keyId)
  return admitted === undefined || 'refusal' in admitted ? admitLater(edges, credentials, address) : admitted
}

/**
 * Everything else is looked at again, with the trust table as the database has it now: the issuer, the rule or the key may be
 * new. What is refused after all of that counts as a failure.
 */
async function admitLater(
  edges: AuthenticationEdges,
  credentials: FederatedCredentials,
  address: string,
): Promise<AdmittedFederated> {
  const { assertion } = credentials
  const issuer = issuerIn(await edges.registry.lookUpTrust(), assertion, edges.issuer)
  if (issuer === undefined) {
    // This is as much work as for a trusted issuer, so that the time shows nothing.
    isSignedBy(assertion, undefined)
    return fail(edges, assertion, address, 'assertion_issuer_untrusted')
  }
  const keyId = await verified(edges.remoteKeys, issuer, assertion)
  if (keyId === undefined)
    throw new OAuthError('issuer_keys_unavailable', { detail: { issuer: issuer.issuer } })
  if (typeof keyId !== 'string') return fail(edges, assertion, address, keyId.refusal)
  const admitted = admitSigned(edges, credentials, issuer, keyId)
  if (!('refusal' in admitted)) return admitted
  return fail(edges, assertion, address, admitted.refusal, closestRule(edges.claimedText, admitted.closest))
}

/**
 * Verifies with the newest keys that can be fetched.
 * @returns the thumbprint of the key that made the signature; undefined if there are no keys.
 */
async function verified(
  remoteKeys: RemoteKeys,
  issuer: TrustedIssuer,
  assertion: FederatedAssertion,
): Promise<string | { readonly refusal: RefusalReason } | undefined> {
  const remote = addressOf(issuer)
  const known = keysNow({ remoteKeys }, issuer)
  const isOver = signedBy(known, assertion) !== undefined || remote === undefined
  const keys = isOver ? known : await remoteKeys.renewed(remote)
  if (keys === undefined) return undefined
  const keyId = signedBy(keys, assertion)
  if (keyId !== undefined) return keyId
  const isKnown = named(keys, assertion).length > 0
  return { refusal: isKnown ? 'assertion_signature_wrong' : 'assertion_key_unknown' }
}

export interface Trial {
  /** Why it would be refused before anything is decided. */
  readonly refusal?: RefusalReason
  readonly clientId?: string
  readonly proof?: Proof
  /** What counts once, if the rule says so. */
  readonly digest?: string
}

/**
 * What the result of `admit` and `prove` would be, for an operator who only wants to know. Nothing is counted, and
 * nothing used up.
 */
export async function tryAssertion(
  trust: TrustTable,
  remoteKeys: RemoteKeys,
  assertion: FederatedAssertion,
  namedClientId: string | undefined,
  ownIssuer: string,
  now: number,
): Promise<Trial> {
  const issuer = issuerIn(trust, assertion, ownIssuer)
  if (issuer === undefined) return { refusal: 'assertion_issuer_untrusted' }
  const keyId = await verified(remoteKeys, issuer, assertion)
  if (keyId === undefined) return { refusal: 'issuer_keys_unavailable' }
  if (typeof keyId !== 'string') return keyId
  const facts = factsOf(assertion, ownIssuer)
  const verdict = judgeAssertion(issuer, facts, namedClientId, now)
  if ('refusal' in verdict) return { refusal: verdict.refusal }
  const { clientId } = verdict
  const federated = { facts, clientId, namedClientId, keySource: keySourceId(issuer) }
  const proof: Proof = { credentialId: keyId, checkedHash: undefined, matched: true, federated }
  return { clientId, proof, digest: digestOf(assertion) }
}

function admitSigned(
  edges: AuthenticationEdges,
  { method, clientId: namedClientId, assertion }: FederatedCredentials,
  issuer: TrustedIssuer,
  keyId: string,
): AdmittedFederated | Extract<RuleVerdict, { refusal: RefusalReason }> {
  const facts = factsOf(assertion, edges.issuer)
  const verdict = judgeAssertion(issuer, facts, namedClientId, edges.clock.nowSeconds())
  if ('refusal' in verdict) return verdict
  const { clientId } = verdict
  return { method, clientId, namedClientId, assertion, keyId, keySource: keySourceId(issuer) }
}

/**
 * Counts a failure and refuses. A caller with an assertion of a trusted issuer can be a stranger too: at a public
 * issuer anybody gets one.
 */
function fail(
  { failureLimit }: AuthenticationEdges,
  { issuer, subject }: FederatedAssertion,
  address: string,
  reason: RefusalReason,
  detail?: Readonly<Record<string, string>>,
): never {
  failureLimit.fail(`${issuer} ${subject}`, address)
  throw new OAuthError(reason, detail === undefined ? {} : { detail })
}

/**
 * A token of this service is never an assertion, even if somebody registered this issuer: one token could be exchanged
 * for the next, again and again.
 */
function issuerIn(
  trust: TrustTable | undefined,
  { issuer }: FederatedAssertion,
  ownIssuer: string,
): TrustedIssuer | undefined {
  if (issuer === ownIssuer) return undefined
  const trusted = trust?.issuers.get(issuer)
  // No issuer signs for clients that publish a document: each of them signs for itself.
  return trusted?.status === 'active' && trusted.keys.kind !== 'client_metadata' ? trusted : undefined
}

function keysNow(
  { remoteKeys }: Pick<AuthenticationEdges, 'remoteKeys'>,
  issuer: TrustedIssuer,
): readonly VerifyingKey[] | undefined {
  const address = addressOf(issuer)
  return address === undefined ? uploadedKeys(issuer) : remoteKeys.now(address)
}

interface NamedKey extends VerifyingKey {
  readonly kid?: string | undefined
}

/** Keys tried for one assertion at most: a set may have several under one name. */
const keysTriedMax = 3

/** @returns the thumbprint of the key that made the signature. */
function signedBy(keys: readonly NamedKey[] | undefined, assertion: FederatedAssertion): string | undefined {
  const candidates = named(keys ?? [], assertion)
  return candidates.find((key) => isSignedBy(assertion, key))?.thumbprint
}

/** Those that the assertion names. One that names none is from an issuer with one key of that algorithm. */
function named(keys: readonly NamedKey[], { algorithm, kid }: FederatedAssertion): readonly NamedKey[] {
  const fitting = keys.filter((key) => key.algorithm === algorithm && (kid === undefined || key.kid === kid))
  if (kid === undefined) return fitting.length === 1 ? fitting : []
  return fitting.slice(0, keysTriedMax)
}

/** Compared character by character (RFC 7523 §3), and alone (RFC 10070 §4). */
function audienceOf(audience: string | undefined, issuer: string): AssertionFacts['audience'] {
  if (audience === issuer) return 'issuer'
  return audience === `${issuer}/token` ? 'token_endpoint' : 'other'
}

export function factsOf(assertion: FederatedAssertion, ownIssuer: string): AssertionFacts {
  const { issuer, subject, claims, expiresAt, notBefore, issuedAt } = assertion
  const audience = audienceOf(assertion.audience, ownIssuer)
  return { issuer, subject, claims, audience, expiresAt, notBefore, issuedAt }
}

/** The signature was right. Whether the rules still say so is for `callersOf`. */
function prove(
  { issuer, clock }: AuthenticationEdges,
  { clientId, namedClientId, assertion, keyId, keySource }: AdmittedFederated,
  _client: RegisteredClient | undefined,
  _address: string,
  earlier?: Proof,
): Proof {
  if (earlier !== undefined) return earlier
  const facts = factsOf(assertion, issuer)
  const until = Math.min(
    facts.expiresAt,
    (facts.issuedAt ?? clock.nowSeconds()) + limits.assertionAgeSecondsMax,
  )
  const once = { digest: digestOf(assertion), expiresAt: Math.ceil(until) + limits.assertionLeewaySeconds }
  return {
    credentialId: keyId,
    checkedHash: undefined,
    matched: true,
    federated: { facts, clientId, namedClientId, keySource },
    once: { ...once, reason: 'assertion_replayed' },
  }
}

/**
 * What counts once: the `jti` at its issuer, or what was signed. The signature itself is not used for this: one
 * assertion can have several right signatures. What was signed counts whoever is its issuer: a trust domain can have a
 * second name, an https URL, and then one assertion has two. The length stands in front, so that no two values give the
 * same bytes.
 */
function digestOf({ issuer, jti, signedBytes }: FederatedAssertion): string {
  if (jti === undefined) return hash('sha256', `federated bytes ${hash('sha256', signedBytes, 'hex')}`, 'hex')
  return hash('sha256', `federated ${issuer.length}:${issuer}jti ${jti}`, 'hex')
}
