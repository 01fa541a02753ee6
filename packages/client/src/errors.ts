/** Why there is no token. The names stay the same; new ones may come. */
export type TokenErrorCode =
  /** The token service cannot be reached, or its answer was cut off. */
  | 'unreachable'
  /** It did not answer in time. */
  | 'timeout'
  /** It answered 429 or 5xx. */
  | 'unavailable'
  /** It refused the request. `error` and `description` say why. Asking again does not help. */
  | 'refused'
  /** Its answer is not one of a token service: HTML, a redirect, too long, another type of token. */
  | 'response_invalid'
  /** Its metadata (RFC 8414) are missing, or are those of another issuer. */
  | 'metadata_invalid'
  /** A file with a secret, a key, a certificate or an assertion cannot be used. */
  | 'credential_unreadable'

export interface TokenErrorDetails {
  /** The status of the answer. */
  readonly status?: number | undefined
  /** The `error` of RFC 6749 §5.2. */
  readonly error?: string | undefined
  /** The `error_description`. Mintmark says in it what to correct. */
  readonly description?: string | undefined
  /** The `x-request-id` of the answer. The operator finds the reason in the ledger by it. */
  readonly requestId?: string | undefined
  /** After how many seconds the service wants to be asked again. */
  readonly retryAfterSeconds?: number | undefined
  readonly cause?: unknown
}

/** There is no token. Neither the message nor a field has a secret, a key, an assertion or a token in it. */
export class TokenError extends Error {
  override readonly name = 'TokenError'
  readonly code: TokenErrorCode
  readonly status: number | undefined
  readonly error: string | undefined
  readonly description: string | undefined
  readonly requestId: string | undefined
  readonly retryAfterSeconds: number | undefined

  constructor(code: TokenErrorCode, message: string, details: TokenErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.code = code
    this.status = details.status
    this.error = details.error
    this.description = details.description
    this.requestId = details.requestId
    this.retryAfterSeconds = details.retryAfterSeconds
  }

  /** Whether it may help to ask again. */
  get isPassing(): boolean {
    return this.code === 'unreachable' || this.code === 'timeout' || this.code === 'unavailable'
  }
}
