/** Form encoding (RFC 6749 Appendix B): of a body's names and values, and of both halves of Basic credentials. */

const escaped = /[%+]/

/** Undefined where an escape is malformed, or the bytes it stands for are not UTF-8. */
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
