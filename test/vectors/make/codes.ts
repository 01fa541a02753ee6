/** What a refusal is called, and what the relying service answers (RFC 6750 §3.1, RFC 9449 §7.1). */
interface Code {
  readonly status: 400 | 401 | 403 | 503
  /** The `error` of the WWW-Authenticate header; null if the answer has none. */
  readonly error: string | null
  readonly means: string
}

const token = (means: string): Code => ({ status: 401, error: 'invalid_token', means })
const proof = (means: string): Code => ({ status: 401, error: 'invalid_dpop_proof', means })
/** A signature has no error of its own in RFC 9421. The answer says what must be signed (`Accept-Signature`, §5.1). */
const request = (means: string): Code => ({ status: 401, error: null, means })

export const codes: Readonly<Record<string, Code>> = {
  token_missing: { status: 401, error: null, means: 'The request has no token.' },
  request_malformed: {
    status: 400,
    error: 'invalid_request',
    means: 'The request shows its token twice, or not as it should.',
  },

  token_malformed: token(
    'It is not three parts of canonical base64url with a JSON object each, or beyond a bound.',
  ),
  algorithm_not_allowed: token('Its algorithm is not in the list, or not that of its key.'),
  header_unsupported: token('Its header has crit or b64.'),
  type_wrong: token('It is another kind of JWT.'),
  key_unknown: token('No usable key of the set has its kid.'),
  keys_unavailable: { status: 503, error: null, means: 'There is no set of keys to verify with.' },
  signature_wrong: token('Its signature is not that of its key.'),
  issuer_wrong: token('It is from another issuer.'),
  audience_wrong: token('It is for somebody else.'),
  claim_missing: token('A claim that must be there is missing.'),
  claim_invalid: token('A claim has a value that it cannot have.'),
  token_expired: token('Its time is over.'),
  token_not_yet_valid: token('Its time has not begun.'),
  scope_insufficient: {
    status: 403,
    error: 'insufficient_scope',
    means: 'It lacks a scope that is needed here.',
  },

  certificate_missing: token('It is bound to a certificate, and the connection has none.'),
  certificate_wrong: token('It is bound to another certificate.'),
  certificate_expired: token('The certificate that it is bound to is not valid now.'),
  proof_missing: token('It is bound to a key, and no proof was shown.'),
  proof_key_wrong: token('It is bound to another key than that of the proof.'),
  token_not_bound: token('A proof was shown, and it is bound to no key.'),

  proof_malformed: proof('It is not one JWT as it should be, or its header has crit or b64.'),
  proof_type_wrong: proof('It is another kind of JWT.'),
  proof_algorithm_not_allowed: proof('Its algorithm is not in the list.'),
  proof_key_invalid: proof('Its jwk is no public key for its algorithm.'),
  proof_signature_wrong: proof('Its signature is not that of its key.'),
  proof_claim_missing: proof('A claim that must be there is missing.'),
  proof_claim_invalid: proof('A claim has a value that it cannot have.'),
  proof_method_wrong: proof('It is for another method.'),
  proof_url_wrong: proof('It is for another URL.'),
  proof_time_wrong: proof('It is too old, or from the future.'),
  proof_token_wrong: proof('It is for another token.'),
  proof_replayed: proof('It was used before.'),

  request_signature_missing: request('It has no signature with the tag.'),
  request_signature_malformed: request('Its signature is not as RFC 9421 has it.'),
  request_parameter_missing: request('The signature does not say when, once, or by whom.'),
  request_component_missing: request(
    'The signature does not cover what it must, or covers what is not there.',
  ),
  request_component_unsupported: request('The signature covers something that is not understood.'),
  request_key_unknown: request('No key has its keyid.'),
  request_key_wrong: request('The token is bound to another key.'),
  request_algorithm_not_allowed: request('Its algorithm is not that of its key.'),
  request_time_wrong: request('It is too old, or from the future.'),
  request_signature_wrong: request('Its signature is not that of its key.'),
  request_digest_wrong: request('Its body has another digest.'),
  request_replayed: request('It was sent before.'),

  replay_memory_full: {
    status: 503,
    error: null,
    means: 'So many proofs or requests are remembered that no other one can be.',
  },
}
