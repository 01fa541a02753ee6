/**
 * Every reason to refuse a request, and the one error that refuses it.
 *
 * `OAuthError` has a precise *reason* for the ledger and the log. The caller gets only the OAuth error code, the status
 * and the description. Any other error becomes `server_error` without details, and its cause is logged. A test compares
 * docs/reference/errors.md with this table. What ends a command or a start is in errors.ts.
 *
 * Long because it is one table, in the order in which a request is judged.
 */

/** The error codes of RFC 6749 §5.2, RFC 8707 §2 and RFC 9449 §12.2. The last two are from RFC 6749 §4.1.2.1. */
export type OAuthErrorCode =
  | 'invalid_request'
  | 'invalid_client'
  | 'invalid_grant'
  | 'unauthorized_client'
  | 'unsupported_grant_type'
  | 'invalid_scope'
  | 'invalid_target'
  | 'invalid_dpop_proof'
  | 'use_dpop_nonce'
  | 'temporarily_unavailable'
  | 'server_error'

export interface RefusalDefinition {
  readonly error: OAuthErrorCode
  readonly status: number
  /** The text for the caller. Only %x20-21 / %x23-5B / %x5D-7E (RFC 6749 §5.2). It never repeats input. */
  readonly description: string
}

const request = (description: string, status = 400): RefusalDefinition => ({
  error: 'invalid_request',
  status,
  description,
})
const target = (description: string): RefusalDefinition => ({
  error: 'invalid_target',
  status: 400,
  description,
})
const scope = (description: string): RefusalDefinition => ({
  error: 'invalid_scope',
  status: 400,
  description,
})

const proof = (description: string): RefusalDefinition => ({
  error: 'invalid_dpop_proof',
  status: 400,
  description,
})
const nonce = (description: string): RefusalDefinition => ({
  error: 'use_dpop_nonce',
  status: 400,
  description,
})

/**
 * The one answer to every problem with a credential. A caller that has not authenticated must not learn which
 * clients exist, which are disabled, or why a secret is refused.
 */
const unauthenticated: RefusalDefinition = {
  error: 'invalid_client',
  status: 401,
  description: 'Client authentication failed.',
}

/** The caller has shown that it has the key. So it may hear what else is wrong with its assertion. */
const signed = (description: string): RefusalDefinition => ({ ...unauthenticated, description })

const unavailable = (description: string, status = 503): RefusalDefinition => ({
  error: 'temporarily_unavailable',
  status,
  description,
})

/** One answer for all of them, so that somebody who forges such a header learns nothing from it. */
const certificateHeader = request('The request has a header that is not accepted from this caller.')

const capacity = unavailable('The service is at capacity. Try again after the time in Retry-After.')
const storage = unavailable('The service cannot reach its database. Try again after the time in Retry-After.')

export const refusals = {
  // The message itself (RFC 9110, RFC 6749 §3.2).
  method_not_allowed: request('The token endpoint takes POST only.', 405),
  header_repeated: request('A header that is allowed once was sent more than once.'),
  certificate_header_untrusted: certificateHeader,
  certificate_header_unexpected: certificateHeader,
  certificate_header_repeated: certificateHeader,
  certificate_header_malformed: certificateHeader,
  certificate_header_contradictory: certificateHeader,
  query_string_present: request('Parameters belong in the body, not in the query string.'),
  content_type_unsupported: request('The body must be application/x-www-form-urlencoded, in UTF-8.', 415),
  content_encoding_unsupported: request('The body must not be compressed.', 415),
  body_too_large: request('The body is larger than 64 KiB.', 413),
  body_incomplete: request('The body ended before its announced length.'),
  body_malformed: request(
    'The body is not a well-formed form: printable ASCII without line breaks, and every % followed by two hex digits, in UTF-8.',
  ),
  space_not_encoded: request(
    'The body contains a space that is not encoded: write + or %20 for it (with curl, --data-urlencode).',
  ),
  character_forbidden: request('A parameter contains a control character.'),
  parameters_too_many: request('The form has more than 64 parameters.'),
  parameter_repeated: request('A parameter was sent more than once.'),
  parameter_too_long: request('A parameter is longer than 16384 characters.'),
  grant_type_missing: request('The parameter grant_type is missing.'),
  grant_type_unsupported: {
    error: 'unsupported_grant_type',
    status: 400,
    description: 'The grant_type must be client_credentials, or jwt-bearer (RFC 7523) with an assertion.',
  },

  // How the client authenticates (RFC 6749 §2.3).
  authorization_repeated: request('There is more than one Authorization header.'),
  authorization_malformed: request('The Authorization header is not well-formed Basic authentication.'),
  authentication_methods_multiple: request('The client authenticates in more than one way. Use one.'),
  client_id_mismatch: request('The client_id in the body differs from the one that authenticates.'),
  authentication_missing: unauthenticated,
  authentication_method_unsupported: unauthenticated,
  assertion_missing: request('The parameter assertion is missing.'),
  assertion_incomplete: request('The parameters client_assertion and client_assertion_type belong together.'),
  assertion_malformed: request(
    'The assertion is not a signed JWT in compact form (RFC 7515 section 3.1), or is too long.',
  ),
  assertion_header_unsupported: unauthenticated,
  assertion_type_wrong: unauthenticated,
  assertion_algorithm_unsupported: unauthenticated,
  assertion_claims_malformed: unauthenticated,
  assertion_about_user: unauthenticated,
  assertion_issuer_untrusted: unauthenticated,
  client_metadata_url_malformed: unauthenticated,
  client_metadata_unavailable: unauthenticated,

  // The client and its credentials (RFC 6749 §5.2), in the order in which they are checked.
  secret_malformed: unauthenticated,
  client_unknown: unauthenticated,
  client_deleted: unauthenticated,
  client_disabled: unauthenticated,
  client_expired: unauthenticated,
  registration_unreadable: unauthenticated,
  registration_unsealed: unauthenticated,
  client_has_no_secret: unauthenticated,
  secret_wrong: unauthenticated,
  secret_revoked: unauthenticated,
  secret_expired: unauthenticated,
  secret_hash_unusable: unauthenticated,
  client_has_no_certificate: unauthenticated,
  client_has_no_key: unauthenticated,
  assertion_key_unknown: unauthenticated,
  client_key_unusable: unauthenticated,
  client_keys_unavailable: unauthenticated,
  assertion_signature_wrong: unauthenticated,
  client_key_revoked: unauthenticated,
  client_key_expired: unauthenticated,
  assertion_audience_wrong: signed(
    'The aud of the assertion must be the issuer of this service, as its metadata has it.',
  ),
  assertion_audience_token_endpoint: signed(
    'The aud of the assertion is the token endpoint or a list. It must be the issuer of this service alone.',
  ),
  assertion_expired: signed(
    'The assertion has expired. Sign a new one for each request, with a right clock.',
  ),
  assertion_not_yet_valid: signed(
    'The assertion is not valid yet (nbf or iat). Check the clock of the caller.',
  ),
  assertion_lifetime_too_long: signed('The assertion is valid for longer than five minutes.'),
  assertion_replayed: signed(
    'The assertion was used before. Sign a new one for each request, with its own jti.',
  ),
  assertion_no_rule_fits: unauthenticated,
  assertion_too_old: unauthenticated,
  assertion_confirmation_missing: unauthenticated,
  assertion_confirmation_wrong: unauthenticated,
  default_service_account: unauthenticated,
  workload_blocked: unauthenticated,
  trust_rules_ambiguous: request(
    'The assertion stands for several clients, or for different scopes. Name one with client_id, resource and scope.',
  ),
  certificate_missing: unauthenticated,
  certificate_malformed: unauthenticated,
  certificate_chain_malformed: unauthenticated,
  certificate_weak: unauthenticated,
  certificate_usage_wrong: unauthenticated,
  certificate_untrusted: unauthenticated,
  certificate_revoked: unauthenticated,
  certificate_revocation_unknown: unauthenticated,
  certificate_not_yet_valid: unauthenticated,
  certificate_expired: unauthenticated,
  certificate_authority_expired: unauthenticated,
  certificate_subject_mismatch: unauthenticated,
  certificate_key_unknown: unauthenticated,
  network_not_allowed: unauthenticated,
  authentication_method_not_registered: {
    error: 'invalid_client',
    status: 401,
    description: 'This client is registered for another token_endpoint_auth_method.',
  },

  // The proof of possession (RFC 9449 §4.3 and §8). The first seven are found before the client authenticates.
  dpop_proof_repeated: proof('There is more than one DPoP header.'),
  dpop_proof_malformed: proof(
    'The DPoP header is not a signed JWT in compact form (RFC 7515 section 3.1), or is too long.',
  ),
  dpop_header_unsupported: proof('The header of the DPoP proof has crit or b64. They are not supported.'),
  dpop_type_wrong: proof('The typ of the DPoP proof must be dpop+jwt.'),
  dpop_algorithm_unsupported: proof(
    'The alg of the DPoP proof is not supported: dpop_signing_alg_values_supported in the metadata has those that are.',
  ),
  dpop_claims_malformed: proof('The DPoP proof must have jti, htm, htu and iat (RFC 9449 section 4.2).'),
  dpop_key_unusable: proof(
    'The jwk of the DPoP proof must be a public key that fits its alg: P-256, Ed25519, or RSA of 2048 to 4096 bits.',
  ),
  dpop_proof_missing: request('This client must send a DPoP proof (RFC 9449) with every token request.'),
  token_not_bound: request(
    'This client gets only tokens that are bound to a key: send a DPoP proof (RFC 9449), or the certificate (RFC 8705).',
  ),
  dpop_signature_wrong: proof('The signature of the DPoP proof was not made with the key in its header.'),
  dpop_method_wrong: proof('The htm of the DPoP proof must be POST.'),
  dpop_uri_wrong: proof(
    'The htu of the DPoP proof must be the token_endpoint of the metadata, whatever address the request is sent to.',
  ),
  dpop_proof_expired: proof(
    'The DPoP proof is too old: its iat is more than a minute ago by the clock of the service.',
  ),
  dpop_proof_not_yet_valid: proof('The iat of the DPoP proof is in the future by the clock of the service.'),
  dpop_nonce_missing: nonce('The DPoP proof needs the nonce in the header DPoP-Nonce of this answer.'),
  dpop_nonce_wrong: nonce(
    'The nonce of the DPoP proof was not issued by this service. Use the one in DPoP-Nonce.',
  ),
  dpop_nonce_expired: nonce('The nonce of the DPoP proof is too old. Use the one in DPoP-Nonce.'),
  dpop_proof_replayed: proof('The DPoP proof was used before. Make a new one for every request.'),

  // The access of the client (RFC 6749 §3.3, RFC 8707 §2).
  client_without_access: {
    error: 'unauthorized_client',
    status: 400,
    description: 'This client has no access to any resource.',
  },
  target_malformed: target(
    'The parameter resource must be an absolute URI without a fragment. A plain name goes into audience.',
  ),
  target_repeated: target('A token has one audience: name one resource.'),
  target_conflict: target('The parameters resource and audience name different targets.'),
  target_missing: target(
    'This client has access to several resources: name one with the parameter resource or audience.',
  ),
  target_not_granted: target('This client has no access to that resource.'),
  token_algorithm_not_allowed: target(
    'The tokens of that resource are signed with an algorithm that this client must not get (FAPI 2.0).',
  ),
  claims_contradictory: target('The claims of this client and of that resource contradict each other.'),
  subject_unfit: target('This client has no subject for that resource.'),
  scope_malformed: scope(
    'The scope is malformed: one space between names, and none before or after (RFC 6749 section 3.3).',
  ),
  scopes_too_many: scope('More than 100 scopes are requested.'),
  scope_not_granted: scope('A requested scope is not granted to this client at that resource.'),

  // The state of the service (RFC 6585 §4, RFC 9110 §15.6.4).
  failures_of_client: unavailable(
    'Too many failed attempts for this client. Try again after Retry-After.',
    429,
  ),
  failures_of_address: unavailable(
    'Too many failed attempts from this address. Try again after Retry-After.',
    429,
  ),
  overloaded: capacity,
  verification_queue_full: capacity,
  commit_queue_full: capacity,
  registry_unsettled: unavailable('The registry keeps changing. Try again after the time in Retry-After.'),
  clock_unreliable: unavailable(
    'The clock of this service is not reliable. It issues no tokens until it is.',
  ),
  keys_unavailable: unavailable('No signing key may sign at this moment. Try again after Retry-After.'),
  issuer_keys_unavailable: unavailable(
    "The keys of the assertion's issuer cannot be fetched. Try again after the time in Retry-After.",
  ),
  registry_unavailable: storage,
  ledger_unavailable: storage,
  internal_error: {
    error: 'server_error',
    status: 500,
    description: 'The service failed. Report the request id to its operator.',
  },
} as const satisfies Record<string, RefusalDefinition>

export type RefusalReason = keyof typeof refusals

/** What `invalid_client` becomes if the caller does not authenticate as a client (RFC 7523 §3.1). */
const assertionRefused: RefusalDefinition = {
  error: 'invalid_grant',
  status: 400,
  description: 'The assertion was refused.',
}

export interface OAuthErrorOptions {
  /** Whether an assertion is refused that is the grant itself. */
  readonly isGrant?: boolean
  /** Seconds for the Retry-After header. By default one second for 503 and 429, and no header otherwise. */
  readonly retryAfterSeconds?: number
  /** The id of the credential that was presented, for the record only. */
  readonly credentialId?: string
  /** What else is known of it, for the record only. Texts that a stranger chose are cleaned already. */
  readonly detail?: Readonly<Record<string, string>>
  /** The underlying error, only for the log. */
  readonly cause?: unknown
}

/** Refuses a request. It can be thrown anywhere, and one place records and answers it. */
export class OAuthError extends Error {
  override readonly name = 'OAuthError'
  readonly reason: RefusalReason
  readonly error: OAuthErrorCode
  readonly status: number
  readonly description: string
  readonly retryAfterSeconds: number | undefined
  readonly credentialId: string | undefined
  readonly detail: Readonly<Record<string, string>> | undefined

  constructor(reason: RefusalReason, options: OAuthErrorOptions = {}) {
    super(reason, options.cause === undefined ? undefined : { cause: options.cause })
    const { isGrant = false } = options
    const asked: RefusalDefinition = refusals[reason]
    const definition = isGrant && asked.error === 'invalid_client' ? assertionRefused : asked
    this.reason = reason
    this.error = definition.error
    this.status = definition.status
    this.description = definition.description
    this.credentialId = options.credentialId
    this.detail = options.detail
    this.retryAfterSeconds =
      options.retryAfterSeconds ?? (definition.status === 503 || definition.status === 429 ? 1 : undefined)
  }

  /**
   * The same refusal, for an assertion that is the grant itself and not the authentication of a client (RFC 7521
   * §4.1.1).
   */
  forGrant(): OAuthError {
    if (this.error !== 'invalid_client') return this
    const { reason, credentialId, detail, cause } = this
    const known = { ...(credentialId && { credentialId }), ...(detail && { detail }) }
    return new OAuthError(reason, { ...known, cause, isGrant: true })
  }

  /** The JSON body (RFC 6749 §5.2). All of its text is constant, so nothing needs escaping. */
  body(): string {
    return `{"error":"${this.error}","error_description":"${this.description}"}`
  }
}
