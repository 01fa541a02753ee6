/**
 * What ends a command or a start, and every code of administration.
 *
 * `OperatorError` has one line that says what to do. `AdministrationError` is data: a code and fields. The sentence is
 * made where somebody reads it (cli/terminal/sentences.ts). A test compares docs/reference/errors.md with this table.
 * What refuses a request is in refusals.ts.
 */

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
  file_too_large: { readonly path: string; readonly limit: number }
  file_not_text: { readonly path: string }
  client_not_found: { readonly clientId: string; readonly nearest: string | undefined }
  client_exists: { readonly clientId: string }
  client_deleted: { readonly clientId: string }
  client_vanished: { readonly clientId: string }
  secret_not_found: { readonly clientId: string; readonly secretId: string }
  leaked_secrets_too_many: { readonly count: number; readonly limit: number }
  client_key_not_found: { readonly clientId: string; readonly key: string }
  client_key_exists: { readonly clientId: string; readonly thumbprint: string; readonly isRevoked: boolean }
  client_key_named_alike: { readonly clientId: string; readonly kid: string }
  client_fapi_no_secret: { readonly clientId: string }
  client_fapi_key: { readonly clientId: string; readonly thumbprint: string }
  key_is_private: { readonly path: string }
  key_unreadable: { readonly path: string }
  client_keys_too_many: { readonly clientId: string; readonly count: number; readonly limit: number }
  secret_replaced_meanwhile: { readonly clientId: string; readonly secretId: string }
  secrets_too_many: { readonly clientId: string; readonly count: number; readonly limit: number }
  resource_not_found: { readonly audience: string; readonly nearest: string | undefined }
  resource_exists: { readonly audience: string }
  /** Clients that have access to it: some of them, and how many there are. */
  resource_in_use: {
    readonly audience: string
    readonly holders: readonly string[]
    readonly count: number
    /** Rules of trusted issuers that give access to it. */
    readonly rules: readonly string[]
  }
  issuer_not_found: { readonly issuer: string; readonly nearest: string | undefined }
  rule_not_found: { readonly rule: string; readonly nearest: string | undefined }
  rule_exists: { readonly rule: string; readonly issuer: string }
  registry_busy: { readonly waitedSeconds: number }
  registration_unsealed: { readonly subject: 'client' | 'resource' | 'issuer'; readonly id: string }
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
    registration_refused: rule('invalid', 'The registration has mistakes. Nothing was applied.'),
    file_unreadable: rule('invalid', 'The file cannot be read.'),
    file_too_large: rule('invalid', 'The file is too large.'),
    file_not_text: rule('invalid', 'The file is not UTF-8 text.'),

    // Clients and their secrets.
    client_not_found: rule('not_found', 'There is no such client.'),
    client_exists: rule('conflict', 'There is already a client with this id.'),
    client_deleted: rule('conflict', 'The client was deleted, which cannot be undone.'),
    client_vanished: rule('conflict', 'A client was removed during the change. Nothing was changed.'),
    secret_not_found: rule('not_found', 'The client has no such secret.'),
    secret_replaced_meanwhile: rule(
      'conflict',
      'Another process replaced the secrets of the client just now. Nothing was changed.',
    ),
    secrets_too_many: rule('conflict', 'The client has the most valid secrets that a client can have.'),
    leaked_secrets_too_many: rule('invalid', 'There are more leaked secrets than one command takes.'),
    client_key_not_found: rule('not_found', 'The client has no such key.'),
    client_key_exists: rule('conflict', 'The client has, or had, this key already.'),
    client_key_named_alike: rule('conflict', 'The client has another valid key with this kid.'),
    client_fapi_no_secret: rule('conflict', 'The client is held to the FAPI profile, so it has no secret.'),
    client_fapi_key: rule(
      'conflict',
      'The client is held to the FAPI profile, which does not allow the algorithm of the key.',
    ),
    key_is_private: rule('invalid', 'The file has a private key. Only a public key can be registered.'),
    key_unreadable: rule('invalid', 'The file has no public key that can be read.'),
    client_keys_too_many: rule('conflict', 'The client has the most valid keys that a client can have.'),
    resource_not_found: rule('not_found', 'There is no such resource.'),
    resource_exists: rule('conflict', 'There is already a resource with this audience.'),
    resource_in_use: rule(
      'conflict',
      'Clients have access to the resource, or rules give access to it. Nothing was changed.',
    ),
    issuer_not_found: rule('not_found', 'There is no such issuer.'),
    rule_not_found: rule('not_found', 'There is no such rule.'),
    rule_exists: rule('conflict', 'There is already a rule with this name.'),
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
    registry_seal_missing: rule('setup', 'The registry must be sealed, but nobody has sealed it yet.'),
    registry_seal_damaged: rule(
      'setup',
      'The seal of the registry was not written by a holder of the key-encryption key. Nothing was changed.',
    ),
    registry_seal_older: rule('setup', 'The seal of the registry is an older one. Nothing was changed.'),
    registry_changed_meanwhile: rule(
      'conflict',
      'Somebody changed the registry while it was checked. Nothing was changed.',
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
      'The ledger has a record of another manifest of the signing keys. No key was created or deleted.',
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
