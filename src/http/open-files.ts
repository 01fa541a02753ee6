import { readFileSync } from 'node:fs'
import process from 'node:process'

/**
 * How many files this process may open, connections included. Node raises the limit at start as far as it is allowed
 * to. Infinity if there is no limit or it is unknown.
 */
export function openFilesMax(): number {
  try {
    return readLimit(readFileSync('/proc/self/limits', 'utf8'))
  } catch {
    return reportedLimit()
  }
}

/** Reads the soft limit from the text of Linux' /proc/self/limits. */
export function readLimit(text: string): number {
  const soft = /^Max open files\s+(\S+)/m.exec(text)?.[1]
  return soft === undefined || soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft)
}

/** Other systems have no such file. Node's report contains the limit too, and takes longer. */
function reportedLimit(): number {
  // With the network, the report would look up names.
  Object.assign(process.report, { excludeNetwork: true })
  const report = process.report.getReport() as { userLimits?: { open_files?: { soft?: unknown } } }
  const soft = Number(report.userLimits?.open_files?.soft)
  return Number.isNaN(soft) ? Number.POSITIVE_INFINITY : soft
}
