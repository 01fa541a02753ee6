/**
 * Form encoding (RFC 6749 Appendix B). It is used for the names and values of a body, and for both parts of
 * Basic credentials.
 */

const escaped = /[%+]/

/** Decodes a text. @returns undefined if an escape is malformed or the decoded bytes are not UTF-8. */
export function formDecoded(text: string): string | undefined {
  if (!escaped.test(text)) return text
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return undefined
  }
}

export function hasControlCharacter(text: string): boolean {
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index)
    if (code < 0x20 || code === 0x7f) return true
  }
  return false
}
