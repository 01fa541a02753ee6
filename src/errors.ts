/**
 * All reasons to refuse a request, all that can stop administration, and the three error classes of the program.
 * Long because everything that can go wrong is listed in one place.
 *
 * `OAuthError` answers a request. It has a precise *reason* for the ledger and the log. The caller gets only
 * the OAuth error code, the status and the description. Any other error becomes `server_error` without
 * details, and its cause is logged. `OperatorError` ends a command or a start with one line that says what to
 * do. `AdministrationError` does the same, but is data: a code and fields. The sentence is made where somebody
 * reads it (cli/terminal/sentences.ts). Tests compare docs/reference/errors.md with these tables.
 */

/** The error codes of RFC 6749 §5.2 and RFC 8707 §2. The last two are from RFC 6749 §4.1.2.1. */
export type OAuthErrorCode =
  | 'invalid_request'
  | 'invalid_client'
  | 'unauthorized_client'
  | 'unsupported_grant_type'
  | 'invalid_scope'
  | 'invalid_target'
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

/**
 * The one answer to every problem with a credential. A caller that has not authenticated must not learn which
 * clients exist, which are disabled, or why a secret is refused.
 */
const unauthenticated: RefusalDefinition = {
  error: 'invalid_client',
  status: 401,
  description: 'Client authentication failed.',
}

const unavailable = (description: string, status = 503): RefusalDefinition => ({
  error: 'temporarily_unavailable',
  status,
  description,
})

const capacity = unavailable('The service is at capacity. Try again after the time in Retry-After.')
const storage = unavailable('The service cannot reach its database. Try again after the time in Retry-After.')

export const refusals = {
  // The message itself (RFC 9110, RFC 6749 §3.2).
  method_not_allowed: request('The token endpoint takes POST only.', 405),
  header_repeated: request('A header that may be given once is given more than once.'),
  query_string_present: request('Parameters belong in the body; the token endpoint takes no query string.'),
  content_type_unsupported: request('The body must be application/x-www-form-urlencoded, in UTF-8.', 415),
  content_encoding_unsupported: request('The body must not be compressed.', 415),
  body_too_large: request('The body is larger than 64 KiB.', 413),
  body_incomplete: request('The body ended before its announced length.'),
  body_malformed: request(
    'The body is not a well-formed form: only ASCII, and every % followed by two hex digits.',
  ),
  space_not_encoded: request(
    'The body contains a space that is not encoded: write + or %20 for it (with curl, --data-urlencode).',
  ),
  character_forbidden: request('A parameter contains a control character.'),
  parameters_too_many: request('The form has more than 64 parameters.'),
  parameter_repeated: request('A parameter is given more than once.'),
  parameter_too_long: request('A parameter is longer than 16384 characters.'),
  grant_type_missing: request('The parameter grant_type is missing.'),
  grant_type_unsupported: {
    error: 'unsupported_grant_type',
    status: 400,
    description: 'The grant_type must be client_credentials.',
  },

  // How the client authenticates (RFC 6749 §2.3).
  authorization_repeated: request('There is more than one Authorization header.'),
  authorization_malformed: request('The Authorization header is not well-formed Basic authentication.'),
  authentication_methods_multiple: request('The client authenticates in more than one way. Use one.'),
  client_id_mismatch: request('The client_id in the body differs from the one that authenticates.'),
  authentication_missing: unauthenticated,
  authentication_method_unsupported: unauthenticated,
  assertion_incomplete: request('The parameters client_assertion and client_assertion_type belong together.'),
  assertion_malformed: request(
    'The client_assertion is not a signed JWT in compact form (RFC 7515 section 3.1), or is too long.',
  ),
  assertion_header_unsupported: unauthenticated,
  assertion_type_wrong: unauthenticated,
  assertion_algorithm_unsupported: unauthenticated,
  assertion_claims_malformed: unauthenticated,
  assertion_subject_mismatch: unauthenticated,

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
  client_has_no_key: unauthenticated,
  assertion_key_unknown: unauthenticated,
  client_key_unusable: unauthenticated,
  assertion_signature_wrong: unauthenticated,
  client_key_revoked: unauthenticated,
  client_key_expired: unauthenticated,
  assertion_audience_wrong: unauthenticated,
  assertion_audience_token_endpoint: unauthenticated,
  assertion_expired: unauthenticated,
  assertion_not_yet_valid: unauthenticated,
  assertion_lifetime_too_long: unauthenticated,
  assertion_replayed: unauthenticated,
  network_not_allowed: unauthenticated,
  authentication_method_not_registered: {
    error: 'invalid_client',
    status: 401,
    description: 'This client is registered for another token_endpoint_auth_method.',
  },

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
  scope_malformed: scope('The scope is malformed (RFC 6749 section 3.3).'),
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
  registry_unavailable: storage,
  ledger_unavailable: storage,
  internal_error: {
    error: 'server_error',
    status: 500,
    description: 'The service failed. Report the request id to its operator.',
  },
} as const satisfies Record<string, RefusalDefinition>

export type RefusalReason = keyof typeof refusals

export interface OAuthErrorOptions {
  /** Seconds for the Retry-After header. By default one second for 503 and 429, and no header otherwise. */
  readonly retryAfterSeconds?: number
  /** The id of the credential that was presented, for the record only. */
  readonly credentialId?: string
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

  constructor(reason: RefusalReason, options: OAuthErrorOptions = {}) {
    super(reason, options.cause === undefined ? undefined : { cause: options.cause })
    const definition: RefusalDefinition = refusals[reason]
    this.reason = reason
    this.error = definition.error
    this.status = definition.status
    this.description = definition.description
    this.credentialId = options.credentialId
    this.retryAfterSeconds =
      options.retryAfterSeconds ?? (definition.status === 503 || definition.status === 429 ? 1 : undefined)
  }

  /** The JSON body (RFC 6749 §5.2). All of its text is constant, so nothing needs escaping. */
  body(): string {
    return `{"error":"${this.error}","error_description":"${this.description}"}`
  }
}

/** The exit codes of all commands. `mintmark --help` lists them. */
export const exitCodes = { ok: 0, failed: 1, usage: 2, notFound: 3 } as const

/** Ends a command or a start that cannot continue. The message is the line that the operator reads. */
export class OperatorError extends Error {
  override readonly name: string = 'OperatorError'
  readonly exitCode: number

  constructor(message: string, options: { cause?: unknown; exitCode?: number } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.exitCode = options.exitCode ?? exitCodes.failed
  }
}

/** The kind of a code. It decides the exit code of a command, and the status of an HTTP answer. */
export type AdministrationErrorKind =
  /** The request makes no sense. It does not help to repeat it. */
  | 'invalid'
  | 'not_found'
  /** The request does not fit what is registered now. */
  | 'conflict'
  /** The request may succeed later. */
  | 'busy'
  /** The machine or its settings must be corrected first. */
  | 'setup'

export interface AdministrationErrorDefinition {
  readonly kind: AdministrationErrorKind
  /** What happened, in one constant sentence. It does not say what to do: that depends on the reader. */
  readonly description: string
}

const rule = (kind: AdministrationErrorKind, description: string): AdministrationErrorDefinition => ({
  kind,
  description,
})

/** The fields of each code. None of them ever holds a secret. */
export interface AdministrationErrorFields {
  /** The mistakes are those of administration/mistake.ts, which has their codes and fields. */
  registration_refused: {
    readonly file?: string
    readonly mistakes: readonly { readonly code: string; readonly path: readonly (string | number)[] }[]
  }
  file_unreadable: { readonly path: string; readonly problem: string }
  file_too_large: { readonly path: string; readonly bytes: number; readonly limit: number }
  file_not_text: { readonly path: string }
  client_not_found: { readonly clientId: string; readonly nearest: string | undefined }
  client_exists: { readonly clientId: string }
  client_deleted: { readonly clientId: string }
  client_vanished: { readonly clientId: string }
  secret_not_found: { readonly clientId: string; readonly secretId: string }
  client_key_not_found: { readonly clientId: string; readonly key: string }
  client_key_exists: { readonly clientId: string; readonly thumbprint: string; readonly isRevoked: boolean }
  client_key_named_alike: { readonly clientId: string; readonly kid: string }
  key_is_private: { readonly path: string }
  key_unreadable: { readonly path: string }
  client_keys_too_many: { readonly clientId: string; readonly count: number; readonly limit: number }
  secrets_too_many: { readonly clientId: string; readonly count: number; readonly limit: number }
  resource_not_found: { readonly audience: string; readonly nearest: string | undefined }
  resource_exists: { readonly audience: string }
  /** Clients that have access to it: some of them, and how many there are. */
  resource_in_use: { readonly audience: string; readonly holders: readonly string[]; readonly count: number }
  registry_busy: { readonly waitedSeconds: number }
  registration_unsealed: { readonly subject: 'client' | 'resource'; readonly id: string }
  registry_seal_key_unset: object
  registry_seal_key_differs: { readonly keyEncryptionKeyId: string; readonly atHand: readonly string[] }
  registry_seal_missing: object
  registry_seal_damaged: object
  registry_seal_older: { readonly number: number; readonly recorded: number }
  registry_changed_meanwhile: object
  key_not_found: { readonly kid: string }
  key_made_meanwhile: { readonly algorithm: string }
  clock_disagrees: { readonly offSeconds: number; readonly toleranceSeconds: number }
  key_encryption_key_unset: object
  key_encryption_key_differs: {
    /** The signing key that does not open. Undefined: the newest one, whose key-encryption key seals the next one. */
    readonly kid: string | undefined
    readonly keyEncryptionKeyId: string
    readonly atHand: readonly string[]
    /** Where the first one at hand came from: `configuration`, or the path of a file. */
    readonly source: string
  }
  key_encryption_key_not_lost: { readonly atHand: readonly string[] }
  signing_key_damaged: { readonly kid: string }
  signing_key_altered: { readonly kid: string }
  key_manifest_damaged: object
  key_manifest_older: { readonly number: number; readonly recorded: number }
  key_manifest_differs: { readonly number: number }
  key_file_lost: { readonly path: string }
  key_file_missing: { readonly path: string }
  key_file_vanished: { readonly path: string }
  key_file_uncreatable: { readonly path: string; readonly problem: string }
  key_file_unreadable: { readonly path: string; readonly problem: string }
  key_file_malformed: { readonly path: string; readonly isEmpty: boolean }
}

export type AdministrationErrorCode = keyof AdministrationErrorFields

export const administrationErrors: Readonly<Record<AdministrationErrorCode, AdministrationErrorDefinition>> =
  {
    // What should be registered.
    registration_refused: rule('invalid', 'What should be registered has mistakes. Nothing was applied.'),
    file_unreadable: rule('invalid', 'The file cannot be read.'),
    file_too_large: rule('invalid', 'The file is too large.'),
    file_not_text: rule('invalid', 'The file is not UTF-8 text.'),

    // Clients and their secrets.
    client_not_found: rule('not_found', 'There is no such client.'),
    client_exists: rule('conflict', 'There is already a client with this id.'),
    client_deleted: rule('conflict', 'The client was deleted, which cannot be undone.'),
    client_vanished: rule('conflict', 'A client vanished during the change. Nothing was changed.'),
    secret_not_found: rule('not_found', 'The client has no such secret.'),
    secrets_too_many: rule('conflict', 'The client has as many valid secrets as there can be.'),
    client_key_not_found: rule('not_found', 'The client has no such key.'),
    client_key_exists: rule('conflict', 'The client has, or had, this key already.'),
    client_key_named_alike: rule('conflict', 'The client has another valid key with this kid.'),
    key_is_private: rule('invalid', 'The file has a private key, and only its public half is registered.'),
    key_unreadable: rule('invalid', 'The file has no public key that can be read.'),
    client_keys_too_many: rule('conflict', 'The client has as many valid keys as there can be.'),
    resource_not_found: rule('not_found', 'There is no such resource.'),
    resource_exists: rule('conflict', 'There is already a resource with this audience.'),
    resource_in_use: rule('conflict', 'Clients have access to the resource. Nothing was changed.'),
    registry_busy: rule('busy', 'Somebody else is changing the registry. Nothing was changed.'),

    // The sealed registry.
    registration_unsealed: rule(
      'conflict',
      'It was not registered by a holder of the key-encryption key. Nothing was changed.',
    ),
    registry_seal_key_unset: rule(
      'setup',
      'The registry is sealed, and there is no key-encryption key. Nothing was changed.',
    ),
    registry_seal_key_differs: rule(
      'setup',
      'The registry is sealed with another key-encryption key. Nothing was changed.',
    ),
    registry_seal_missing: rule('setup', 'The registry is to be sealed, and nobody sealed it.'),
    registry_seal_damaged: rule(
      'setup',
      'The seal of the registry was not written by a holder of the key-encryption key. Nothing was changed.',
    ),
    registry_seal_older: rule('setup', 'The seal of the registry is an older one. Nothing was changed.'),
    registry_changed_meanwhile: rule(
      'conflict',
      'The registry is not any more what was looked through. Nothing was changed.',
    ),

    // Signing keys.
    key_not_found: rule('not_found', 'There is no such signing key.'),
    key_made_meanwhile: rule(
      'conflict',
      'Another process created the next signing key just now. Nothing was changed.',
    ),
    clock_disagrees: rule(
      'setup',
      "This machine's clock and the database's differ. No key was created or changed.",
    ),

    // What seals the signing keys.
    key_encryption_key_unset: rule('setup', 'There is no key-encryption key.'),
    key_encryption_key_differs: rule(
      'setup',
      'A signing key is sealed with another key-encryption key. No key was created or deleted.',
    ),
    key_encryption_key_not_lost: rule(
      'conflict',
      'Every signing key opens with the key-encryption keys at hand. Nothing was changed.',
    ),
    signing_key_damaged: rule(
      'setup',
      'A signing key does not open: its row is damaged. No key was created or deleted.',
    ),
    signing_key_altered: rule(
      'setup',
      'The row of a signing key was changed by somebody without the key-encryption key. No key was created or deleted.',
    ),
    key_manifest_damaged: rule(
      'setup',
      'The manifest of the signing keys was not written by a holder of the key-encryption key. No key was created or ' +
        'deleted.',
    ),
    key_manifest_older: rule(
      'setup',
      'The manifest of the signing keys is older than the ledger. No key was created or deleted.',
    ),
    key_manifest_differs: rule(
      'setup',
      'The manifest of the signing keys is not the one that the ledger has a record of. No key was created or deleted.',
    ),
    key_file_lost: rule(
      'setup',
      'The file of the key-encryption key is missing, and the database has signing keys that only this key opens. ' +
        'Nothing was generated or deleted.',
    ),
    key_file_missing: rule('setup', 'The file of the key-encryption key is missing. Nothing was changed.'),
    key_file_vanished: rule(
      'setup',
      'The file of the key-encryption key was removed just after it was created.',
    ),
    key_file_uncreatable: rule('setup', 'The file of the key-encryption key cannot be created.'),
    key_file_unreadable: rule('setup', 'The file of the key-encryption key cannot be read.'),
    key_file_malformed: rule(
      'setup',
      'The file of the key-encryption key does not contain a key. Nothing was generated or deleted.',
    ),
  }

/** Ends administration that cannot continue. It is data: its message is for logs and for programmers. */
export class AdministrationError<
  Code extends AdministrationErrorCode = AdministrationErrorCode,
> extends OperatorError {
  override readonly name = 'AdministrationError'
  readonly code: Code
  readonly fields: AdministrationErrorFields[Code]

  constructor(code: Code, fields: AdministrationErrorFields[Code], options: { cause?: unknown } = {}) {
    const { kind, description } = administrationErrors[code]
    const exitCode = kind === 'not_found' ? exitCodes.notFound : exitCodes.failed
    super(`${description} ${JSON.stringify(fields).slice(0, 300)}`, { ...options, exitCode })
    this.code = code
    this.fields = fields
  }

  get kind(): AdministrationErrorKind {
    return administrationErrors[this.code].kind
  }
}
