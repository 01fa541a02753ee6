import type { SigningAlgorithm } from '../keys/signing-algorithm.ts'
import type { RefusalReason } from '../refusals.ts'
import type { RegisteredClient, RegisteredResource } from '../registry/client.ts'
import type { Credentials, Proof } from './method.ts'

/**
 * The FAPI 2.0 Security Profile (§5.3.2.1 and §5.4), as far as it concerns client credentials. A client that is held to it
 * can be registered only in a way that fits it (administration/registration.ts). All of it is decided again with every
 * request, because somebody may have changed a row by hand. Pure.
 *
 * Its clock tolerance needs no rule of its own. It asks that `iat` and `nbf` may be 10 seconds in the future and not 60, and
 * no client may be further ahead than `assertionLeewaySeconds` and `dpopProofLeewaySeconds`, which are between the two.
 */

/** No secret: the client has a key or a certificate, or a trusted issuer vouches for it. */
export const fapiAuthMethods: readonly string[] = [
  'private_key_jwt',
  'tls_client_auth',
  'self_signed_tls_client_auth',
  'federated_jwt',
]

/** What signs assertions, proofs and tokens: PS256, ES256 or EdDSA with Ed25519. */
export const isFapiAlgorithm = (algorithm: SigningAlgorithm): boolean => algorithm !== 'RS256'

type Held = Pick<RegisteredClient, 'fapi'>

/** Why a client that is held to the profile has not proven itself by its rules; undefined when it has. */
export function fapiRefusal(
  { fapi }: Held,
  credentials: Credentials,
  proof: Proof,
): RefusalReason | undefined {
  if (fapi !== true) return undefined
  if (!fapiAuthMethods.includes(credentials.method)) return 'authentication_method_not_registered'
  if ('assertion' in credentials) {
    if (!isFapiAlgorithm(credentials.assertion.algorithm)) return 'assertion_algorithm_unsupported'
    const audience = proof.assertion?.audience ?? proof.federated?.facts.audience
    if (audience !== 'issuer') return 'assertion_audience_token_endpoint'
  }
  const { possession } = proof
  if (possession !== undefined && !isFapiAlgorithm(possession.algorithm)) return 'dpop_algorithm_unsupported'
  return undefined
}

/** Why such a client may not have this token; undefined when it may. A thief could use a token that is not bound. */
export function fapiTokenRefusal(
  { fapi }: Held,
  isBound: boolean,
  { signingAlgorithm }: Pick<RegisteredResource, 'signingAlgorithm'>,
): RefusalReason | undefined {
  if (fapi !== true) return undefined
  if (!isBound) return 'token_not_bound'
  return isFapiAlgorithm(signingAlgorithm) ? undefined : 'token_algorithm_not_allowed'
}
