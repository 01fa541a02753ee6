import { readdirSync, readFileSync } from 'node:fs'

/**
 * What processes cost, from the operating system's own accounting (proc(5)). Only Linux has it in this form;
 * elsewhere everything here is undefined, and the rows say "unknown".
 */

/** Linux counts in hundredths of a second on every common machine (`getconf CLK_TCK`). */
const microsecondsPerTick = 10_000

interface ProcessTimes {
  readonly processId: number
  readonly parentId: number
  /** User and system time of the process, all threads, in ticks. */
  readonly ownTicks: number
  /** The same of its children that ended and were waited for, and of theirs. */
  readonly endedChildrenTicks: number
}

/**
 * CPU time of a process and of everything that descends from it, since their starts, in microseconds.
 *
 * A child that has ended counts in its parent's times, and from then on no more in its own. A snapshot that
 * such an end falls into would count it twice or not at all, so it is taken until two in a row agree on who
 * is there and on the times of those who are not.
 */
export function cpuMicrosecondsOf(rootId: number): number | undefined {
  let before = readTree(rootId)
  for (let attempt = 0; attempt < 10 && before !== undefined; attempt += 1) {
    const after = readTree(rootId)
    if (after !== undefined && fingerprint(before) === fingerprint(after)) return sumOf(after)
    before = after
  }
  return before === undefined ? undefined : sumOf(before)
}

/** CPU time of our own children that have ended, in microseconds. Load generators, mostly. */
export function cpuMicrosecondsOfEndedChildren(): number | undefined {
  const times = readTimes(process.pid)
  return times === undefined ? undefined : times.endedChildrenTicks * microsecondsPerTick
}

/** A process and its descendants. */
export function treeOf(rootId: number): number[] {
  return (readTree(rootId) ?? []).map(({ processId }) => processId)
}

/** Bytes of memory that these processes hold, shared pages counted for each. */
export function residentBytesOf(processIds: readonly number[]): number | undefined {
  let bytes: number | undefined
  for (const processId of processIds) {
    const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(readText(`/proc/${processId}/status`) ?? '')?.[1]
    if (kibibytes !== undefined) bytes = (bytes ?? 0) + Number(kibibytes) * 1024
  }
  return bytes
}

const sumOf = (tree: readonly ProcessTimes[]): number =>
  tree.reduce((sum, { ownTicks, endedChildrenTicks }) => sum + ownTicks + endedChildrenTicks, 0) *
  microsecondsPerTick

const fingerprint = (tree: readonly ProcessTimes[]): string =>
  tree
    .map(({ processId, endedChildrenTicks }) => `${processId}:${endedChildrenTicks}`)
    .sort()
    .join()

function readTree(rootId: number): ProcessTimes[] | undefined {
  const root = readTimes(rootId)
  if (root === undefined) return undefined
  const childrenOf = Map.groupBy(readAll(), ({ parentId }) => parentId)
  const tree = [root]
  // The list grows while it is walked.
  for (const { processId } of tree) tree.push(...(childrenOf.get(processId) ?? []))
  return tree
}

function readAll(): ProcessTimes[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => readTimes(Number(name)) ?? [])
}

function readTimes(processId: number): ProcessTimes | undefined {
  const text = readText(`/proc/${processId}/stat`)
  if (text === undefined) return undefined
  // The program's name stands in parentheses and may contain anything, these included.
  const fields = text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number)
  const [, parentId = 0] = fields
  const [user = 0, system = 0, endedUser = 0, endedSystem = 0] = fields.slice(11, 15)
  return { processId, parentId, ownTicks: user + system, endedChildrenTicks: endedUser + endedSystem }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    // Ended in the meantime, or there is no /proc.
    return undefined
  }
}
