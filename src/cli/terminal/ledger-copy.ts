import { createReadStream } from 'node:fs'
import type { ChangeRecord } from '../../administration/came-back-state.ts'
import { AdministrationError, OperatorError } from '../../errors.ts'
import { fileProblem } from '../../lib/bounded-file.ts'
import { boundedLines } from '../../lib/bounded-lines.ts'
import { terminal } from './terminal.ts'

export interface LedgerCopy {
  readonly records: readonly ChangeRecord[]
  /** How the copy is not whole, and what to do. */
  readonly cut: string | undefined
}

const missing =
  'What was taken away in the part that is missing is not compared. Give a whole copy, or go through the changes ' +
  'since then by hand.'

/** A JSON array, or one object or array in each line. */
export async function readLedgerCopy(path: string): Promise<LedgerCopy> {
  const records: ChangeRecord[] = []
  // The disk of a copy fills up, or the machine that writes it ends: its last line is half a line.
  let broken: { readonly line: number; readonly error: SyntaxError } | undefined
  let exported: 'begun' | 'ended' | undefined
  let cut: string | undefined
  let isArray: boolean | undefined
  const lines: string[] = []
  let number = 0
  try {
    for await (const line of boundedLines(path === '-' ? terminal().stdin : createReadStream(path))) {
      number += 1
      if (line.trim() === '') continue
      isArray ??= line.trim() === '['
      if (broken !== undefined) throw broken.error
      if (isArray) {
        lines.push(line)
        continue
      }
      const value = parsedLine(line)
      if (value instanceof SyntaxError) broken = { line: number, error: value }
      else {
        exported = exportState(value) ?? exported
        take(value, records)
      }
    }
    // A file of one line that is not JSON is something else.
    if (broken !== undefined && records.length === 0 && exported === undefined) throw broken.error
    if (isArray) {
      const { values, isWhole } = parsedList(lines)
      take(values, records)
      if (!isWhole) cut = `the list is cut off: its end is missing. ${missing}`
    }
  } catch (error) {
    if (!(error instanceof SyntaxError)) {
      throw new AdministrationError('file_unreadable', { path, problem: fileProblem(error) })
    }
    const where = isArray ? '' : ` in line ${broken?.line ?? number}`
    throw new OperatorError(
      `${path}: is not JSON${where}. Give what "bin/mintmark audit list --json" printed, with --follow or without.`,
    )
  }
  if (broken !== undefined) cut = `line ${broken.line} is cut off. ${missing}`
  if (exported === 'begun')
    cut = `the export is cut off: its end is missing. It is not in the order of time. ${missing}`
  if (records.length > 0) return { records, cut }
  throw new OperatorError(
    `${path}: has no record of the ledger. Give what "bin/mintmark audit list --json" printed, with --follow or without.`,
  )
}

/** A list over many lines, as "audit list --json" prints it. Of one whose end is missing, the records that are whole. */
function parsedList(lines: readonly string[]): { readonly values: unknown; readonly isWhole: boolean } {
  if (lines.at(-1)?.trim() === ']') return { values: JSON.parse(lines.join('\n')), isWhole: true }
  const end = lines.findLastIndex((line) => /^ {2}\},?$/.test(line))
  return { values: JSON.parse([...lines.slice(0, Math.max(end, 1)), '}]'].join('\n')), isWhole: false }
}

function parsedLine(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch (error) {
    return error
  }
}

/** What a line says of "audit export", which writes chain after chain: the latest changes may be anywhere in it. */
function exportState(value: unknown): 'begun' | 'ended' | undefined {
  const { ledger, ledger_end } = (value ?? {}) as { readonly ledger?: unknown; readonly ledger_end?: unknown }
  if (ledger_end !== undefined) return 'ended'
  return ledger === undefined ? undefined : 'begun'
}

/** Takes what looks like a record. Tokens and refusals, which are most of them, are told from changes by their type. */
function take(value: unknown, records: ChangeRecord[]): void {
  for (const each of Array.isArray(value) ? value : [value]) {
    const record = each as Partial<ChangeRecord> | null
    if (typeof record?.type !== 'string' || typeof record.outcome !== 'string') continue
    if (typeof record.time === 'string' && !Number.isNaN(Date.parse(record.time)))
      records.push(each as ChangeRecord)
  }
}
