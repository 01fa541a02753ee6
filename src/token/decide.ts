import { judge } from '../authentication/authenticate.ts'
import type { Proof } from '../authentication/method.ts'
import type { RefusalReason } from '../errors.ts'
import type { SigningAlgorithm } from '../keys/signing-algorithm.ts'
import { networkContains } from '../lib/network.ts'
import { clientRefusal, type RegisteredClient } from '../registry/client.ts'
import { onlyAudience, type View } from '../registry/registry.ts'
import type { TokenRequest } from './request.ts'

export interface Grant {
  readonly granted: true
  readonly clientId: string
  readonly audience: string
  readonly scopes: readonly string[]
  readonly lifetimeSeconds: number
  readonly signingAlgorithm: SigningAlgorithm
}

export interface Denial {
  readonly granted: false
  readonly reason: RefusalReason
}

/**
 * The decision: a pure function of the request, what was proven, the registry at one version, the caller's
 * address and now (seconds). It is made again, from the same proof, whenever the registry moves on before the
 * commit.
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
  return decideGrant(request, view)
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
  if (client.tokenEndpointAuthMethod !== request.credentials.method)
    return 'authentication_method_not_registered'
  return undefined
}

/** Which audience and scopes (RFC 8707 §2, RFC 6749 §3.3). Nothing is ever dropped silently. */
function decideGrant(request: TokenRequest, { client, resource }: View): Grant | Denial {
  if (client === undefined || client.access.size === 0)
    return { granted: false, reason: 'client_without_access' }
  const audience = request.target ?? onlyAudience(client)
  if (audience === undefined) return { granted: false, reason: 'target_missing' }
  const granted = client.access.get(audience)
  if (granted === undefined || resource === undefined) return { granted: false, reason: 'target_not_granted' }
  const { clientId } = client
  const { tokenLifetimeSeconds: lifetimeSeconds, signingAlgorithm } = resource
  // A scope that the resource no longer has is worth nothing, whatever the access row says.
  if (request.scopes === undefined) {
    const scopes = granted.filter((scope) => resource.scopes.has(scope))
    // Access without scopes is complete as it is; access whose every scope is gone is none.
    if (scopes.length === 0 && granted.length > 0) return { granted: false, reason: 'scope_not_granted' }
    return { granted: true, clientId, audience, scopes, lifetimeSeconds, signingAlgorithm }
  }
  for (const scope of request.scopes) {
    if (!granted.includes(scope) || !resource.scopes.has(scope))
      return { granted: false, reason: 'scope_not_granted' }
  }
  return { granted: true, clientId, audience, scopes: request.scopes, lifetimeSeconds, signingAlgorithm }
}
