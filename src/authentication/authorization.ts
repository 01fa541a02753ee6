import { formDecoded, hasControlCharacter } from '../lib/form-encoding.ts'
import type { RefusalReason } from '../refusals.ts'

/** The Authorization header of a token request (RFC 6749 §2.3.1, RFC 7617, RFC 9110 §11.6.2). */
export interface Authorization {
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

export function readAuthorization(rawHeaders: readonly string[]): Authorization | undefined {
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
 * Base64 of RFC 4648 §4 with its padding, which RFC 7617 §2 requires. Buffer skips what is not of the alphabet, takes the
 * URL alphabet as well and drops trailing bits, so only the one text that the bytes encode to counts.
 */
function base64Decoded(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64')
  return bytes.toString('base64') === text ? bytes : undefined
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
