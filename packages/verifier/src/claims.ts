import type { JsonObject } from './compact.ts'
import { VerifyError } from './errors.ts'
import { isObject } from './keys.ts'

/** The claims of an access token (RFC 9068 §2.2). Times in seconds since 1970, which need not be whole. */
export interface AccessTokenClaims {
  readonly iss: string
  readonly sub: string
  readonly client_id: string
  readonly aud: string | readonly string[]
  readonly scope?: string
  readonly iat: number
  readonly exp: number
  readonly nbf?: number
  readonly jti: string
  readonly cnf?: Confirmation
  readonly [claim: string]: unknown
}

/** What the token is bound to (RFC 7800 §3.1): a certificate (RFC 8705 §3.1), a key (RFC 9449 §6.1), or both. */
export interface Confirmation {
  readonly 'x5t#S256'?: string
  readonly jkt?: string
}

export interface ExpectedClaims {
  readonly issuer: string
  readonly audience: string
}

/** The last moment that is taken for one, in the year 5138. What is later is in milliseconds, or means "never". */
const momentMax = 100_000_000_000
/** No token lives for longer. Mintmark gives a day at most. */
const lifetimeSecondsMax = 86_400

/** The claims of a token whose signature is right: from the issuer, for the audience, complete, and of sane values. */
export function readClaims(payload: JsonObject, { issuer, audience }: ExpectedClaims): AccessTokenClaims {
  const { iss, aud, sub, client_id, jti, iat, exp, nbf, scope, cnf } = payload
  if (iss !== issuer) throw new VerifyError('issuer_wrong')
  if (!isFor(audience, aud)) throw new VerifyError('audience_wrong')
  if ([sub, client_id, jti, iat, exp].includes(undefined)) throw new VerifyError('claim_missing')
  const isValid =
    [sub, client_id, jti].every(isName) &&
    isMoment(iat) &&
    isMoment(exp) &&
    (nbf === undefined || isMoment(nbf)) &&
    exp > iat &&
    exp - iat <= lifetimeSecondsMax &&
    (scope === undefined || isScope(scope)) &&
    (cnf === undefined || isConfirmation(cnf))
  if (!isValid) throw new VerifyError('claim_invalid')
  return payload as AccessTokenClaims
}

/** Checked at every use, because a token can be remembered, and a clock can move. */
export function checkTimes({ exp, nbf, iat }: AccessTokenClaims, now: number, leewaySeconds: number): void {
  if (!(exp + leewaySeconds > now)) throw new VerifyError('token_expired')
  if (!(Math.max(iat, nbf ?? 0) <= now + leewaySeconds)) throw new VerifyError('token_not_yet_valid')
}

/** RFC 7519 §4.1.3: one audience or a list, compared letter by letter. */
function isFor(audience: string, aud: unknown): boolean {
  if (!Array.isArray(aud)) return aud === audience
  return aud.every((one) => typeof one === 'string') && aud.includes(audience)
}

/**
 * Controls, separators of lines, what turns a text around and what is not seen. U+FE0E and U+FE0F may stay: they choose how
 * an emoji looks.
 */
const unseen =
  /(?![\ufe0e\ufe0f])[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}\p{Default_Ignorable_Code_Point}\ufff9-\ufffb]/u

/** A name without what could write a second line into a log, or look like another name. */
function isName(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && !unseen.test(value)
}

export function isMoment(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= momentMax
}

/** RFC 6749 §3.3: words with one space between them. */
function isScope(value: unknown): value is string {
  return typeof value === 'string' && /^[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*$/.test(value)
}

/** SHA-256 in base64url. */
const thumbprint = /^[A-Za-z0-9_-]{43}$/

/** A token that is bound in a way that cannot be checked must not be accepted as if it were not bound. */
function isConfirmation(value: unknown): value is Confirmation {
  if (!isObject(value)) return false
  const found = [value['x5t#S256'], value['jkt']].filter((member) => member !== undefined)
  return found.length > 0 && found.every((member) => typeof member === 'string' && thumbprint.test(member))
}

/** @param scope the scopes that are needed, with spaces between them. All of them must be there, as whole words. */
export function checkScope({ scope: granted = '' }: AccessTokenClaims, scope: string): void {
  const words = granted.split(' ')
  if (!scope.split(' ').every((word) => word === '' || words.includes(word)))
    throw new VerifyError('scope_insufficient')
}
