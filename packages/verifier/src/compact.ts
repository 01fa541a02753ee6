import { isUtf8 } from 'node:buffer'
import { VerifyError, type VerifyErrorCode } from './errors.ts'

/** Characters of the longest token or proof that is read. Mintmark's tokens have about 500. */
const charactersMax = 16_384
/** Levels to which the JSON in a token may nest. */
const levelsMax = 16

export type JsonObject = Readonly<Record<string, unknown>>

/** A JWS in its compact form (RFC 7515 §7.1), of which nothing is proven yet. */
export interface Compact {
  readonly headerText: string
  readonly header: JsonObject
  /** What was signed. */
  readonly signed: Buffer
  readonly payload: Buffer
  readonly signature: Buffer
}

/**
 * Reads a token so that it means the same to every reader: one text for one token, no member twice, and a bound on
 * everything before it is worked on.
 * @param malformed the code of what is no such token.
 * @param headers those that were read before, by their text. They are not read again.
 */
export function readCompact(
  text: unknown,
  malformed: VerifyErrorCode,
  headers?: { get(text: string): JsonObject | undefined },
): Compact {
  const refused = () => new VerifyError(malformed)
  if (typeof text !== 'string' || text.length > charactersMax) throw refused()
  const first = text.indexOf('.')
  const second = text.indexOf('.', first + 1)
  if (first === -1 || second === -1 || text.includes('.', second + 1)) throw refused()
  const headerText = text.slice(0, first)
  const payload = base64urlDecoded(text.slice(first + 1, second))
  const signature = base64urlDecoded(text.slice(second + 1))
  if (payload === undefined || signature === undefined) throw refused()
  let header = headers?.get(headerText)
  if (header === undefined) {
    const bytes = base64urlDecoded(headerText)
    if (bytes === undefined) throw refused()
    header = readJsonObject(bytes, malformed)
  }
  return { headerText, header, signed: Buffer.from(text.slice(0, second), 'latin1'), payload, signature }
}

/**
 * Base64url as its bytes encode to it, and in no other way (RFC 7515 §2). Buffer takes padding, whitespace, the other
 * alphabet and unused bits as well.
 */
export function base64urlDecoded(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64url')
  return bytes.toString('base64url') === text ? bytes : undefined
}

/** An object of JSON that every reader understands in the same way. */
export function readJsonObject(bytes: Buffer, malformed: VerifyErrorCode): JsonObject {
  try {
    const value = isUtf8(bytes) ? parseStrictJson(bytes.toString(), levelsMax) : undefined
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonObject
  } catch {
    // Told below, without what the token says.
  }
  throw new VerifyError(malformed)
}

/**
 * JSON without a member that stands twice: `JSON.parse` takes the last one, and another reader takes the first
 * (RFC 8259 §4). Half of a surrogate pair is no text that can be written (RFC 7493 §2.1).
 * @throws SyntaxError
 */
export function parseStrictJson(text: string, depthMax: number): unknown {
  const value: unknown = JSON.parse(text)
  const { members, depth } = countedIn(text)
  if (depth > depthMax) throw new SyntaxError('The JSON nests too deep.')
  if (members !== membersOf(value)) throw new SyntaxError('A member of the JSON stands twice.')
  if (/\\u[dD][89a-fA-F]/.test(text) && !isWellFormed(value))
    throw new SyntaxError('The JSON has half of a surrogate pair.')
  return value
}

/** How many members a text writes down, and how deep it nests. It is JSON, so each member has one colon. */
function countedIn(text: string): { members: number; depth: number } {
  let members = 0
  let level = 0
  let depth = 0
  for (let at = 0; at < text.length; at += 1) {
    switch (text.charCodeAt(at)) {
      case 0x22: // "
        at = endOfString(text, at)
        break
      case 0x3a: // :
        members += 1
        break
      case 0x7b: // {
      case 0x5b: // [
        level += 1
        depth = Math.max(depth, level)
        break
      case 0x7d: // }
      case 0x5d: // ]
        level -= 1
        break
    }
  }
  return { members, depth }
}

/** Where the string ends that begins here. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); ; end = text.indexOf('"', end + 1)) {
    let backslashes = 0
    while (text.charCodeAt(end - 1 - backslashes) === 0x5c) backslashes += 1
    if (backslashes % 2 === 0) return end
  }
}

/** How many members a value has, on all levels together. */
function membersOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  let count = Array.isArray(value) ? 0 : Object.keys(value).length
  for (const item of Object.values(value)) count += membersOf(item)
  return count
}

function isWellFormed(value: unknown): boolean {
  if (typeof value === 'string') return value.isWellFormed()
  if (typeof value !== 'object' || value === null) return true
  return Object.entries(value).every(([name, item]) => name.isWellFormed() && isWellFormed(item))
}
