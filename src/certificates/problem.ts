/** What stops work on the certificates of the development CA. It is data: the command line makes sentences of it. */

export type NameKind = 'dns' | 'uri' | 'ip' | 'email'

/** Why a text cannot stand in a certificate. */
export type NameMistake =
  | 'malformed'
  | 'not_ascii'
  | 'too_long'
  | 'is_address'
  | 'is_network'
  | 'is_url'
  | 'is_email'
  | 'wildcard'
  | 'relative'
  | 'has_user'
  | 'has_fragment'
  | 'spiffe_trust_domain'
  | 'spiffe_path'
  | 'spiffe_extra'
  | 'spiffe_several'

export interface CertificateProblemFields {
  authority_missing: { readonly directory: string }
  authority_exists: { readonly directory: string }
  authority_expired: { readonly directory: string; readonly expiredAt: number }
  authority_busy: { readonly path: string; readonly processId: string | undefined }
  authority_damaged: { readonly path: string; readonly problem: string }
  directory_taken: { readonly directory: string }
  file_failed: { readonly path: string; readonly problem: string }
  name_malformed: { readonly name: string }
  name_reserved: { readonly name: string }
  certificate_exists: { readonly name: string; readonly expiresAt: number }
  certificate_missing: { readonly name: string; readonly nearest: string | undefined }
  certificate_revoked: { readonly name: string }
  certificate_differs: { readonly path: string }
  alternative_names_missing: object
  alternative_names_too_many: { readonly count: number; readonly limit: number }
  alternative_name_refused: {
    readonly kind: NameKind
    readonly text: string
    readonly mistake: NameMistake
    /** What was probably meant. */
    readonly instead: string | undefined
  }
  alternative_name_not_permitted: {
    readonly kind: NameKind
    readonly text: string
    readonly permitted: readonly string[]
  }
  /** A verifier takes it for the name of a host. */
  name_not_permitted: { readonly name: string }
  permitted_malformed: { readonly text: string }
  lifetime_refused: { readonly days: string; readonly least: number; readonly most: number }
  lifetime_beyond_authority: { readonly days: number; readonly most: number }
}

export type CertificateProblemCode = keyof CertificateProblemFields

export class CertificateProblem<Code extends CertificateProblemCode = CertificateProblemCode> extends Error {
  override readonly name = 'CertificateProblem'
  readonly code: Code
  readonly fields: CertificateProblemFields[Code]

  constructor(code: Code, fields: CertificateProblemFields[Code], options: { cause?: unknown } = {}) {
    super(`${code} ${JSON.stringify(fields)}`, options)
    this.code = code
    this.fields = fields
  }
}
