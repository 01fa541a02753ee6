import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Row, Scenario } from './scenario.ts'
import { isMet, targets } from './targets.ts'

/** The rows and the failures of one scenario. */
export interface Result {
  readonly scenario: Scenario
  readonly rows: readonly Row[]
  /** Unexpected failures of requests, or the error that ended the scenario early. */
  readonly failures: readonly string[]
}

type Verdict = '' | 'met' | 'not met' | 'unknown' | 'worthless' | 'failed'

function verdictOf(row: Row, { failures }: Result): Verdict {
  if (failures.length > 0) return 'failed'
  if (row.worthless !== undefined) return 'worthless'
  if (row.target === undefined) return ''
  if (Number.isNaN(row.target.value)) return 'unknown'
  return isMet(row.target.name, row.target.value) ? 'met' : 'not met'
}

const headings = ['what', 'measured', 'beside', 'target', ''] as const

function cellsOf(row: Row, result: Result): string[] {
  const target = row.target === undefined ? '' : targets[row.target.name].text
  return [row.what, row.measured.trim(), row.beside?.trim() ?? '', target, verdictOf(row, result)]
}

function notesOf(row: Row): string[] {
  return [row.note, row.worthless === undefined ? undefined : `Worthless: ${row.worthless}.`].filter(
    (note) => note !== undefined,
  )
}

/** The result for a terminal: one table, with notes below each scenario. */
export function tableText(results: readonly Result[]): string {
  const cells = results.map((result) => result.rows.map((row) => cellsOf(row, result)))
  const widths = headings.map((heading, column) =>
    Math.max(heading.length, ...cells.flat().map((row) => row[column]?.length ?? 0)),
  )
  const line = (row: readonly string[]): string =>
    `  ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd()
  const parts = results.map((result, index) => [
    `\n${result.scenario.name}: ${result.scenario.question}`,
    ...(cells[index] ?? []).map(line),
    ...result.rows.flatMap((row) => notesOf(row).map((note) => `    ${row.what}: ${note}`)),
    ...result.failures.map((failure) => `    FAILED  ${failure}`),
  ])
  return `${[line(headings), ...parts.flat()].join('\n')}\n`
}

const readme = join(import.meta.dirname, 'README.md')
const begin = '<!-- measured: begin. Written by "npm run bench -- --write"; do not edit. -->'
const end = '<!-- measured: end -->'

/** Writes the result between the markers in bench/README.md. */
export function writeReadme(results: readonly Result[], about: readonly string[]): void {
  const text = readFileSync(readme, 'utf8')
  const before = text.split(begin)
  const after = text.split(end)
  if (before.length !== 2 || after.length !== 2) throw new Error('bench/README.md has lost its markers')
  writeFileSync(readme, `${before[0]}${begin}\n\n${markdown(results, about)}\n${end}${after[1]}`)
}

function markdown(results: readonly Result[], about: readonly string[]): string {
  const lines = about.map((line) => `- ${line}`)
  for (const result of results) {
    lines.push('', `### ${result.scenario.name}`, '', result.scenario.question, '')
    lines.push('| what | measured | beside | target | |', '|---|---|---|---|---|')
    for (const row of result.rows) {
      lines.push(
        `| ${cellsOf(row, result)
          .map((cell) => cell.replaceAll('|', '\\|'))
          .join(' | ')} |`,
      )
    }
    const notes = result.rows.flatMap((row) => notesOf(row).map((note) => `- ${row.what}: ${note}`))
    const failures = result.failures.map((failure) => `- Failed: ${failure}`)
    if (notes.length + failures.length > 0) lines.push('', ...notes, ...failures)
  }
  return `${lines.join('\n')}\n`
}
