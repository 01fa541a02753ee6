/**
 * JSON that all readers understand in the same way. Half of a surrogate pair is not text: readers treat it in different
 * ways (RFC 7493 §2.1).
 * @throws SyntaxError
 */
export function parseStrictJson(text: string, depthMax: number): unknown {
  const value = parseUniqueJson(text, depthMax)
  if (/\\u[dD][89a-fA-F]/.test(text) && !isWellFormed(value))
    throw new SyntaxError('the JSON has half of a surrogate pair')
  return value
}

/**
 * JSON in which no name stands twice. `JSON.parse` takes the last one of two members with one name, and another reader takes
 * the first one (RFC 8259 §4). A text that nests deeper than it may is refused too.
 * @throws SyntaxError
 */
export function parseUniqueJson(text: string, depthMax = Number.POSITIVE_INFINITY): unknown {
  const value: unknown = JSON.parse(text)
  // Written as we write: then nothing was lost in reading, and this is the quickest way to know it.
  if (depthMax === Number.POSITIVE_INFINITY && JSON.stringify(value) === text) return value
  // Counted after parsing: then every string has its end.
  const { members, depth } = countedIn(text)
  if (depth > depthMax) throw new SyntaxError('the JSON nests too deep')
  if (members !== membersOf(value)) throw new SyntaxError('a member of the JSON stands twice')
  return value
}

/** How many members the text writes down, and how deep it nests. Each member has one colon. */
function countedIn(text: string): { members: number; depth: number } {
  let members = 0
  let level = 0
  let depth = 0
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at)
    if (code === 0x22) at = endOfString(text, at)
    else if (code === 0x3a) members += 1
    else if (code === 0x7b || code === 0x5b) {
      level += 1
      if (level > depth) depth = level
    } else if (code === 0x7d || code === 0x5d) level -= 1
  }
  return { members, depth }
}

/** The place of the quotation mark that ends a string. */
function endOfString(text: string, start: number): number {
  let at = start + 1
  while (text.charCodeAt(at) !== 0x22) at += text.charCodeAt(at) === 0x5c ? 2 : 1
  return at
}

/** How many members a value has, all levels together. */
function membersOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  let count = 0
  if (Array.isArray(value)) {
    for (const item of value) count += membersOf(item)
    return count
  }
  for (const item of Object.values(value)) count += 1 + membersOf(item)
  return count
}

function isWellFormed(value: unknown): boolean {
  if (typeof value === 'string') return value.isWellFormed()
  if (typeof value !== 'object' || value === null) return true
  return Object.entries(value).every(([name, item]) => name.isWellFormed() && isWellFormed(item))
}
