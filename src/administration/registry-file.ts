import {
  type Alias,
  type Document,
  isAlias,
  isCollection,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  type YAMLError,
} from 'yaml'
import { AdministrationError } from '../errors.ts'
import { readBounded } from '../lib/bounded-file.ts'
import { limits } from '../limits.ts'
import type { Registration } from './definition.ts'
import { type Mistake, type Path, type Place, refusalOf, unreadable } from './mistake.ts'
import { parseRegistration, type ReadablePart } from './parse.ts'

/**
 * A file of resources, clients and access: YAML, and so JSON as well. It is read whole and judged whole; every
 * mistake in it has its line and its column.
 */
export interface RegistryFile extends Registration {
  /** What the file cannot know by itself, with the places in the file: mistakes from the plan. */
  refusal(mistakes: readonly Mistake[]): AdministrationError
}

/**
 * Values in one file, and in one entry of it. An alias counts as all the values that it stands for: a few hundred
 * letters must not describe a billion clients. The largest entry that the limits allow has about 20,000 values.
 */
const fileValuesMax = 10_000_000
const entryValuesMax = 100_000

/** A file that may have mistakes. */
export interface JudgedFile {
  readonly mistakes: readonly Mistake[]
  /** What could be read of it: all of it, if there are no mistakes. */
  readonly part: ReadablePart
  refusal(mistakes: readonly Mistake[]): AdministrationError
}

/** @throws AdministrationError */
export function readRegistryFile(path: string): RegistryFile {
  return withoutMistakes(judgeRegistryFile(path))
}

/** @throws AdministrationError if nothing of it can be read. */
export function judgeRegistryFile(path: string): JudgedFile {
  let bytes: Buffer
  try {
    bytes = readBounded(path, limits.seedFileBytesMax)
  } catch (error) {
    throw unreadable(path, error, limits.seedFileBytesMax)
  }
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    throw new AdministrationError('file_not_text', { path }, { cause: error })
  }
  return judge(text, path)
}

/** @throws AdministrationError with every mistake that can be seen without looking at the registry. */
export function parseRegistryFile(text: string, name: string): RegistryFile {
  return withoutMistakes(judge(text, name))
}

function withoutMistakes({ mistakes, part, refusal }: JudgedFile): RegistryFile {
  if (mistakes.length > 0) throw refusal(mistakes)
  return { resources: part.resources, clients: part.clients, issuers: part.issuers ?? [], refusal }
}

function judge(text: string, name: string): JudgedFile {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, version: '1.2' })
  const placeOf = (offset: number): Place => {
    const { line, col } = lines.linePos(offset)
    return { line, column: col }
  }
  const refuse = (mistakes: readonly Mistake[]) => refusalOf(mistakes, name)
  // A warning is an unknown tag or directive: something that was meant, and would be ignored.
  const faults = [...document.errors, ...document.warnings]
  if (faults.length > 0) {
    const problems = problemsOf(faults).map(({ problem, offset }) => malformed(problem, placeOf(offset)))
    const faultyLines = new Set(problems.map(({ place }) => place?.line))
    // One of them is often why the line cannot be read, and what the parser says of it leads nowhere.
    const unseen = unseenIn(text)
      .map(({ problem, offset }) => malformed(problem, placeOf(offset)))
      .filter(({ place }) => faultyLines.has(place?.line))
    throw refuse([...unseen, ...problems])
  }
  const values = new Values(document)
  const { root, mistakes: unread } = values.read(placeOf)
  const refusal = (mistakes: readonly Mistake[]) =>
    refuse(
      mistakes
        .map((mistake) => ({ mistake, offset: values.offsetOf(mistake.path, mistake.isKey === true) }))
        .sort((first, second) => first.offset - second.offset)
        .map(({ mistake, offset }) => {
          const written = mistake.code === 'kind_wrong' ? values.writtenAt(mistake.path) : undefined
          return { ...mistake, ...(written === undefined ? {} : { written }), place: placeOf(offset) }
        }),
    )
  if (unread.length > 0) throw refuse(unread)
  const { mistakes, part } = parseRegistration(root)
  return { mistakes, part, refusal }
}

/** Characters that look like a space or like nothing, where YAML or JSON needs a space. */
const unseenForm = /[\0\u00a0\u2000-\u200d\u2028\u2029\u202f\u205f\u2060\u3000\ufeff]|\r(?!\n)/gu
const unseenMax = 20

interface Problem {
  readonly problem: string
  readonly offset: number
}

function unseenIn(text: string): readonly Problem[] {
  // A byte order mark is gone already.
  return [...text.matchAll(unseenForm)].slice(0, unseenMax).map(({ 0: character, index }) => {
    const code = character.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')
    const problem =
      character === '\r'
        ? 'a line ends with a carriage return alone; save the file with the line ends of Unix or Windows'
        : `has the character U+${code}, which looks like a space or like nothing; write a plain space, or remove it`
    return { problem, offset: index }
  })
}

/** What the parser found. It speaks to programmers where the file is too deep for it, or has a second document. */
function problemsOf(faults: readonly YAMLError[]): readonly Problem[] {
  const deep = faults.find(({ message }) => /call stack|stack overflow/i.test(message))
  if (deep !== undefined)
    return [{ problem: 'is nested too deeply; no registry needs more than ten levels', offset: deep.pos[0] }]
  return faults.map(({ code, message, pos }) => ({
    problem:
      code === 'MULTIPLE_DOCS'
        ? 'begins a second document; write everything into one, without this "---"'
        : message,
    offset: pos[0],
  }))
}

function malformed(problem: string, place: Place): Mistake {
  return { code: 'yaml_malformed', path: [], problem, place }
}

/**
 * The values of a YAML document, and the way back from a value to its place. The library's own `toJS` is not used:
 * it reads the whole document again for each alias, and its result does not lead back to places in the file.
 */
class Values {
  readonly #document: Document.Parsed
  /** What each alias stands for: the node before it that had the name last. */
  readonly #targets = new Map<Alias, Node>()
  readonly #anchors = new Map<string, Node>()
  /** What an alias may stand for, and what is too large: each once, with the number of its values. */
  readonly #read = new Map<Node, { readonly value: unknown; readonly count: number }>()
  /** How many values were read so far, each alias counted as what it stands for. */
  #count = 0

  constructor(document: Document.Parsed) {
    this.#document = document
  }

  read(placeOf: (offset: number) => Place): { root: unknown; mistakes: readonly Mistake[] } {
    try {
      const root = this.#valueOf(this.#document.contents)
      const large = this.#count > fileValuesMax ? [[]] : this.#largeEntries()
      const mistakes = large.map((path): Mistake => {
        const limit = path.length === 0 ? fileValuesMax : entryValuesMax
        return { code: 'values_too_many', path, limit, place: placeOf(this.offsetOf(path, false)) }
      })
      return { root, mistakes }
    } catch (error) {
      if (!(error instanceof Malformed)) throw error
      return { root: undefined, mistakes: [malformed(error.message, placeOf(error.offset))] }
    }
  }

  #valueOf(node: unknown): unknown {
    if (isAlias(node)) return this.#aliased(node)
    const before = this.#count
    this.#count += 1
    if (!isScalar(node) && !isCollection(node)) return null
    const { anchor } = node
    if (anchor !== undefined) this.#anchors.set(anchor, node)
    if (isScalar(node)) return node.value
    const value = isSeq(node) ? node.items.map((item) => this.#valueOf(item)) : this.#mapping(node)
    const count = this.#count - before
    if (anchor !== undefined || count > entryValuesMax) this.#read.set(node, { value, count })
    return value
  }

  #mapping(node: Node): Readonly<Record<string, unknown>> {
    const mapping: Record<string, unknown> = {}
    for (const { key, value } of isMap(node) ? node.items : []) {
      const name = keyOf(key)
      // Set the usual way, this one would become the prototype and not a key that is unknown.
      if (name === '__proto__') Object.defineProperty(mapping, name, { value, enumerable: true })
      else mapping[name] = this.#valueOf(value)
    }
    return mapping
  }

  #aliased(alias: Alias): unknown {
    const target = this.#anchors.get(alias.source)
    const offset = alias.range?.[0] ?? 0
    if (target === undefined) throw new Malformed(`Nothing before it is named &${alias.source}`, offset)
    this.#targets.set(alias, target)
    if (isScalar(target)) {
      this.#count += 1
      return target.value
    }
    const read = this.#read.get(target)
    if (read === undefined) throw new Malformed(`*${alias.source} is within what it names`, offset)
    this.#count += read.count
    return read.value
  }

  /** The paths of the entries that stand for more values than one can have. */
  #largeEntries(): Path[] {
    const root = this.#document.contents
    if (!isMap(root)) return []
    return root.items.flatMap(({ key, value }) => {
      const list = this.#resolved(value)
      if (!isSeq(list)) return []
      return list.items.flatMap((item, index) => {
        const count = this.#read.get(this.#resolved(item) as Node)?.count ?? 1
        return count > entryValuesMax ? [[keyOf(key), index]] : []
      })
    })
  }

  /** How the file spells a single value; undefined for anything else. */
  writtenAt(path: Path): string | undefined {
    let node = this.#resolved(this.#document.contents)
    for (const step of path) {
      if (!isCollection(node)) return undefined
      node = this.#resolved(childOf(node, step)?.value)
    }
    return isScalar(node) ? node.source : undefined
  }

  /** Where a path begins in the text: what it leads to, or the nearest thing around it that exists. */
  offsetOf(path: Path, wantsKey: boolean): number {
    let node: unknown = this.#document.contents
    let offset = this.#document.contents?.range?.[0] ?? 0
    for (const [depth, step] of path.entries()) {
      const container = this.#resolved(node)
      const child = isCollection(container) ? childOf(container, step) : undefined
      const next = wantsKey && depth === path.length - 1 ? child?.key : (child?.value ?? child?.key)
      // An alias has a place of its own, and that is the one its reader looks at.
      const range = (next as Node | undefined)?.range
      if (!range) break
      offset = range[0]
      node = next
    }
    return offset
  }

  #resolved(node: unknown): Node | undefined {
    return (isAlias(node) ? this.#targets.get(node) : node) as Node | undefined
  }
}

class Malformed extends Error {
  readonly offset: number

  constructor(message: string, offset: number) {
    super(message)
    this.offset = offset
  }
}

function childOf(container: Node, step: string | number): { key?: unknown; value: unknown } | undefined {
  if (isSeq(container)) return { value: container.items[step as number] }
  return isMap(container) ? container.items.find(({ key }) => keyOf(key) === step) : undefined
}

/** A key as a step of a path: always text, also where YAML reads a number. */
function keyOf(node: unknown): string {
  return String(isScalar(node) ? node.value : node)
}
