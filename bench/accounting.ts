import { readdirSync, readFileSync } from 'node:fs'

/**
 * The CPU time and memory of processes, from the accounting of the operating system (proc(5)). Only Linux has
 * it in this form. On other systems these functions return undefined, and the rows show "unknown".
 */

/** Linux counts CPU time in hundredths of a second on all common machines (`getconf CLK_TCK`). */
const microsecondsPerTick = 10_000

interface ProcessTimes {
  readonly processId: number
  readonly parentId: number
  /** User and system time of the process, all threads, in ticks. */
  readonly ownTicks: number
  /** The ticks of its descendants that have ended and were waited for. */
  readonly endedChildrenTicks: number
}

/**
 * The CPU time of a process and all its descendants since their starts, in microseconds.
 *
 * When a child ends, its time moves from its own entry to the entry of its parent. If a child ends during a
 * snapshot, it could be counted twice or not at all. So snapshots are repeated until two in a row have the
 * same processes and the same times of ended children.
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

/**
 * The CPU time of this process's children that have ended, in microseconds. Most of them are load generators.
 */
export function cpuMicrosecondsOfEndedChildren(): number | undefined {
  const times = readTimes(process.pid)
  return times === undefined ? undefined : times.endedChildrenTicks * microsecondsPerTick
}

/** The ids of a process and its descendants. */
export function treeOf(rootId: number): number[] {
  return (readTree(rootId) ?? []).map(({ processId }) => processId)
}

/** The resident memory of these processes in bytes. Shared pages are counted once for each process. */
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
  // The loop also visits the entries that it appends.
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
  // The name of the program is in parentheses. It can contain any characters, even parentheses.
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
    // The process has ended, or this system has no /proc.
    return undefined
  }
}
