import type { Mistake } from './administration/mistake.ts'

/**
 * Every way a request can be refused, every way administration can be, and the three errors of the program.
 *
 * `OAuthError` answers a request: it carries a *reason*, precise, for the ledger and the log, and what the
 * caller may know of it: the OAuth error code, a status and a description. Anything thrown that is not an
 * `OAuthError` becomes `server_error` with no text; its cause goes to the log. `OperatorError` ends a
 * command or a start with one line that says what to do. `AdministrationError` does the same, but is data: a code
 * and fields. Whoever shows it makes the sentence (cli/terminal/sentences.ts).
 *
 * docs/reference/errors.md lists the reasons and the codes; tests keep that page and these tables equal. The file is
 * long because whoever wants to know what can go wrong should find all of it in one place.
 */

/** Error codes of RFC 6749 §5.2 and RFC 8707 §2, and what this service says where those have no word. */
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
  /** What the caller is told. Only %x20-21 / %x23-5B / %x5D-7E (RFC 6749 §5.2), and never an echo of input. */
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
 * One answer for everything that is wrong with a credential. Whoever cannot prove to be a client learns
 * nothing about which clients exist, which are disabled, or what about the secret was wrong.
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
  query_string_present: request('Parameters belong in the body; the token endpoint takes no query string.'),
  content_type_unsupported: request('The body must be application/x-www-form-urlencoded, in UTF-8.', 415),
  content_encoding_unsupported: request('The body must not be compressed.', 415),
  body_too_large: request('The body is larger than 64 KiB.', 413),
  body_incomplete: request('The body ended before its announced length.'),
  body_malformed: request(
    'The body is not a well-formed form: only ASCII, and every % followed by two hex digits.',
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

  // How the client presents itself (RFC 6749 §2.3).
  authorization_repeated: request('There is more than one Authorization header.'),
  authorization_malformed: request('The Authorization header is not well-formed Basic authentication.'),
  authentication_methods_multiple: request('The client authenticates in more than one way. Use one.'),
  client_id_mismatch: request('The client_id in the body differs from the one that authenticates.'),
  authentication_missing: unauthenticated,
  authentication_method_unsupported: unauthenticated,

  // Who the client is (RFC 6749 §5.2). The order is the one in which they are looked at.
  secret_malformed: unauthenticated,
  client_unknown: unauthenticated,
  client_deleted: unauthenticated,
  client_disabled: unauthenticated,
  client_expired: unauthenticated,
  client_has_no_secret: unauthenticated,
  secret_wrong: unauthenticated,
  secret_revoked: unauthenticated,
  secret_expired: unauthenticated,
  secret_hash_unusable: unauthenticated,
  network_not_allowed: unauthenticated,
  authentication_method_not_registered: {
    error: 'invalid_client',
    status: 401,
    description: 'This client is registered for another token_endpoint_auth_method.',
  },

  // What the client may have (RFC 6749 §3.3, RFC 8707 §2).
  client_without_access: {
    error: 'unauthorized_client',
    status: 400,
    description: 'This client has no access to any resource.',
  },
  target_malformed: target('The resource must be an absolute URI without a fragment.'),
  target_repeated: target('A token has one audience: name one resource.'),
  target_conflict: target('The parameters resource and audience name different targets.'),
  target_missing: target(
    'This client has access to several resources: name one with the parameter resource.',
  ),
  target_not_granted: target('This client has no access to that resource.'),
  scope_malformed: scope('The scope is malformed (RFC 6749 section 3.3).'),
  scopes_too_many: scope('More than 100 scopes are requested.'),
  scope_not_granted: scope('A requested scope is not granted to this client at that resource.'),

  // What the service can do now (RFC 6585 §4, RFC 9110 §15.6.4).
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
  clock_unreliable: unavailable('The clock of this service jumped. It issues nothing until that is settled.'),
  keys_unavailable: unavailable('No signing key may sign at this moment. Try again after Retry-After.'),
  registry_unavailable: storage,
  ledger_unavailable: storage,
  internal_error: {
    error: 'server_error',
    status: 500,
    description: 'The service failed. The request id names it.',
  },
} as const satisfies Record<string, RefusalDefinition>

export type RefusalReason = keyof typeof refusals

export interface OAuthErrorOptions {
  /** Seconds for the Retry-After header; without it 503 and 429 say one second. */
  readonly retryAfterSeconds?: number
  /** What happened, for the log only. */
  readonly cause?: unknown
}

/** A request refused. Thrown anywhere on its path, recorded and rendered in one place. */
export class OAuthError extends Error {
  override readonly name = 'OAuthError'
  readonly reason: RefusalReason
  readonly error: OAuthErrorCode
  readonly status: number
  readonly description: string
  readonly retryAfterSeconds: number | undefined

  constructor(reason: RefusalReason, options: OAuthErrorOptions = {}) {
    super(reason, options.cause === undefined ? undefined : { cause: options.cause })
    const definition: RefusalDefinition = refusals[reason]
    this.reason = reason
    this.error = definition.error
    this.status = definition.status
    this.description = definition.description
    this.retryAfterSeconds =
      options.retryAfterSeconds ?? (definition.status === 503 || definition.status === 429 ? 1 : undefined)
  }

  /** The body of RFC 6749 §5.2. Every character of it is constant, so nothing needs escaping. */
  body(): string {
    return `{"error":"${this.error}","error_description":"${this.description}"}`
  }
}

/** A command or a start that cannot go on. The message is the one line its operator reads. */
export class OperatorError extends Error {
  override readonly name: string = 'OperatorError'
  readonly exitCode: number

  constructor(message: string, options: { cause?: unknown; exitCode?: number } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.exitCode = options.exitCode ?? 1
  }
}

/** What kind of obstacle a code is: from it a command gets its exit code, and an HTTP answer its status. */
export type AdministrationErrorKind =
  /** What was asked for makes no sense; asking again does not help. */
  | 'invalid'
  | 'not_found'
  /** It does not fit to what is there now. */
  | 'conflict'
  /** It may work later. */
  | 'busy'
  /** This machine or its settings must be mended first. */
  | 'setup'

export interface AdministrationErrorDefinition {
  readonly kind: AdministrationErrorKind
  /** What happened, in one sentence that is always the same. What to do depends on who reads it. */
  readonly description: string
}

const rule = (kind: AdministrationErrorKind, description: string): AdministrationErrorDefinition => ({
  kind,
  description,
})

/** The fields that each code comes with. None of them ever holds a secret. */
export interface AdministrationErrorFields {
  registration_refused: { readonly file?: string; readonly mistakes: readonly Mistake[] }
  file_unreadable: { readonly path: string; readonly problem: string }
  file_too_large: { readonly path: string; readonly bytes: number; readonly limit: number }
  file_not_text: { readonly path: string }
  client_not_found: { readonly clientId: string; readonly nearest: string | undefined }
  client_exists: { readonly clientId: string }
  client_deleted: { readonly clientId: string }
  client_vanished: { readonly clientId: string }
  secret_not_found: { readonly clientId: string; readonly secretId: string }
  secrets_too_many: { readonly clientId: string; readonly count: number; readonly limit: number }
  registry_busy: { readonly waitedSeconds: number }
  key_not_found: { readonly kid: string }
  key_made_meanwhile: { readonly algorithm: string }
  clock_disagrees: { readonly offSeconds: number; readonly toleranceSeconds: number }
  key_encryption_key_unset: object
  key_encryption_key_differs: {
    /** Undefined: the newest one, which says what a new one is sealed with. */
    readonly kid: string | undefined
    readonly keyEncryptionKeyId: string
    readonly atHand: readonly string[]
    /** Where the first one at hand came from: `configuration`, or a file. */
    readonly source: string
  }
  signing_key_damaged: { readonly kid: string }
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
    // What is to be registered.
    registration_refused: rule('invalid', 'What is to be registered has mistakes; nothing was applied.'),
    file_unreadable: rule('invalid', 'The file cannot be read.'),
    file_too_large: rule('invalid', 'The file is too large.'),
    file_not_text: rule('invalid', 'The file is not UTF-8 text.'),

    // Clients and their secrets.
    client_not_found: rule('not_found', 'There is no such client.'),
    client_exists: rule('conflict', 'There is already a client of that id.'),
    client_deleted: rule('conflict', 'The client was deleted, which cannot be undone.'),
    client_vanished: rule('conflict', 'A client vanished while this ran; nothing was changed.'),
    secret_not_found: rule('not_found', 'The client has no such secret.'),
    secrets_too_many: rule('conflict', 'The client has as many valid secrets as there can be.'),
    registry_busy: rule('busy', 'Somebody else is changing the registry; nothing was changed.'),

    // Signing keys.
    key_not_found: rule('not_found', 'There is no such signing key.'),
    key_made_meanwhile: rule('conflict', 'Another process made the next signing key just now.'),
    clock_disagrees: rule(
      'setup',
      "This machine's clock and the database's differ; no key was made or changed.",
    ),

    // What seals the signing keys.
    key_encryption_key_unset: rule('setup', 'There is no key-encryption key.'),
    key_encryption_key_differs: rule(
      'setup',
      'A signing key is sealed with another key-encryption key; no key was made or deleted.',
    ),
    signing_key_damaged: rule(
      'setup',
      'A signing key does not open: its row was damaged; no key was made or deleted.',
    ),
    key_file_lost: rule(
      'setup',
      'The file of the key-encryption key is missing, and the database has signing keys that only that key opens; ' +
        'nothing was generated or deleted.',
    ),
    key_file_missing: rule('setup', 'The file of the key-encryption key is missing; nothing was changed.'),
    key_file_vanished: rule(
      'setup',
      'The file of the key-encryption key was removed just after it was made.',
    ),
    key_file_uncreatable: rule('setup', 'The file of the key-encryption key cannot be created.'),
    key_file_unreadable: rule('setup', 'The file of the key-encryption key cannot be read.'),
    key_file_malformed: rule(
      'setup',
      'The file of the key-encryption key holds something else; nothing was generated or deleted.',
    ),
  }

/** Administration that cannot go on, as data. Its message is for logs, and for programmers. */
export class AdministrationError<
  Code extends AdministrationErrorCode = AdministrationErrorCode,
> extends OperatorError {
  override readonly name = 'AdministrationError'
  readonly code: Code
  readonly fields: AdministrationErrorFields[Code]

  constructor(code: Code, fields: AdministrationErrorFields[Code], options: { cause?: unknown } = {}) {
    super(`${administrationErrors[code].description} ${JSON.stringify(fields).slice(0, 300)}`, options)
    this.code = code
    this.fields = fields
  }

  get kind(): AdministrationErrorKind {
    return administrationErrors[this.code].kind
  }
}
