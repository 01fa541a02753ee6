import { base64urlDecoded } from '../lib/base64url.ts'
import { parseStrictJson } from '../lib/strict-json.ts'
import { limits } from '../limits.ts'

/** A signed JWT in compact form (RFC 7515 §3.1), taken apart. Nothing in it is proven. Pure. */

export type Mapping = Readonly<Record<string, unknown>>

/** Its three parts, in base64url. Five would be encrypted (RFC 7516 §3.1). @returns undefined if there are not three. */
export function splitCompact(
  text: string,
): { header: string; claims: string; signature: string } | undefined {
  const first = text.indexOf('.')
  const second = text.indexOf('.', first + 1)
  // Without a first dot there is no second one.
  if (second === -1 || text.includes('.', second + 1)) return undefined
  return {
    header: text.slice(0, first),
    claims: text.slice(first + 1, second),
    signature: text.slice(second + 1),
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** A part as a JSON object; undefined if it is not one. */
export function readMapping(part: string): Mapping | undefined {
  const bytes = base64urlDecoded(part)
  if (bytes === undefined) return undefined
  try {
    const value = parseStrictJson(utf8.decode(bytes), limits.assertionDepthMax)
    const isMapping = typeof value === 'object' && value !== null && !Array.isArray(value)
    return isMapping ? (value as Mapping) : undefined
  } catch {
    return undefined
  }
}

/** Header and claims as they were signed. */
export function signedBytesOf(text: string): Buffer {
  return Buffer.from(text.slice(0, text.lastIndexOf('.')), 'latin1')
}

/** What `typ` says: "application/" may be left out (RFC 7515 §4.1.9), and media types have no case. */
export function typeOf({ typ }: Mapping): unknown {
  return typeof typ === 'string' ? typ.toLowerCase().replace(/^application\//, '') : typ
}

/** Whether the header has a member that must be understood, and that this service does not know (RFC 7515 §4.1.11). */
export function demandsMore(header: Mapping): boolean {
  // Without `crit`, b64 would be ignored by others (RFC 7797 §6).
  return 'crit' in header || 'b64' in header
}

export function isJti(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= limits.jtiCharactersMax
}

/** A number after this moment, in the year 5138, is not a time in seconds: it is in milliseconds, or means "never". */
const momentMax = 100_000_000_000

/** A NumericDate (RFC 7519 §2): seconds since 1970, which need not be whole. */
export function isMoment(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= momentMax
}
