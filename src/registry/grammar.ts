import { limits } from '../limits.ts'

/**
 * The two grammars that a request and the registry share. Both sides ask here, so that nothing can be
 * registered which could never be asked for.
 */

/** An absolute URI without a fragment (RFC 8707 §2, RFC 3986 §4.3), by its characters only. */
export const absoluteUri = /^[A-Za-z][A-Za-z0-9+.-]*:(?:[A-Za-z0-9\-._~:/?[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+$/

/** scope-token (RFC 6749 §3.3): printable ASCII without the quotation mark and the backslash. */
export const scopeToken = /^[\x21\x23-\x5b\x5d-\x7e]+$/

/** What a token may be for. Compared as text and never resolved. */
export function isAudience(text: string): boolean {
  return text.length <= limits.audienceCharactersMax && absoluteUri.test(text)
}

export function isScopeToken(text: string): boolean {
  return text.length <= limits.scopeCharactersMax && scopeToken.test(text)
}

/**
 * Characters that forge a line, colour a terminal or turn its reader's text around: controls, line and
 * paragraph separators, invisible and bidirectional marks, halves of surrogate pairs.
 */
export const treacherous =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: naming control characters is what it is for.
  /[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]|\p{Surrogate}/gu

/** The text with each such character replaced, safe to show on a terminal. */
export function plainText(text: string): string {
  return text.replace(treacherous, '\ufffd')
}
