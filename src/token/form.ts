import type { RefusalReason } from '../errors.ts'
import { formDecoded, hasControlCharacter } from '../lib/form-encoding.ts'
import { limits } from '../limits.ts'

/**
 * The form of a token request (RFC 6749 §3.2 and §4.4.2), read to its end before anything is refused.
 *
 * Every value is cut from the bytes as a string of its own. A slice of the whole body as text would keep
 * that body in memory, secret included, for as long as anybody remembers the client's identifier.
 */

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
export const GRANT_TYPE = 0
export const CLIENT_ID = 1
export const CLIENT_SECRET = 2
export const SCOPE = 3
export const RESOURCE = 4
export const AUDIENCE = 5
export const CLIENT_ASSERTION = 6
export const CLIENT_ASSERTION_TYPE = 7

export interface Form {
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

export function readForm(body: Buffer): Form {
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
