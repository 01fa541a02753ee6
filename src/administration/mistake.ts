import { AdministrationError } from '../errors.ts'
import { FileTooLarge, fileProblem } from '../lib/bounded-file.ts'

/**
 * The mistakes that a registration can have. A mistake is data: a code, its place, and what is needed to explain it.
 * cli/terminal/mistakes.ts makes a sentence of it.
 */

/** Where something is: `['clients', 3, 'access', 0]`. A key of a file that is not text keeps its type. */
export type Path = readonly (string | number)[]

/** A place in a file, both counted from 1. */
export interface Place {
  readonly line: number
  readonly column: number
}

export type ValueKind = 'nothing' | 'mapping' | 'list' | 'text' | 'number' | 'boolean'

/** What each code comes with. */
export interface MistakeFields {
  // The form of a file.
  yaml_malformed: { readonly problem: string }
  values_too_many: { readonly limit: number }
  registration_empty: { readonly known: readonly string[] }
  kind_wrong: {
    readonly expected: ValueKind
    readonly found: ValueKind
    /** The keys that a mapping may have, if one is expected. */
    readonly known?: readonly string[]
    /** How a file spells the value: 007 is a number. */
    readonly written?: string
  }
  key_unknown: { readonly key: string; readonly known: readonly string[] }
  key_missing: { readonly key: string }

  // What holds for several fields.
  text_too_long: { readonly length: number; readonly limit: number }
  list_too_long: { readonly count: number; readonly limit: number }
  listed_twice: { readonly value: string }
  already_named: { readonly value: string; readonly first: Path }

  // One field each.
  client_id_malformed: { readonly value: string }
  /** The value is not repeated. */
  client_id_credential: object
  client_id_reserved: { readonly value: string }
  name_empty: object
  name_characters: object
  method_unknown: { readonly value: string; readonly known: readonly string[] }
  status_unknown: { readonly value: string; readonly known: readonly string[] }
  network_malformed: { readonly value: string; readonly problem: string }
  moment_malformed: { readonly value: string }
  audience_malformed: { readonly value: string }
  scope_malformed: { readonly value: string }
  token_lifetime_out_of_range: { readonly value: number; readonly least: number; readonly most: number }
  typ_unknown: { readonly value: string; readonly known: readonly string[] }
  algorithm_unknown: { readonly value: string; readonly known: readonly string[] }
  assertion_audience_unknown: { readonly value: string; readonly known: readonly string[] }
  text_empty: object
  text_characters: object
  client_kind_unknown: { readonly value: string; readonly known: readonly string[] }
  /** Claims that a client or a resource gives its tokens. */
  fixed_claim_malformed: { readonly name: string }
  fixed_claim_reserved: { readonly name: string }
  fixed_claim_value_wrong: { readonly name: string }
  fixed_claims_too_many: { readonly count: number; readonly limit: number }
  fixed_claims_too_large: { readonly bytes: number; readonly limit: number }
  subject_form_malformed: { readonly value: string }
  subject_form_not_external: object
  /** Neither of the two has a value of the key. */
  jwk_private: { readonly member: string }
  jwk_malformed: { readonly problem: string }
  /** What is wrong with the name in a certificate. */
  certificate_field_malformed: { readonly problem: string }
  /** A client is known by exactly one field of its certificate. */
  certificate_fields_several: { readonly first: string }
  certificate_field_missing: { readonly known: readonly string[] }
  /** The client authenticates in another way. */
  certificate_field_unused: { readonly method: string }

  // What contradicts fapi: true.
  fapi_auth_method: { readonly method: string; readonly known: readonly string[] }
  fapi_assertion_audience: object
  fapi_unbound: object
  fapi_key_algorithm: object
  /** Keys that are registered already. */
  fapi_stored_keys: { readonly clientId: string; readonly thumbprints: readonly string[] }
  fapi_secrets: { readonly clientId: string; readonly count: number }
  fapi_resource_algorithm: { readonly audience: string }
  /** Rules of trusted issuers that stand for the client. */
  fapi_rules: { readonly rules: readonly string[] }
  /** Clients with fapi: true may call the resource. */
  resource_algorithm_fapi: { readonly holders: readonly string[] }
  /** The rule stands for a client with fapi: true. */
  rule_audience_fapi: { readonly clientId: string }

  // Trust in other issuers.
  list_empty: object
  issuer_malformed: { readonly value: string }
  keys_url_malformed: { readonly value: string }
  key_sources_several: object
  spiffe_keys_missing: object
  bundle_without_trust_domain: object
  client_metadata_not_true: object
  client_metadata_prefix_malformed: { readonly value: string }
  client_metadata_rule_wrong: object
  rule_malformed: { readonly value: string }
  rule_gives_nothing: object
  rule_open: object
  rule_open_to_world: object
  default_service_account_named: object
  claim_malformed: { readonly value: string }
  claim_value_wrong: object
  condition_not_one: object
  prefix_open: { readonly value: string }
  present_not_true: object
  assertion_use_unknown: { readonly value: string; readonly known: readonly string[] }
  require_dpop_unknown: { readonly value: string; readonly known: readonly string[] }
  assertion_max_age_out_of_range: { readonly value: number; readonly least: number; readonly most: number }

  // What does not fit with what is already registered.
  client_id_taken: { readonly clientId: string }
  key_was_revoked: { readonly thumbprint: string }
  resource_unknown: { readonly audience: string; readonly nearest: string | undefined }
  scope_unknown: { readonly scope: string; readonly audience: string; readonly known: readonly string[] }
  /** Clients that are not named in the same registration hold the scope, which the resource would lose. */
  scope_in_use: { readonly scope: string; readonly holders: readonly string[] }
  /** A client and a resource that it may call give their tokens different values of one claim. */
  claims_contradict: { readonly claim: string; readonly others: readonly string[] }
  /** The form makes no SPIFFE ID of these ids. */
  subject_unfit: { readonly form: string; readonly clientIds: readonly string[] }
  /** Clients would stand under both of them. */
  client_metadata_prefix_nested: { readonly issuer: string }
  /** Another issuer has a rule of that name. */
  rule_named_elsewhere: { readonly rule: string; readonly issuer: string }
  rule_client_unknown: { readonly clientId: string; readonly nearest: string | undefined }
  issuers_too_many: { readonly count: number; readonly limit: number }
}

export type MistakeCode = keyof MistakeFields

export type Mistake = {
  readonly [Code in MistakeCode]: {
    readonly code: Code
    readonly path: Path
    /** The key itself is the mistake, not its value. */
    readonly isKey?: true
    /** Known for what came from a file. */
    readonly place?: Place
  } & MistakeFields[Code]
}[MistakeCode]

/** @param file the name of the file that they are in, if they are in one. */
export function refusalOf(mistakes: readonly Mistake[], file?: string): AdministrationError {
  return new AdministrationError(
    'registration_refused',
    file === undefined ? { mistakes } : { file, mistakes },
  )
}

/** The mistakes for which a registration was refused; none if the error is another one. */
export function mistakesIn(error: unknown): readonly Mistake[] {
  if (!(error instanceof AdministrationError) || error.code !== 'registration_refused') return []
  return (error as AdministrationError<'registration_refused'>).fields.mistakes as readonly Mistake[]
}

/** `clients[3].access[0]`. */
export function pathText(path: Path): string {
  let text = ''
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`
    else text += text === '' ? step : `.${step}`
  }
  return text
}

/** A file of which nothing was read. @param limit bytes. */
export function unreadable(path: string, error: unknown, limit: number): AdministrationError {
  return error instanceof FileTooLarge
    ? new AdministrationError('file_too_large', { path, limit }, { cause: error })
    : new AdministrationError('file_unreadable', { path, problem: fileProblem(error) }, { cause: error })
}
