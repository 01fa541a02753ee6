/**
 * The client credentials grant, read from the bytes of a request (RFC 6749 §4.4.2 and §2.3.1, Appendix A
 * and B; RFC 8707 §2).
 *
 * Body and header are both read to their end before anything is refused: what is wrong is noted, not
 * thrown. So the record of a refusal can name the client even where the request was not understood, and
 * which refusal wins is decided in one place, `parseTokenRequest`.
 *
 * Every value is cut from the bytes as a string of its own. A slice of the whole body as text would keep
 * that body in memory, secret included, for as long as anybody remembers the client's identifier.
 */
import { OAuthError, type RefusalReason } from '../errors.ts'
import { isAudience, isScopeToken } from '../grammar.ts'
import { limits } from '../limits.ts'

export interface RawTokenRequest {
  /** As Node gives them: name, value, name, value. The parsed headers would hide a repeated one. */
  readonly rawHeaders: readonly string[]
  /** The raw bytes. Method, query, content type, encoding and size are looked at by route.ts. */
  readonly body: Buffer
}

export interface ClientCredentials {
  readonly method: 'client_secret_basic' | 'client_secret_post'
  readonly clientId: string
  readonly secret: string
}

export interface TokenRequest {
  readonly credentials: ClientCredentials
  /** The resource asked for, as it was written: it is compared, never resolved. */
  readonly target: string | undefined
  /** Without repetition, in order of first appearance. */
  readonly scopes: readonly string[] | undefined
}

/**
 * What a request claims about itself, for the record of a refusal. Nothing in it is proven or bounded, and
 * no secret, password or assertion is ever put here.
 */
export interface Claimed {
  clientId?: string
  /** A second identifier that contradicts the first. */
  otherClientId?: string
  authenticationMethod?: string
  target?: string
  scope?: string
  /** Any other than the one that is served. */
  grantType?: string
}

/** The refusals come in the order of this function; the first thing wrong is the one that is told. */
export function parseTokenRequest(raw: RawTokenRequest, claimed: Claimed): TokenRequest {
  const form = readForm(raw.body)
  const authorization = readAuthorization(raw.rawHeaders)
  fillClaimed(claimed, form, authorization)

  const refusal = form.malformed ?? authorization?.refusal ?? form.refusal
  if (refusal !== undefined) throw new OAuthError(refusal)

  const grantType = form.values[GRANT_TYPE]
  if (grantType === undefined) throw new OAuthError('grant_type_missing')
  if (grantType !== 'client_credentials') throw new OAuthError('grant_type_unsupported')

  return {
    credentials: chooseCredentials(form, authorization),
    target: chooseTarget(form.values[RESOURCE], form.values[AUDIENCE]),
    scopes: parseScopes(form.values[SCOPE]),
  }
}

// ── The form (RFC 6749 §3.2 and §4.4.2) ────────────────────────────────────────────────────────────────

/** The parameters this service knows. Their place here is their place in `Form.values`. */
const parameterNames: readonly string[] = [
  'grant_type',
  'client_id',
  'client_secret',
  'scope',
  'resource',
  'audience',
  'client_assertion',
  'client_assertion_type',
]
const GRANT_TYPE = 0
const CLIENT_ID = 1
const CLIENT_SECRET = 2
const SCOPE = 3
const RESOURCE = 4
const AUDIENCE = 5
const CLIENT_ASSERTION = 6
const CLIENT_ASSERTION_TYPE = 7

interface Form {
  /** By the places of `parameterNames`, so that no name a stranger chose is ever a key. */
  readonly values: (string | undefined)[]
  /** One bit for every place whose name has occurred, with a value or without. */
  seen: number
  /** The first of several client_id parameters that differs from the one in `values`. */
  otherClientId: string | undefined
  /** Why the bytes are not a form. */
  malformed: RefusalReason | undefined
  /** Why the form, though well-formed, is not acceptable. */
  refusal: RefusalReason | undefined
}

/** Outside %x21-7E. Whatever is not printable ASCII, the space included, stands encoded in a form. */
const notOfForms = /[^\x21-\x7e]/

function readForm(body: Buffer): Form {
  const form: Form = {
    values: [undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined],
    seen: 0,
    otherClientId: undefined,
    malformed: undefined,
    refusal: undefined,
  }
  const text = body.toString('latin1')
  if (notOfForms.test(text)) form.malformed = 'body_malformed'
  // Counted before anything is decoded, so that a body of ampersands costs one pass and no memory.
  let parameters = 1
  for (let at = text.indexOf('&'); at !== -1; at = text.indexOf('&', at + 1)) parameters += 1
  if (parameters > limits.formParametersMax) {
    form.malformed ??= 'parameters_too_many'
    return form
  }
  // All of them, also past a malformed one: a later one may say who the client is.
  for (let start = 0; start < text.length; ) {
    const ampersand = text.indexOf('&', start)
    const end = ampersand === -1 ? text.length : ampersand
    if (end > start) readParameter(form, body, text, start, end)
    start = end + 1
  }
  return form
}

/** An unknown parameter is ignored, however often it occurs (RFC 6749 §3.2, erratum 5708), but not garbage. */
function readParameter(form: Form, body: Buffer, text: string, start: number, end: number): void {
  const equals = text.indexOf('=', start)
  const nameEnd = equals === -1 || equals > end ? end : equals
  // Past the end where there is no equals sign, and empty then.
  const valueStart = nameEnd + 1
  const name = formDecoded(text.slice(start, nameEnd))
  const written = text.slice(valueStart, end)
  const value = formDecoded(written)
  if (name === undefined || value === undefined) {
    form.malformed ??= 'body_malformed'
    return
  }
  if (name.length > limits.parameterCharactersMax || value.length > limits.parameterCharactersMax) {
    form.malformed ??= 'parameter_too_long'
  }
  const place = parameterNames.indexOf(name)
  if (place === -1) return
  if (value !== written && hasControlCharacter(value)) form.refusal ??= 'character_forbidden'
  keepValue(form, place, value === written ? body.toString('latin1', valueStart, end) : value)
}

/**
 * A name that occurs twice is refused even when one of the two has no value or both say the same: another
 * reader of the same bytes, a proxy or a filter, might take the other one.
 */
function keepValue(form: Form, place: number, value: string): void {
  const bit = 1 << place
  if ((form.seen & bit) !== 0) {
    form.refusal ??= place === RESOURCE || place === AUDIENCE ? 'target_repeated' : 'parameter_repeated'
  }
  form.seen |= bit
  // A parameter without a value is an omitted one (RFC 6749 §3.2).
  if (value === '') return
  form.values[place] ??= value
  if (place === CLIENT_ID && value !== form.values[CLIENT_ID]) form.otherClientId ??= value
}

// ── Form encoding (RFC 6749 Appendix B), in the body and in both halves of Basic ───────────────────────

const escaped = /[%+]/

/** Undefined where an escape is malformed, or the bytes it stands for are not UTF-8. */
function formDecoded(text: string): string | undefined {
  if (!escaped.test(text)) return text
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return undefined
  }
}

function hasControlCharacter(text: string): boolean {
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index)
    if (code < 0x20 || code === 0x7f) return true
  }
  return false
}

// ── The Authorization header (RFC 6749 §2.3.1, RFC 7617, RFC 9110 §11.6.2) ─────────────────────────────

interface Authorization {
  readonly isBasic: boolean
  readonly clientId: string | undefined
  readonly secret: string | undefined
  readonly refusal: RefusalReason | undefined
}

const malformedBasic: Authorization = {
  isBasic: true,
  clientId: undefined,
  secret: undefined,
  refusal: 'authorization_malformed',
}
const malformedScheme: Authorization = { ...malformedBasic, isBasic: false }
const otherScheme: Authorization = { ...malformedScheme, refusal: undefined }

function readAuthorization(rawHeaders: readonly string[]): Authorization | undefined {
  let found: Authorization | undefined
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]
    if (name?.length !== 13 || name.toLowerCase() !== 'authorization') continue
    if (found !== undefined) return { ...found, refusal: 'authorization_repeated' }
    found = readCredentials(rawHeaders[index + 1] ?? '')
  }
  return found
}

/** A scheme is a token (RFC 9110 §11.1). */
const anyScheme = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/

function readCredentials(text: string): Authorization {
  const space = text.indexOf(' ')
  const scheme = space === -1 ? text : text.slice(0, space)
  if (scheme.toLowerCase() !== 'basic') return anyScheme.test(scheme) ? otherScheme : malformedScheme

  let start = scheme.length
  while (text.charCodeAt(start) === 0x20) start += 1
  const bytes = base64Decoded(text.slice(start))
  const colon = bytes === undefined ? -1 : bytes.indexOf(':')
  // Without a colon nothing says whether this is an identifier or a secret, so neither is claimed.
  if (bytes === undefined || colon < 1) return malformedBasic

  const clientId = halfDecoded(bytes, 0, colon)
  const secret = halfDecoded(bytes, colon + 1, bytes.length)
  if (clientId === undefined || secret === undefined) return { ...malformedBasic, clientId }
  const isForbidden = hasControlCharacter(clientId) || hasControlCharacter(secret)
  return { isBasic: true, clientId, secret, refusal: isForbidden ? 'character_forbidden' : undefined }
}

/**
 * Base64 of RFC 4648 §4, with its padding or with none. Buffer skips what is not of the alphabet, takes
 * the URL alphabet as well and drops trailing bits, so only what encodes to the same text again counts.
 */
function base64Decoded(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64')
  const canonical = bytes.toString('base64')
  if (canonical === text) return bytes
  const padding = canonical.indexOf('=')
  return padding !== -1 && canonical.slice(0, padding) === text ? bytes : undefined
}

/** A byte order mark is a character like any other here: an identifier is never trimmed. */
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const notAscii = /[\x80-\xff]/

/** One half of the pair, form-encoded before it was joined to the other (RFC 6749 §2.3.1). */
function halfDecoded(bytes: Buffer, start: number, end: number): string | undefined {
  const text = bytes.toString('latin1', start, end)
  if (!notAscii.test(text)) return formDecoded(text)
  try {
    return formDecoded(utf8.decode(bytes.subarray(start, end)))
  } catch {
    return undefined
  }
}

// ── What the request claims, and what it asks for ──────────────────────────────────────────────────────

function fillClaimed(claimed: Claimed, form: Form, authorization: Authorization | undefined): void {
  const { values } = form
  const bodyClientId = values[CLIENT_ID]
  const clientId = authorization?.clientId ?? bodyClientId
  if (clientId !== undefined) claimed.clientId = withoutSecret(clientId)
  const otherClientId = bodyClientId === clientId ? form.otherClientId : bodyClientId
  if (otherClientId !== undefined) claimed.otherClientId = withoutSecret(otherClientId)
  const method = claimedMethod(form, authorization)
  if (method !== undefined) claimed.authenticationMethod = method
  const target = values[RESOURCE] ?? values[AUDIENCE]
  if (target !== undefined) claimed.target = withoutSecret(target)
  if (values[SCOPE] !== undefined) claimed.scope = withoutSecret(values[SCOPE])
  const grantType = values[GRANT_TYPE]
  // The usual one needs no record, and no search.
  if (grantType !== undefined && grantType !== 'client_credentials') {
    claimed.grantType = withoutSecret(grantType)
  }
}

/**
 * Where the separators are wrong (a semicolon, a line break, an ampersand encoded once too often), what was
 * meant as several parameters arrives as one value, and a secret may be among them.
 */
const secretParameter = /(?:client_secret|client_assertion|password)["']?\s*(?:[=:]|%3d)/i

/** A whole secret, where an identifier or anything else was meant; its id is enough to know which. */
const wholeSecret = /mm_([0-9A-Za-z]{8})[0-9A-Za-z]{49}/g

/** Characters of the shortest text that either of them could find: `password=`. */
const secretTextCharactersMin = 9

export function withoutSecret(value: string): string {
  if (value.length < secretTextCharactersMin) return value
  const at = value.search(secretParameter)
  return (at === -1 ? value : value.slice(0, at)).replace(wholeSecret, 'mm_$1…')
}

/** Never the scheme as it was sent: someone who forgets the word Basic sends a secret in its place. */
function claimedMethod(form: Form, authorization: Authorization | undefined): string | undefined {
  if (authorization !== undefined) return authorization.isBasic ? 'client_secret_basic' : 'other'
  if (form.values[CLIENT_SECRET] !== undefined) return 'client_secret_post'
  return hasAssertion(form) ? 'client_assertion' : undefined
}

function hasAssertion(form: Form): boolean {
  return form.values[CLIENT_ASSERTION] !== undefined || form.values[CLIENT_ASSERTION_TYPE] !== undefined
}

/** Exactly one method, and nobody named beside the one who authenticates (RFC 6749 §2.3). */
function chooseCredentials(form: Form, authorization: Authorization | undefined): ClientCredentials {
  const clientId = form.values[CLIENT_ID]
  const secret = form.values[CLIENT_SECRET]
  const methods =
    (authorization === undefined ? 0 : 1) + (secret === undefined ? 0 : 1) + (hasAssertion(form) ? 1 : 0)
  if (methods > 1) throw new OAuthError('authentication_methods_multiple')

  if (authorization?.clientId !== undefined && authorization.secret !== undefined) {
    // The same identifier in the body is a hint, not a second method (RFC 7521 §4.2).
    if (clientId !== undefined && clientId !== authorization.clientId) {
      throw new OAuthError('client_id_mismatch')
    }
    return { method: 'client_secret_basic', clientId: authorization.clientId, secret: authorization.secret }
  }
  if (authorization !== undefined || hasAssertion(form)) {
    throw new OAuthError('authentication_method_unsupported')
  }
  if (clientId === undefined || secret === undefined) throw new OAuthError('authentication_missing')
  return { method: 'client_secret_post', clientId, secret }
}

/** `audience` is a synonym that many clients send instead; it may stand beside `resource` if both agree. */
function chooseTarget(resource: string | undefined, audience: string | undefined): string | undefined {
  if (resource !== undefined) refuseMalformedTarget(resource)
  if (audience !== undefined) refuseMalformedTarget(audience)
  if (resource !== undefined && audience !== undefined && resource !== audience) {
    throw new OAuthError('target_conflict')
  }
  return resource ?? audience
}

function refuseMalformedTarget(target: string): void {
  if (!isAudience(target)) throw new OAuthError('target_malformed')
}

function parseScopes(scope: string | undefined): readonly string[] | undefined {
  if (scope === undefined) return undefined
  // Split no further than it takes to see that there are too many.
  const tokens = scope.split(' ', limits.scopesPerRequestMax + 1)
  if (tokens.length > limits.scopesPerRequestMax) throw new OAuthError('scopes_too_many')
  for (const token of tokens) {
    if (!isScopeToken(token)) throw new OAuthError('scope_malformed')
  }
  return tokens.length === 1 ? tokens : [...new Set(tokens)]
}
