import { didYouMean } from '../lib/suggest.ts'
import { type Mistake, type Path, pathText } from './definition.ts'
import { type Problem, problemWithCount } from './validate.ts'

/** Values looked at in one file, aliases expanded: a hundred letters must not describe a billion clients. */
const valuesMax = 10_000_000

/** Past so many mistakes the file is something else altogether. */
const mistakesMax = 1_000

/** Thrown when there is no point in reading on; the mistakes say why. */
export class TooMuch extends Error {}

/** Reads typed values out of untyped ones and collects what is wrong. */
export class Reader {
  readonly mistakes: Mistake[] = []
  readonly #written: (path: Path) => string | undefined
  #values = 0

  constructor(written: (path: Path) => string | undefined) {
    this.#written = written
  }

  note(path: Path, message: string, isKey?: true): void {
    this.mistakes.push({ path, message, ...(isKey === undefined ? {} : { isKey }) })
    if (this.mistakes.length >= mistakesMax) throw new TooMuch()
  }

  check(path: Path, problem: Problem): void {
    if (problem !== undefined) this.note(path, problem)
  }

  needs(map: ReadonlyMap<unknown, unknown>, path: Path, key: string, example: string): void {
    if (!map.has(key)) this.note(path, `needs "${key}", for example ${key}: ${example}`)
  }

  map(value: unknown, path: Path, known: readonly string[]): ReadonlyMap<unknown, unknown> | undefined {
    this.#count(path)
    if (!(value instanceof Map)) {
      this.note(path, `must be a mapping with ${known.join(', ')}; ${this.#describe(value, path)}`)
      return undefined
    }
    for (const key of value.keys()) {
      if (typeof key === 'string' && known.includes(key)) continue
      const name = typeof key === 'object' ? 'that' : String(key)
      const hint = name === '<<' ? ' Merge keys are not supported.' : didYouMean(name, known)
      this.note([...path, key as string], `there is no such key; known are ${known.join(', ')}.${hint}`, true)
    }
    return value
  }

  text(
    map: ReadonlyMap<unknown, unknown>,
    path: Path,
    key: string,
    judge: (text: string) => Problem,
  ): string | undefined {
    return map.has(key) ? this.#text(map.get(key), [...path, key], judge) : undefined
  }

  #text(value: unknown, path: Path, judge: (text: string) => Problem): string | undefined {
    this.#count(path)
    if (typeof value !== 'string') {
      this.note(path, `must be text; ${this.#describe(value, path)}`)
      return undefined
    }
    this.check(path, judge(value))
    return value
  }

  number(
    map: ReadonlyMap<unknown, unknown>,
    path: Path,
    key: string,
    judge: (value: number) => Problem,
  ): number | undefined {
    if (!map.has(key)) return undefined
    const value = map.get(key)
    const at = [...path, key]
    this.#count(at)
    if (typeof value !== 'number') {
      this.note(at, `must be a number without quotes; ${this.#describe(value, at)}`)
      return undefined
    }
    this.check(at, judge(value))
    return value
  }

  /** A list of texts, each once. */
  texts(
    map: ReadonlyMap<unknown, unknown>,
    path: Path,
    key: string,
    judge: (text: string) => Problem,
    most: number,
  ): string[] {
    const at = [...path, key]
    const list = map.get(key)
    if (Array.isArray(list) && list.length > most) {
      this.check(at, problemWithCount(list.length, most, 'entries'))
      return []
    }
    const seen = new Set<string>()
    return this.each(map, path, key, (value, place) => {
      const text = this.#text(value, place, judge)
      if (text !== undefined && seen.has(text)) this.note(place, `${JSON.stringify(text)} is listed twice`)
      if (text !== undefined) seen.add(text)
      return text
    })
  }

  /**
   * Every entry of the list under a key that can be read at all. A key that is left out is an empty list.
   * @param id the key by which entries are told apart, and its value in one that was read.
   */
  each<Entry>(
    map: ReadonlyMap<unknown, unknown>,
    path: Path,
    key: string,
    read: (value: unknown, path: Path, reader: Reader) => Entry | undefined,
    id?: readonly [key: string, of: (entry: Entry) => string],
  ): Entry[] {
    if (!map.has(key)) return []
    const at = [...path, key]
    const list = map.get(key)
    if (!Array.isArray(list)) {
      this.note(at, `must be a list; ${this.#describe(list, at)}`)
      return []
    }
    const entries: Entry[] = []
    const firsts = new Map<string, number>()
    for (const [index, value] of list.entries()) {
      const entry = read(value, [...at, index], this)
      if (entry === undefined) continue
      entries.push(entry)
      const name = id?.[1](entry) ?? ''
      const first = firsts.get(name)
      if (first === undefined) firsts.set(name, index)
      else if (name !== '' && id !== undefined) {
        this.note([...at, index, id[0]], `${JSON.stringify(name)} is already ${pathText([...at, first])}`)
      }
    }
    return entries
  }

  #count(path: Path): void {
    this.#values += 1
    if (this.#values <= valuesMax) return
    this.note(path, `the file stands for more than ${valuesMax} values; split it`)
    throw new TooMuch()
  }

  /** What was found instead, and what YAML made of it. */
  #describe(value: unknown, path: Path): string {
    if (value === null || value === undefined) return 'it is empty'
    if (Array.isArray(value)) return 'it is a list'
    if (value instanceof Map) return 'it is a mapping'
    const source = this.#written(path) ?? String(value)
    if (typeof value === 'string') return 'it is text'
    return `YAML reads ${source} as a ${typeof value === 'boolean' ? 'truth value' : 'number'}: write "${source}" if text is meant`
  }
}
