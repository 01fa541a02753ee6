/**
 * Reads DER (X.690 §8 and §10), as certificates are written. Everything has one encoding: what is written otherwise is
 * malformed. It takes time and memory in proportion to what is read, whatever that is.
 */
export interface DerValue {
  readonly tag: number
  readonly content: Buffer
  /** With tag and length. */
  readonly whole: Buffer
}

/** Some bytes are not what DER has there. */
export class DerProblem extends Error {
  override readonly name = 'DerProblem'
}

export const tags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectIdentifier: 0x06,
  utf8String: 0x0c,
  printableString: 0x13,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  bmpString: 0x1e,
  sequence: 0x30,
  set: 0x31,
} as const

/** Reads values one after the other. */
export class DerReader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length
  }

  /** The tag of the next value; undefined at the end. */
  get nextTag(): number | undefined {
    return this.#bytes[this.#at]
  }

  next(tag?: number): DerValue {
    const bytes = this.#bytes
    const start = this.#at
    const [found, first] = [bytes[start], bytes[start + 1]]
    if (found === undefined || first === undefined) throw new DerProblem('a value is cut off')
    if (tag !== undefined && found !== tag) throw new DerProblem('a value is of another type')
    if ((found & 0x1f) === 0x1f) throw new DerProblem('a tag is of more than one byte')
    let length = first
    let from = start + 2
    if (first >= 0x80) {
      const count = first & 0x7f
      if (count === 0 || count > 4 || from + count > bytes.length)
        throw new DerProblem('a length is malformed')
      length = bytes.readUIntBE(from, count)
      from += count
      if (length < 0x80 || length < 2 ** (8 * (count - 1))) throw new DerProblem('a length is too long')
    }
    const end = from + length
    if (end > bytes.length) throw new DerProblem('a value is cut off')
    this.#at = end
    return { tag: found, content: bytes.subarray(from, end), whole: bytes.subarray(start, end) }
  }

  /** The next value if it has this tag. */
  optional(tag: number): DerValue | undefined {
    return this.nextTag === tag ? this.next(tag) : undefined
  }

  /** A reader of what the next value consists of. */
  inside(tag: number): DerReader {
    return new DerReader(this.next(tag).content)
  }

  /** @throws DerProblem when there is more. */
  end(): void {
    if (!this.isAtEnd) throw new DerProblem('there is more than there should be')
  }
}

/** The values in a sequence or a set. */
export function derValues(content: Buffer): DerValue[] {
  const reader = new DerReader(content)
  const values: DerValue[] = []
  while (!reader.isAtEnd) values.push(reader.next())
  return values
}

/** The one value of some bytes. */
export function onlyValue(bytes: Buffer, tag: number): DerValue {
  const reader = new DerReader(bytes)
  const value = reader.next(tag)
  reader.end()
  return value
}

/** Bytes of one number in an object identifier. A UUID takes 19. A longer number takes the square of its length to read. */
const arcBytesMax = 32

export function objectIdentifierText({ content }: DerValue): string {
  const arcs: string[] = []
  let arc = 0n
  let isFirst = true
  let start = 0
  for (const [index, byte] of content.entries()) {
    // Zeros in front have another encoding.
    if (arc === 0n && byte === 0x80) throw new DerProblem('an object identifier is malformed')
    if (index - start >= arcBytesMax) throw new DerProblem('an object identifier is too long')
    arc = (arc << 7n) | BigInt(byte & 0x7f)
    if (byte >= 0x80) {
      if (index === content.length - 1) throw new DerProblem('an object identifier is cut off')
      continue
    }
    if (isFirst) {
      const top = arc < 40n ? 0n : arc < 80n ? 1n : 2n
      arcs.push(String(top), String(arc - top * 40n))
    } else arcs.push(String(arc))
    isFirst = false
    arc = 0n
    start = index + 1
  }
  if (arcs.length === 0) throw new DerProblem('an object identifier is empty')
  return arcs.join('.')
}

export function booleanOf({ content }: DerValue): boolean {
  const [byte] = content
  if (content.length !== 1 || (byte !== 0 && byte !== 0xff)) throw new DerProblem('a boolean is malformed')
  return byte === 0xff
}

/** A small integer that is not negative. */
export function smallInteger({ content }: DerValue): number {
  const [first = 0x80, second = 0x80] = content
  if (
    content.length === 0 ||
    content.length > 4 ||
    first >= 0x80 ||
    (content.length > 1 && first === 0 && second < 0x80)
  )
    throw new DerProblem('a number is malformed')
  return content.readUIntBE(0, content.length)
}

const timeForm = /^(\d{2}|\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/

/** Seconds since 1970. In the two forms of RFC 5280 §4.1.2.5, which have seconds and no fractions. */
export function timeOf({ tag, content }: DerValue): number {
  const [, year = '', ...rest] = timeForm.exec(content.toString('latin1')) ?? []
  const [month = 0, day = 0, hour = 0, minute = 0, second = 0] = rest.map(Number)
  const isForm =
    (tag === tags.utcTime && year.length === 2) || (tag === tags.generalizedTime && year.length === 4)
  if (!isForm || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 59)
    throw new DerProblem('a time is malformed')
  const full = year.length === 4 ? Number(year) : Number(year) + (Number(year) < 50 ? 2_000 : 1_900)
  const seconds = Date.UTC(full, month - 1, day, hour, minute, second) / 1_000
  // Date.UTC takes years before 100 for others.
  if (full < 1_000) throw new DerProblem('a time is malformed')
  return seconds
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const utf16 = new TextDecoder('utf-16be', { fatal: true, ignoreBOM: true })

/** The text in a value; undefined if it is of another type. */
export function textOf({ tag, content }: DerValue): string | undefined {
  try {
    if (tag === tags.utf8String) return utf8.decode(content)
    if (tag === tags.bmpString) return utf16.decode(content)
  } catch (error) {
    throw new DerProblem('a text is malformed', { cause: error })
  }
  if (tag !== tags.printableString && tag !== tags.ia5String) return undefined
  if (content.some((byte) => byte >= 0x80)) throw new DerProblem('a text is malformed')
  return content.toString('latin1')
}
