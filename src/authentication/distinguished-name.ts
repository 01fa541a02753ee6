/**
 * Distinguished names, as a registration writes them (RFC 4514) and as a certificate has them. Both become one text, so that
 * two names are the same exactly when their texts are.
 *
 * Names are compared part by part and in order: attribute types by their object identifiers, values character by character.
 * The encoding of a value does not matter. Case and spaces matter: somebody who may choose the name in a certificate
 * must not get one that only looks like another client's.
 */

/** One attribute: its type as an object identifier, and its value; DER in hex where the value is no text. */
export interface NameAttribute {
  readonly type: string
  readonly text?: string
  readonly der?: string
}

/** The attributes of a name, from the top of the directory down, as a certificate has them. Several may make one part. */
export type NameParts = readonly (readonly NameAttribute[])[]

/** The one text of a name. Empty for a name without parts. */
export function nameText(parts: NameParts): string {
  if (parts.length === 0) return ''
  return JSON.stringify(
    parts.map((part) => part.map(({ type, text, der }) => [type, text ?? '', der ?? '']).sort(byText)),
  )
}

const byText = (one: readonly string[], other: readonly string[]): number =>
  JSON.stringify(one) < JSON.stringify(other) ? -1 : 1

/**
 * Whether a name begins with all parts of another one, as the names below a place in a directory do.
 * @param outer and `inner` texts of names.
 */
export function isNameWithin(inner: string, outer: string): boolean {
  if (outer === '') return true
  return inner === outer || inner.startsWith(`${outer.slice(0, -1)},`)
}

const objectIdentifier = /^(?:OID\.)?((?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*))+)$/i

/** The names of attribute types (RFC 4514 §3, RFC 4519), and those that OpenSSL and Java write. */
const attributeTypes: Readonly<Record<string, string>> = {
  cn: '2.5.4.3',
  commonname: '2.5.4.3',
  sn: '2.5.4.4',
  surname: '2.5.4.4',
  serialnumber: '2.5.4.5',
  c: '2.5.4.6',
  countryname: '2.5.4.6',
  l: '2.5.4.7',
  localityname: '2.5.4.7',
  st: '2.5.4.8',
  s: '2.5.4.8',
  stateorprovincename: '2.5.4.8',
  street: '2.5.4.9',
  streetaddress: '2.5.4.9',
  o: '2.5.4.10',
  organizationname: '2.5.4.10',
  ou: '2.5.4.11',
  organizationalunitname: '2.5.4.11',
  title: '2.5.4.12',
  businesscategory: '2.5.4.15',
  postalcode: '2.5.4.17',
  name: '2.5.4.41',
  gn: '2.5.4.42',
  givenname: '2.5.4.42',
  initials: '2.5.4.43',
  generationqualifier: '2.5.4.44',
  dnqualifier: '2.5.4.46',
  dnq: '2.5.4.46',
  pseudonym: '2.5.4.65',
  organizationidentifier: '2.5.4.97',
  uid: '0.9.2342.19200300.100.1.1',
  userid: '0.9.2342.19200300.100.1.1',
  dc: '0.9.2342.19200300.100.1.25',
  domaincomponent: '0.9.2342.19200300.100.1.25',
  emailaddress: '1.2.840.113549.1.9.1',
  e: '1.2.840.113549.1.9.1',
}

/** A text is not a name. The message completes "…: it …". */
export class NameProblem extends Error {
  override readonly name = 'NameProblem'
}

/**
 * Reads a name in the form of RFC 4514, which begins with the lowest part: `CN=billing,O=Example`. Spaces around the
 * separators are ignored, because OpenSSL writes them.
 * @throws NameProblem
 */
export function parseName(text: string): NameParts {
  const parts: NameAttribute[][] = [[]]
  const reader = new NameReader(text)
  for (;;) {
    const type = reader.type()
    parts.at(-1)?.push({ type, ...reader.value() })
    const separator = reader.separator()
    if (separator === undefined) break
    if (separator === ',') parts.push([])
  }
  return parts.toReversed()
}

/** Escaped by a backslash alone (RFC 4514 §2.4). */
const escapable = new Set('"+,;<>\\ #=')
/** These must be escaped. */
const special = new Set('"+,;<>')

class NameReader {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  /** Up to the equals sign, which it passes over. */
  type(): string {
    const equals = this.#text.indexOf('=', this.#at)
    if (equals === -1) throw new NameProblem('has a part without "=": write it like CN=billing,O=Example')
    const written = this.#text.slice(this.#at, equals).trim()
    this.#at = equals + 1
    const known = attributeTypes[written.toLowerCase()] ?? objectIdentifier.exec(written)?.[1]
    if (known !== undefined && Object.hasOwn(attributeTypes, written.toLowerCase())) return known
    if (known !== undefined && objectIdentifier.test(written)) return known
    throw new NameProblem(
      `has an attribute type that is not known, ${JSON.stringify(written.slice(0, 40))}: write it as an object identifier`,
    )
  }

  value(): Omit<NameAttribute, 'type'> {
    this.#skipSpaces()
    if (this.#text[this.#at] === '#') return this.#hexadecimal()
    const bytes: Buffer[] = []
    // How much of the value there was at the last character that is no unescaped space.
    let kept = 0
    for (; this.#at < this.#text.length; ) {
      const character = String.fromCodePoint(this.#text.codePointAt(this.#at) ?? 0)
      if (character === ',' || character === '+') break
      if (special.has(character) || character === '\0') {
        throw new NameProblem(
          `has a character that needs a backslash before it: ${JSON.stringify(character)}`,
        )
      }
      if (character === '\\') {
        bytes.push(this.#escaped())
        kept = bytes.length
        continue
      }
      bytes.push(Buffer.from(character))
      if (character !== ' ') kept = bytes.length
      this.#at += character.length
    }
    const text = utf8(Buffer.concat(bytes.slice(0, kept)))
    if (text === undefined) throw new NameProblem('has an escaped value that is not UTF-8')
    if (text === '') throw new NameProblem('has an attribute without a value')
    return { text }
  }

  /** Undefined at the end. */
  separator(): ',' | '+' | undefined {
    const character = this.#text[this.#at]
    if (character === undefined) return undefined
    this.#at += 1
    return character === ',' ? ',' : '+'
  }

  #escaped(): Buffer {
    const next = this.#text[this.#at + 1] ?? ''
    if (escapable.has(next)) {
      this.#at += 2
      return Buffer.from(next)
    }
    const pair = this.#text.slice(this.#at + 1, this.#at + 3)
    if (!/^[0-9A-Fa-f]{2}$/.test(pair)) {
      throw new NameProblem(
        'has a backslash that is neither before a special character nor before two hex digits',
      )
    }
    this.#at += 3
    return Buffer.from(pair, 'hex')
  }

  #hexadecimal(): Omit<NameAttribute, 'type'> {
    const [, digits = ''] = /^#((?:[0-9A-Fa-f]{2})+) *(?=[,+]|$)/.exec(this.#text.slice(this.#at)) ?? []
    if (digits === '') throw new NameProblem('has a value after # that is not hexadecimal')
    this.#at += digits.length + 1
    this.#skipSpaces()
    const der = Buffer.from(digits, 'hex')
    const text = textIn(der)
    return text === undefined ? { der: der.toString('hex') } : { text }
  }

  #skipSpaces(): void {
    while (this.#text[this.#at] === ' ') this.#at += 1
  }
}

/** UTF8String, PrintableString and IA5String. */
const textTags = new Set([0x0c, 0x13, 0x16])

/** The text in the DER of a short text. */
function textIn(der: Buffer): string | undefined {
  const [tag, length] = der
  if (tag === undefined || length === undefined || !textTags.has(tag)) return undefined
  return length < 0x80 && length > 0 && der.length === length + 2 ? utf8(der.subarray(2)) : undefined
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function utf8(bytes: Buffer): string | undefined {
  try {
    return strictUtf8.decode(bytes)
  } catch {
    return undefined
  }
}
