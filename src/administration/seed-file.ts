import { readFileSync, statSync } from 'node:fs'
import {
  type Document,
  isAlias,
  isCollection,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
} from 'yaml'
import { OperatorError } from '../errors.ts'
import { limits } from '../limits.ts'
import { type Mistake, type Path, pathText } from './definition.ts'
import { readDefinitions, type SeedDefinitions } from './seed-definitions.ts'

/**
 * A declarative file of resources, clients and access: YAML, and so JSON as well. Read whole and judged
 * whole; every mistake is told with its line, its column and its key.
 */
export interface SeedFile extends SeedDefinitions {
  /** The mistakes as one error: where each is, what is wrong, and that nothing was applied. */
  refuse(mistakes: readonly Mistake[]): OperatorError
}

const mistakesShownMax = 20

/** One list that every client refers to is an honest use of aliases. What they expand to is bounded apart. */
const aliasesMax = 1_000_000

/** @throws OperatorError */
export function readSeedFile(path: string): SeedFile {
  let bytes: Buffer
  try {
    const { size } = statSync(path)
    if (size > limits.seedFileBytesMax) {
      throw new OperatorError(
        `${path}: has ${size} bytes; at most ${limits.seedFileBytesMax} are read. Split it: clients that a file ` +
          'does not name are left alone.',
      )
    }
    bytes = readFileSync(path)
  } catch (error) {
    if (error instanceof OperatorError) throw error
    throw new OperatorError(`${path}: cannot read it: ${(error as Error).message}`, { cause: error })
  }
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    throw new OperatorError(`${path}: is not UTF-8 text. Save it as UTF-8.`, { cause: error })
  }
  return parseSeedFile(text, path)
}

/** @throws OperatorError listing every mistake that can be seen without looking at the registry. */
export function parseSeedFile(text: string, name: string): SeedFile {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, version: '1.2' })
  const place = (offset: number): string => {
    const { line, col } = lines.linePos(offset)
    return `${name}:${line}:${col}`
  }
  // A warning is an unknown tag or directive: something meant that would be ignored.
  const faults = [...document.errors, ...document.warnings]
  if (faults.length > 0) {
    throw refusal(
      name,
      faults.map((fault) => `${place(fault.pos[0])}: ${fault.message}`),
    )
  }
  const refuse = (mistakes: readonly Mistake[]): OperatorError =>
    refusal(
      name,
      mistakes
        .map((mistake) => ({ ...mistake, offset: offsetOf(document, mistake.path, mistake.isKey === true) }))
        .sort((first, second) => first.offset - second.offset)
        .map(({ path, message, offset }) => {
          const key = pathText(path)
          return `${place(offset)}: ${key === '' ? '' : `${key}: `}${message}`
        }),
    )
  const written = (path: Path): string | undefined => {
    const node = nodeAt(document, path)
    return isScalar(node) ? node.source : undefined
  }
  const { definitions, mistakes } = readDefinitions(toPlain(document, name), written)
  if (mistakes.length > 0) throw refuse(mistakes)
  return { ...definitions, refuse }
}

function toPlain(document: Document.Parsed, name: string): unknown {
  try {
    // Maps, so that no key of the file can be mistaken for a property of an object.
    return document.toJS({ mapAsMap: true, maxAliasCount: aliasesMax })
  } catch (error) {
    throw new OperatorError(`${name}: ${(error as Error).message}`, { cause: error })
  }
}

function refusal(name: string, lines: readonly string[]): OperatorError {
  const shown = lines.slice(0, mistakesShownMax).map((line) => `  ${line}`)
  if (lines.length > shown.length) shown.push(`  … and ${lines.length - shown.length} more`)
  const count = lines.length === 1 ? 'a mistake' : `${lines.length} mistakes`
  return new OperatorError(`${name} has ${count}; nothing was applied.\n${shown.join('\n')}`)
}

/** The node a path leads to, through aliases; undefined where it leads nowhere. */
function nodeAt(document: Document.Parsed, path: Path): Node | undefined {
  let node = resolved(document, document.contents)
  for (const step of path) {
    if (!isCollection(node)) return undefined
    node = resolved(document, node.get(step, true))
  }
  return node
}

function resolved(document: Document.Parsed, node: unknown): Node | undefined {
  return (isAlias(node) ? node.resolve(document) : node) as Node | undefined
}

/** Where a path begins in the text: what it leads to, or the nearest thing around it that exists. */
function offsetOf(document: Document.Parsed, path: Path, wantsKey: boolean): number {
  let node: unknown = document.contents
  let offset = document.contents?.range?.[0] ?? 0
  for (const [depth, step] of path.entries()) {
    const container = resolved(document, node)
    let next: unknown
    if (isMap(container)) {
      const pair = container.items.find(({ key }) => isScalar(key) && key.value === step)
      next = wantsKey && depth === path.length - 1 ? pair?.key : (pair?.value ?? pair?.key)
    } else if (isSeq(container)) {
      next = container.items[step as number]
    }
    // An alias itself has a place, and that is the one its reader looks at.
    const range = (next as Node | undefined)?.range
    if (!range) break
    offset = range[0]
    node = next
  }
  return offset
}
