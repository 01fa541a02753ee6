import { isOfMethod, judge } from '../authentication/authenticate.ts'
import { demandRefusal, demandsCertificate } from '../authentication/certificate.ts'
import { type ProvenPossession, possessionRefusal } from '../authentication/dpop.ts'
import type { Proof } from '../authentication/method.ts'
import type { SigningAlgorithm, TokenTyp } from '../keys/signing-algorithm.ts'
import { networkContains } from '../lib/network.ts'
import type { RefusalReason } from '../refusals.ts'
import { clientRefusal, onlyAudience, type RegisteredClient } from '../registry/client.ts'
import type { View } from '../registry/registry.ts'
import type { TokenRequest } from './request.ts'

export interface Grant {
  readonly granted: true
  readonly clientId: string
  readonly audience: string
  readonly scopes: readonly string[]
  readonly lifetimeSeconds: number
  readonly signingAlgorithm: SigningAlgorithm
  readonly tokenTyp: TokenTyp
  /** The key that whoever uses the token must have as well (RFC 7800); undefined: a bearer token. */
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
  const reason = judgeClient(request, proof, view.client, address, now)
  if (reason !== undefined) return { granted: false, reason }
  const decision = decideGrant(request, view)
  if (!decision.granted) return decision
  return withPossession(withCertificate(decision, request, view.client), proof.possession)
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
  return demandRefusal(client, request.certificate, now) ?? possessionRefusal(proof.possession, client, now)
}

/** What a grant says about a certificate that its client had to bring. */
function withCertificate(
  grant: Grant,
  { certificate, credentials, isGated = false }: TokenRequest,
  client: RegisteredClient | undefined,
): Grant {
  // Where it is the credential, the record names it anyway.
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

/**
 * Chooses the audience and the scopes (RFC 8707 §2, RFC 6749 §3.3). A requested scope is never silently
 * dropped.
 */
function decideGrant(request: TokenRequest, { client, resource }: View): Grant | Denial {
  if (client === undefined || client.access.size === 0)
    return { granted: false, reason: 'client_without_access' }
  const audience = request.target ?? onlyAudience(client)
  if (audience === undefined) return { granted: false, reason: 'target_missing' }
  const granted = client.access.get(audience)
  if (granted === undefined || resource === undefined) return { granted: false, reason: 'target_not_granted' }
  const { clientId } = client
  const { tokenLifetimeSeconds: lifetimeSeconds, signingAlgorithm, tokenTyp } = resource
  const allowed = { granted: true, clientId, audience, lifetimeSeconds, signingAlgorithm, tokenTyp } as const
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
