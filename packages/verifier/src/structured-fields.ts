/** The part of RFC 8941 that signatures and digests of requests need: dictionaries of items and inner lists. */

export type BareItem = string | number | boolean | Buffer | Token
/** A word without quotes. */
export class Token {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

export type Parameters = ReadonlyMap<string, BareItem>
export interface Item {
  readonly value: BareItem
  readonly parameters: Parameters
}
export interface InnerList {
  readonly items: readonly Item[]
  readonly parameters: Parameters
}

/** @returns undefined if it is no dictionary. */
export function parseDictionary(text: string): ReadonlyMap<string, Item | InnerList> | undefined {
  try {
    return new Parser(text).dictionary()
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

/** As it stands in what is signed (RFC 9421 §2.3). */
export function serializeInnerList({ items, parameters }: InnerList): string {
  const inner = items.map(({ value, parameters }) => serialize(value) + serializeParameters(parameters))
  return `(${inner.join(' ')})${serializeParameters(parameters)}`
}

function serializeParameters(parameters: Parameters): string {
  return [...parameters]
    .map(([name, value]) => (value === true ? `;${name}` : `;${name}=${serialize(value)}`))
    .join('')
}

function serialize(value: BareItem): string {
  if (typeof value === 'string') return `"${value.replace(/["\\]/g, '\\$&')}"`
  if (typeof value === 'boolean') return value ? '?1' : '?0'
  if (Buffer.isBuffer(value)) return `:${value.toString('base64')}:`
  return value instanceof Token ? value.text : String(value)
}

const key = /[a-z*][a-z0-9_.*-]*/y
const string = /"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"/y
const bytes = /:([A-Za-z0-9+/]*={0,2}):/y
const integer = /-?\d{1,15}(?![\d.])/y
const boolean = /\?([01])/y
const word = /[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*/y

class Parser {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text.trim()
  }

  dictionary(): ReadonlyMap<string, Item | InnerList> {
    const members = new Map<string, Item | InnerList>()
    while (this.#at < this.#text.length) {
      if (members.size > 0) {
        this.#take(/[ \t]*,[ \t]*/y)
      }
      const [name] = this.#take(key)
      // The last one would count (RFC 8941 §3.2). Another reader may take the first.
      if (members.has(name)) throw new SyntaxError('A member stands twice.')
      members.set(name, this.#try(/=/y) ? this.#member() : { value: true, parameters: this.#parameters() })
    }
    return members
  }

  #member(): Item | InnerList {
    if (!this.#try(/\( */y)) return this.#item()
    const items: Item[] = []
    while (!this.#try(/\)/y)) {
      items.push(this.#item())
      if (!this.#try(/ +/y) && this.#text[this.#at] !== ')') throw new SyntaxError('A list without its end.')
    }
    return { items, parameters: this.#parameters() }
  }

  #item(): Item {
    return { value: this.#bareItem(), parameters: this.#parameters() }
  }

  #parameters(): Parameters {
    const parameters = new Map<string, BareItem>()
    while (this.#try(/; */y)) {
      const [name] = this.#take(key)
      if (parameters.has(name)) throw new SyntaxError('A parameter stands twice.')
      parameters.set(name, this.#try(/=/y) ? this.#bareItem() : true)
    }
    return parameters
  }

  #bareItem(): BareItem {
    const [text] = this.#try(string) ?? []
    if (text !== undefined) return text.slice(1, -1).replace(/\\(["\\])/g, '$1')
    const [, encoded] = this.#try(bytes) ?? []
    if (encoded !== undefined) return decoded(encoded)
    const [digits] = this.#try(integer) ?? []
    if (digits !== undefined) return Number(digits)
    const [, bit] = this.#try(boolean) ?? []
    if (bit !== undefined) return bit === '1'
    return new Token(this.#take(word)[0])
  }

  #try(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)
    if (found === null) return undefined
    this.#at = pattern.lastIndex
    return found
  }

  #take(pattern: RegExp): RegExpExecArray {
    const found = this.#try(pattern)
    if (found === undefined) throw new SyntaxError(`Character ${this.#at} is not what it should be.`)
    return found
  }
}

/** Base64 with its padding, as its bytes encode to it. */
function decoded(text: string): Buffer {
  const value = Buffer.from(text, 'base64')
  if (value.toString('base64') !== text) throw new SyntaxError('A text that is no base64.')
  return value
}
