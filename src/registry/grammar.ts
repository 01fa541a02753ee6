import { limits } from '../limits.ts'

/**
 * The grammars that a request and the registry share. Both use the same ones, so that everything that can be registered
 * can also be requested.
 */

/**
 * What may name a client. Narrower than RFC 6749 Appendix A.1: without % and +, an id is the same before and after the
 * encoding of §2.3.1, so clients that leave the encoding out work as well.
 */
export const clientIdForm = /^[A-Za-z0-9][A-Za-z0-9._:/@~-]*$/

/** An absolute URI without a fragment (RFC 8707 §2, RFC 3986 §4.3), by its characters only. */
const absoluteUri = /^[A-Za-z][A-Za-z0-9+.-]*:(?:[A-Za-z0-9\-._~:/?[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+$/

/** scope-token (RFC 6749 §3.3): printable ASCII without the quotation mark and the backslash. */
export const scopeToken = /^[\x21\x23-\x5b\x5d-\x7e]+$/

/**
 * A plain name, as message brokers and others have one (`rabbitmq`, `kafka`). It has no colon, so it is never
 * mistaken for a URI (StringOrURI, RFC 7519 §2).
 */
const plainName = /^[A-Za-z0-9][A-Za-z0-9._~/@-]*$/

/** What a token may be for: what `aud` may be. Compared as text and never resolved. */
export const audienceForm = new RegExp(`${absoluteUri.source}|${plainName.source}`)

export function isClientId(text: string): boolean {
  return text.length <= limits.clientIdCharactersMax && clientIdForm.test(text)
}

/** What the parameter `audience` may name. */
export function isAudience(text: string): boolean {
  return text.length <= limits.audienceCharactersMax && audienceForm.test(text)
}

/** What the parameter `resource` may name: a URI and nothing else (RFC 8707 §2). */
export function isResource(text: string): boolean {
  return text.length <= limits.audienceCharactersMax && absoluteUri.test(text)
}

export function isScopeToken(text: string): boolean {
  return text.length <= limits.scopeCharactersMax && scopeToken.test(text)
}
