import { callersOf, isOfMethod, judge } from '../authentication/authenticate.ts'
import { demandRefusal, demandsCertificate } from '../authentication/certificate.ts'
import { type ProvenPossession, possessionRefusal } from '../authentication/dpop.ts'
import { fapiRefusal, fapiTokenRefusal } from '../authentication/fapi.ts'
import type { Caller, CallerRule, Proof } from '../authentication/method.ts'
import type { SigningAlgorithm, TokenTyp } from '../keys/signing-algorithm.ts'
import { networkContains } from '../lib/network.ts'
import type { RefusalReason } from '../refusals.ts'
import {
  clientRefusal,
  onlyAudience,
  type RegisteredClient,
  type RegisteredResource,
} from '../registry/client.ts'
import { contradictions, type FixedClaims } from '../registry/fixed-claims.ts'
import type { View } from '../registry/memory.ts'
import { subjectOf } from '../registry/subject.ts'
import type { TokenRequest } from './request.ts'

export interface Grant {
  readonly granted: true
  readonly clientId: string
  /** The `sub`, if it is not the id of the client: an external audience can have its own form for it. */
  readonly subject?: string | undefined
  /** Claims that are registered with the client and the resource. */
  readonly claims?: FixedClaims | undefined
  /** What the token says in `client_id`, if it is another name of the same client. */
  readonly publicClientId?: string | undefined
  readonly audience: string
  readonly scopes: readonly string[]
  readonly lifetimeSeconds: number
  readonly signingAlgorithm: SigningAlgorithm
  readonly tokenTyp: TokenTyp
  /** The rule by which an assertion of another issuer got it. */
  readonly rule?: CallerRule | undefined
  /** The key that the user of the token must have as well (RFC 7800); undefined: a bearer token. */
  readonly confirmation?: Confirmation | undefined
  /** The thumbprint of the certificate that had to be brought in addition. */
  readonly certificateThumbprint?: string | undefined
}

/** The members of the claim `cnf`. */
export interface Confirmation {
  /** The thumbprint of a certificate (RFC 8705 §3.1). */
  readonly 'x5t#S256'?: string
  /** The thumbprint of a key (RFC 9449 §6.1). */
  readonly jkt?: string
}

export interface Denial {
  readonly granted: false
  readonly reason: RefusalReason
  /** For the record only. */
  readonly detail?: Readonly<Record<string, string>> | undefined
}

/**
 * Decides a request: a pure function of the request, the proof, the registry at one version, the address of
 * the caller and the current time (seconds since 1970). It is called again with the same proof if the
 * registry changes before the commit.
 */
export function decide(
  request: TokenRequest,
  proof: Proof,
  view: View,
  address: string,
  now: number,
): Grant | Denial {
  const callers = callersOf(request.credentials, proof, view, now)
  if ('refusal' in callers) return { granted: false, reason: callers.refusal, detail: callers.detail }
  return chosen(callers.map((caller) => decideFor(request, proof, caller, view, address, now)))
}

function decideFor(
  request: TokenRequest,
  proof: Proof,
  { client, rule, publicClientId }: Caller,
  view: View,
  address: string,
  now: number,
): Grant | Denial {
  const reason = judgeClient(request, proof, client, address, now) ?? ruleRefusal(rule, request, proof, now)
  if (reason !== undefined) return { granted: false, reason }
  const decision = decideGrant(request, client, view)
  if (!decision.granted) return decision
  const confirmed = withPossession(withCertificate(decision, request, client), proof.possession)
  const unfit = client && fapiTokenRefusal(client, confirmed.confirmation !== undefined, decision)
  if (unfit !== undefined) return { granted: false, reason: unfit }
  if (rule === undefined) return confirmed
  const { tokenLifetimeSeconds = decision.lifetimeSeconds, tokensEndBy } = rule
  const lifetimeSeconds = Math.min(decision.lifetimeSeconds, tokenLifetimeSeconds, tokensEndBy - now)
  return { ...confirmed, lifetimeSeconds, rule, ...(publicClientId === undefined ? {} : { publicClientId }) }
}

/**
 * One of the rules that an assertion fits has to grant all that is requested. If several do, the one that gives the
 * least counts, because rules have no order. If no scopes were named and the rules give different ones, it is unclear
 * which are meant, and the request is refused.
 */
function chosen(decisions: readonly (Grant | Denial)[]): Grant | Denial {
  const [first] = decisions
  if (first === undefined) return { granted: false, reason: 'assertion_no_rule_fits' }
  if (decisions.length === 1) return first
  const grants = decisions.filter((decision) => decision.granted)
  const [grant, ...others] = grants.toSorted(
    (one, other) =>
      one.lifetimeSeconds - other.lifetimeSeconds ||
      Number(other.rule?.isSpent) - Number(one.rule?.isSpent) ||
      ((one.rule?.name ?? '') < (other.rule?.name ?? '') ? -1 : 1),
  )
  // The rules may be refused for different reasons. The reason that comes first by its name is reported, so it is
  // always the same.
  if (grant === undefined) return denials(decisions)[0] ?? first
  const isSame = others.every(
    (other) =>
      other.audience === grant.audience &&
      other.scopes.toSorted().join(' ') === grant.scopes.toSorted().join(' '),
  )
  if (!isSame) return { granted: false, reason: 'trust_rules_ambiguous' }
  // The assertion is used up if any of the rules says so. The token is bound to everything that any of the rules binds
  // it to.
  const isSpent = grants.some(({ rule }) => rule?.isSpent === true)
  const bound = grants.find(({ confirmation }) => confirmation?.['x5t#S256'] !== undefined) ?? grant
  const { confirmation, certificateThumbprint } = bound
  const whole = { ...grant, confirmation, certificateThumbprint }
  return grant.rule === undefined ? whole : { ...whole, rule: { ...grant.rule, isSpent } }
}

function denials(decisions: readonly (Grant | Denial)[]): readonly Denial[] {
  return decisions
    .filter((decision) => !decision.granted)
    .toSorted((one, other) => (one.reason < other.reason ? -1 : 1))
}

function judgeClient(
  request: TokenRequest,
  proof: Proof,
  client: RegisteredClient | undefined,
  address: string,
  now: number,
): RefusalReason | undefined {
  const refusal = clientRefusal(client, now)
  if (client === undefined || refusal !== undefined) return refusal
  const reason = judge(request.credentials, proof, client, now)
  if (reason !== undefined) return reason
  if (client.allowedNetworks.length > 0 && !networkContains(client.allowedNetworks, address)) {
    return 'network_not_allowed'
  }
  const { tokenEndpointAuthMethod: registered } = client
  if (registered !== undefined && !isOfMethod(request.credentials, registered))
    return 'authentication_method_not_registered'
  return (
    fapiRefusal(client, request.credentials, proof) ??
    demandRefusal(client, request.certificate, now) ??
    possessionRefusal(proof.possession, client, now)
  )
}

/** Why a request does not bring what its rule asks for beside the assertion; undefined when it does. */
function ruleRefusal(
  rule: CallerRule | undefined,
  { certificate }: TokenRequest,
  { possession }: Proof,
  now: number,
): RefusalReason | undefined {
  if (rule === undefined) return undefined
  const { requiredCertificate, confirmedCertificate, confirmedKey } = rule
  const isOther =
    (confirmedKey !== undefined && confirmedKey !== possession?.thumbprint) ||
    (confirmedCertificate !== undefined && confirmedCertificate !== certificate?.thumbprint)
  return (
    demandRefusal({ requiredCertificate }, certificate, now) ??
    (isOther ? 'assertion_confirmation_wrong' : undefined)
  )
}

/** What a grant says about a certificate that its client had to bring. */
function withCertificate(
  grant: Grant,
  { certificate, credentials, isGated = false }: TokenRequest,
  client: RegisteredClient | undefined,
): Grant {
  // If the certificate is the credential, the record names it already.
  const isDemanded = isGated && credentials.method !== 'tls_client_auth'
  if (client === undefined || certificate === undefined) return grant
  if (!isDemanded && !demandsCertificate(client)) return grant
  const { thumbprint } = certificate
  const bound = { confirmation: { 'x5t#S256': thumbprint } }
  return {
    ...grant,
    ...(client.certificateBoundTokens ? bound : {}),
    certificateThumbprint: thumbprint,
  }
}

/** A token is bound to the key of a proof whenever there is one, whether or not its client must bring it (RFC 9449 §5). */
function withPossession(grant: Grant, possession: ProvenPossession | undefined): Grant {
  if (possession === undefined) return grant
  return { ...grant, confirmation: { ...grant.confirmation, jkt: possession.thumbprint } }
}

/** What a token says by the registrations of its client and its resource. */
function saidOf(
  client: RegisteredClient,
  { external, subjectForm, claims }: RegisteredResource,
): Pick<Grant, 'subject' | 'claims'> | Denial {
  // A token without these claims, or with one of two values, would differ from what is registered.
  if (claims === 'unreadable' || contradictions(client.claims, claims).length > 0)
    return { granted: false, reason: 'claims_contradictory' }
  const both =
    client.claims === undefined && claims === undefined ? {} : { claims: { ...client.claims, ...claims } }
  if (subjectForm === undefined) return both
  const subject = external === true ? subjectOf(subjectForm, client.clientId) : undefined
  return subject === undefined ? { granted: false, reason: 'subject_unfit' } : { ...both, subject }
}

/**
 * Chooses the audience and the scopes (RFC 8707 §2, RFC 6749 §3.3). A requested scope is never silently
 * dropped.
 */
function decideGrant(
  request: TokenRequest,
  client: RegisteredClient | undefined,
  view: View,
): Grant | Denial {
  if (client === undefined || client.access.size === 0)
    return { granted: false, reason: 'client_without_access' }
  const audience = request.target ?? onlyAudience(client)
  if (audience === undefined) return { granted: false, reason: 'target_missing' }
  const granted = client.access.get(audience)
  // What only a rule names is beside the rules.
  const resource = view.resource?.audience === audience ? view.resource : view.trust?.resources.get(audience)
  if (granted === undefined || resource === undefined) return { granted: false, reason: 'target_not_granted' }
  const { clientId } = client
  const said = saidOf(client, resource)
  if ('reason' in said) return said
  const { tokenLifetimeSeconds: lifetimeSeconds, signingAlgorithm, tokenTyp } = resource
  const target = { audience, lifetimeSeconds, signingAlgorithm, tokenTyp }
  const allowed = { granted: true, clientId, ...said, ...target } as const
  // A scope counts only while the resource has it, even if the access row still names it.
  if (request.scopes === undefined) {
    const scopes = granted.filter((scope) => resource.scopes.has(scope))
    // Access that was registered without scopes is granted. Access that has lost all its scopes is refused.
    if (scopes.length === 0 && granted.length > 0) return { granted: false, reason: 'scope_not_granted' }
    return { ...allowed, scopes }
  }
  for (const scope of request.scopes) {
    if (!granted.includes(scope) || !resource.scopes.has(scope))
      return { granted: false, reason: 'scope_not_granted' }
  }
  return { ...allowed, scopes: request.scopes }
}
