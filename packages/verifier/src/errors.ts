/**
 * What each refusal is: the status and the `error` of the answer (RFC 6750 §3.1, RFC 9449 §7.1, §12.1), and a sentence for
 * the caller. No sentence quotes the token.
 */
interface RefusalDefinition {
  readonly status: 400 | 401 | 403 | 503
  /** Undefined if the answer names no error. */
  readonly error?: string
  readonly message: string
}

const token = (message: string) => ({ status: 401, error: 'invalid_token', message }) as const
const proof = (message: string) => ({ status: 401, error: 'invalid_dpop_proof', message }) as const
/** RFC 9421 has no error of its own for signatures. */
const request = (message: string) => ({ status: 401, message }) as const

const refusals = {
  token_missing: { status: 401, message: 'The request has no access token.' },
  request_malformed: {
    status: 400,
    error: 'invalid_request',
    message: 'The request must show one token, in one Authorization header.',
  },
  token_malformed: token('The token is not well-formed.'),
  algorithm_not_allowed: token('The algorithm of the token is not allowed here.'),
  header_unsupported: token('The header of the token has crit or b64.'),
  type_wrong: token('The token is no access token.'),
  key_unknown: token('The key of the token is not known.'),
  keys_unavailable: { status: 503, message: 'Tokens cannot be verified now, because no keys are known.' },
  signature_wrong: token('The signature of the token is wrong.'),
  issuer_wrong: token('The token is from another issuer.'),
  audience_wrong: token('The token is for another audience.'),
  claim_missing: token('The token lacks a claim that is required.'),
  claim_invalid: token('The token has a claim with an invalid value.'),
  token_expired: token('The token has expired.'),
  token_not_yet_valid: token('The token is not valid yet.'),
  scope_insufficient: {
    status: 403,
    error: 'insufficient_scope',
    message: 'The token lacks a scope that is required.',
  },
  certificate_missing: token('The token is bound to a client certificate, and the connection has none.'),
  certificate_wrong: token('The token is bound to another client certificate.'),
  certificate_expired: token('The client certificate of the token is not valid now.'),
  proof_missing: token('The token is bound to a key and needs a DPoP proof.'),
  proof_key_wrong: token('The token is bound to another key than that of the proof.'),
  token_not_bound: token('The token is bound to no key, so it is a Bearer token.'),
  proof_malformed: proof('The request must show one well-formed DPoP proof.'),
  proof_type_wrong: proof('The proof is no DPoP proof.'),
  proof_algorithm_not_allowed: proof('The algorithm of the proof is not allowed here.'),
  proof_key_invalid: proof('The jwk of the proof is no public key for its algorithm.'),
  proof_signature_wrong: proof('The signature of the proof is wrong.'),
  proof_claim_missing: proof('The proof lacks a claim that is required.'),
  proof_claim_invalid: proof('The proof has a claim with an invalid value.'),
  proof_method_wrong: proof('The proof is for another method.'),
  proof_url_wrong: proof('The proof is for another URL.'),
  proof_time_wrong: proof('The proof is too old, or its time is in the future.'),
  proof_token_wrong: proof('The proof is for another token.'),
  proof_replayed: proof('The proof was used before.'),
  request_signature_missing: request('The request is not signed.'),
  request_signature_malformed: request('The signature of the request is not well-formed.'),
  request_parameter_missing: request('The signature of the request lacks created, keyid or nonce.'),
  request_component_missing: request('The signature of the request does not cover what it must.'),
  request_component_unsupported: request(
    'The signature of the request covers something that is not understood.',
  ),
  request_key_unknown: request('The key of the request’s signature is not known.'),
  request_key_wrong: request('The token is bound to another key than that of the request’s signature.'),
  request_algorithm_not_allowed: request('The algorithm of the request’s signature is not that of its key.'),
  request_time_wrong: request('The signature of the request is too old, or its time is in the future.'),
  request_signature_wrong: request('The signature of the request is wrong.'),
  request_digest_wrong: request('The body of the request has another digest.'),
  request_replayed: request('The request was sent before.'),
  replay_memory_full: { status: 503, message: 'Too many proofs are remembered to accept another one now.' },
} as const satisfies Readonly<Record<string, RefusalDefinition>>

/** Names of refusals. They stay the same; new ones may come. */
export type VerifyErrorCode = keyof typeof refusals

/** All codes, each with its status and `error`. */
export const verifyErrorCodes: Readonly<Record<VerifyErrorCode, RefusalDefinition>> = refusals

/** Why a token, or the request that shows it, is refused. Anything else that is thrown is a fault, and no answer. */
export class VerifyError extends Error {
  override readonly name = 'VerifyError'
  readonly code: VerifyErrorCode
  readonly status: RefusalDefinition['status']
  /** The `error` of RFC 6750 §3.1; undefined if the answer has none. */
  readonly error: string | undefined
  /** The `WWW-Authenticate` header of the answer; undefined for 503. */
  wwwAuthenticate: string | undefined
  /** The `Retry-After` header of the answer, in seconds. */
  retryAfterSeconds: number | undefined

  constructor(code: VerifyErrorCode, options?: ErrorOptions) {
    const { status, error, message }: RefusalDefinition = refusals[code]
    super(message, options)
    this.code = code
    this.status = status
    this.error = error
    this.wwwAuthenticate = challenge(this, {})
  }
}

/** What the answer tells the caller besides the error. */
export interface ChallengeParameters {
  /** Where the protected-resource document is (RFC 9728 §5.1). */
  readonly resourceMetadata?: string | undefined
  /** The scopes that are needed. */
  readonly scope?: string | undefined
  /** The algorithms of proofs, if the caller showed its token under the scheme DPoP (RFC 9449 §7.1). */
  readonly proofAlgorithms?: readonly string[] | undefined
}

/** The challenge of RFC 6750 §3, or RFC 9449 §7.1 for a token that needs a proof. */
export function challenge(
  { code, status, error, message }: Pick<VerifyError, 'code' | 'status' | 'error' | 'message'>,
  { resourceMetadata, scope, proofAlgorithms }: ChallengeParameters,
): string | undefined {
  if (status === 503) return undefined
  const isProof = code === 'proof_missing' || error === 'invalid_dpop_proof' || proofAlgorithms !== undefined
  const parameters = [
    ['error', error],
    ['error_description', error === undefined ? undefined : message],
    ['scope', scope],
    ['resource_metadata', resourceMetadata],
    ['algs', isProof ? proofAlgorithms?.join(' ') : undefined],
  ].filter(([, value]) => value !== undefined && value !== '')
  const scheme = isProof ? 'DPoP' : 'Bearer'
  const written = parameters.map(([name, value]) => `${name}="${value}"`).join(', ')
  return written === '' ? scheme : `${scheme} ${written}`
}
