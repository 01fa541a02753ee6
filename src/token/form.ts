import { looksLikeCredential } from '../lib/claimed-text.ts'
import { formDecoded, hasControlCharacter } from '../lib/form-encoding.ts'
import { limits } from '../limits.ts'
import type { RefusalReason } from '../refusals.ts'

/**
 * The form of a token request (RFC 6749 §3.2 and §4.4.2, RFC 7523 §2.1). It is read to its end before anything is refused.
 *
 * Every value is a new string made from the bytes. A slice of the body text would keep the whole body in
 * memory, with the secret, for as long as the client's identifier is kept.
 */

/** The parameters that this service knows. The position in this list is the position in `Form.values`. */
const parameterNames: readonly string[] = [
  'grant_type',
  'client_id',
  'client_secret',
  'scope',
  'resource',
  'audience',
  'client_assertion',
  'client_assertion_type',
  'assertion',
]
export const GRANT_TYPE = 0
export const CLIENT_ID = 1
export const CLIENT_SECRET = 2
export const SCOPE = 3
export const RESOURCE = 4
export const AUDIENCE = 5
export const CLIENT_ASSERTION = 6
export const CLIENT_ASSERTION_TYPE = 7
export const ASSERTION = 8

export interface Form {
  /** In the order of `parameterNames`. No name from the request is ever used as a key. */
  readonly values: (string | undefined)[]
  /** One bit for every position whose name has occurred, with a value or without. */
  seen: number
  /** The first further client_id parameter that differs from the one in `values`. */
  otherClientId: string | undefined
  /** Why the bytes are not a valid form. */
  malformed: RefusalReason | undefined
  /** Why a well-formed form is refused. */
  refusal: RefusalReason | undefined
}

/**
 * Characters outside %x21-7E. A form must encode the space and all characters that are not printable ASCII.
 */
const forbiddenInForm = /[^\x21-\x7e]/
const forbiddenButSpace = /[^\x20-\x7e]/

const u = undefined

export function readForm(body: Buffer): Form {
  const form: Form = {
    // In one literal: this is made for every request.
    values: [u, u, u, u, u, u, u, u, u],
    seen: 0,
    otherClientId: undefined,
    malformed: undefined,
    refusal: undefined,
  }
  const text = body.toString('latin1')
  if (forbiddenInForm.test(text)) {
    form.malformed = forbiddenButSpace.test(text) ? 'body_malformed' : 'space_not_encoded'
  }
  // Parameters are counted before they are decoded, so that a body of ampersands costs one pass and no
  // memory.
  let parameters = 1
  for (let at = text.indexOf('&'); at !== -1; at = text.indexOf('&', at + 1)) parameters += 1
  if (parameters > limits.formParametersMax) {
    form.malformed ??= 'parameters_too_many'
    return form
  }
  // Reading continues after a malformed parameter, because a later one may identify the client.
  for (let start = 0; start < text.length; ) {
    const ampersand = text.indexOf('&', start)
    const end = ampersand === -1 ? text.length : ampersand
    if (end > start) readParameter(form, body, text, start, end)
    start = end + 1
  }
  return form
}

/**
 * Reads one parameter. An unknown parameter is ignored, even if it occurs several times (RFC 6749 §3.2,
 * erratum 5708). A malformed one is refused.
 */
function readParameter(form: Form, body: Buffer, text: string, start: number, end: number): void {
  const equals = text.indexOf('=', start)
  const nameEnd = equals === -1 || equals > end ? end : equals
  // Without an equals sign this is past the end, and the value is empty.
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
 * A name that occurs twice is refused, even if one occurrence has no value or both are equal. A proxy or a
 * filter that reads the same bytes might use the other occurrence.
 */
function keepValue(form: Form, place: number, value: string): void {
  const bit = 1 << place
  if ((form.seen & bit) !== 0) {
    form.refusal ??= place === RESOURCE || place === AUDIENCE ? 'target_repeated' : 'parameter_repeated'
  }
  form.seen |= bit
  // A parameter without a value counts as omitted (RFC 6749 §3.2).
  if (value === '') return
  form.values[place] ??= value
  if (place === CLIENT_ID && value !== form.values[CLIENT_ID]) form.otherClientId ??= value
}

const lettersOf = (name: string): string => name.toLowerCase().replace(/[^a-z]/g, '')
const lettersOfNames: ReadonlySet<string> = new Set(parameterNames.map(lettersOf))

/**
 * Whether a query string has a parameter that belongs in the body, in any spelling, or something that looks like a
 * credential: a URL is in the log of every proxy. Other parameters are ignored, as in the body. Libraries send them: MSAL
 * adds the id of its request.
 */
export function hasBodyParameter(query: string): boolean {
  if (query.length > limits.parameterCharactersMax) return true
  return query.split('&').some((parameter) => {
    const name = formDecoded(parameter.split('=', 1)[0] ?? '')
    return name === undefined || lettersOfNames.has(lettersOf(name)) || looksLikeCredential(parameter)
  })
}
