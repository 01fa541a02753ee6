/** A URI of http or https as RFC 3986 writes it, without a user. The characters are those of §2.2 and §2.3, and "%". */
const form = /^https?:\/\/[\w.~%:[\]-]+(?:[/?#][\w.~%:/?#[\]@!$&'()*+,;=-]*)?$/i
const brokenEscape = /%(?![0-9A-Fa-f]{2})/
const unreserved = /^[A-Za-z0-9._~-]$/

/**
 * The one spelling of all URIs that mean the same resource (RFC 3986 §6.2.2 and §6.2.3), without query and fragment:
 * `HTTPS://Example.com:443/%7Ea?b` is `https://example.com/~a`.
 * @returns undefined if the text is no such URI.
 */
export function normalizedHttpUri(text: string): string | undefined {
  if (!form.test(text) || brokenEscape.test(text) || !URL.canParse(text)) return undefined
  // The parser lowers scheme and host, drops the usual port and removes dot segments. It leaves escapes in the path.
  const { protocol, host, pathname } = new URL(text)
  const path = pathname.replace(/%[0-9A-Fa-f]{2}/g, (escaped) => {
    const character = String.fromCharCode(Number.parseInt(escaped.slice(1), 16))
    return unreserved.test(character) ? character : escaped.toUpperCase()
  })
  return `${protocol}//${host}${path}`
}
