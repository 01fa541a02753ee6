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

/** Writes the result between the markers in bench/README.md: of a whole run all of it, else the sections of its scenarios. */
export function writeReadme(results: readonly Result[], about: readonly string[], isWhole: boolean): void {
  const text = readFileSync(readme, 'utf8')
  const before = text.split(begin)
  const after = text.split(end)
  if (before.length !== 2 || after.length !== 2) throw new Error('bench/README.md has lost its markers')
  const measured = isWhole
    ? [...about.map((line) => `- ${line}`), ...results.flatMap(sectionOf)].join('\n')
    : withSections((before[1] ?? '').split(end)[0]?.trim() ?? '', results, about)
  writeFileSync(readme, `${before[0]}${begin}\n\n${measured}\n\n${end}${after[1]}`)
}

/** The result of before, with other sections for these scenarios. Each says when it was measured. */
function withSections(measured: string, results: readonly Result[], about: readonly string[]): string {
  const [head = '', ...sections] = measured.split(/\n(?=### )/)
  for (const result of results) {
    const lines = [...sectionOf(result), `- Measured by itself. ${about[0] ?? ''}`]
    const section = lines.slice(1).join('\n')
    const place = sections.findIndex((each) => each.startsWith(`### ${result.scenario.name}\n`))
    if (place === -1) sections.push(section)
    else sections[place] = `${section}\n`
  }
  return [head, ...sections].join('\n').trimEnd()
}

/** A scenario, after an empty line. */
function sectionOf(result: Result): string[] {
  const rows = result.rows.map((row) => {
    const cells = cellsOf(row, result).map((cell) => cell.replaceAll('|', '\\|'))
    return `| ${cells.join(' | ')} |`
  })
  const notes = result.rows.flatMap((row) => notesOf(row).map((note) => `- ${row.what}: ${note}`))
  const failures = result.failures.map((failure) => `- Failed: ${failure}`)
  const below = [...notes, ...failures]
  return [
    ...['', `### ${result.scenario.name}`, '', result.scenario.question, ''],
    ...['| what | measured | beside | target | |', '|---|---|---|---|---|', ...rows],
    ...(below.length > 0 ? ['', ...below] : []),
  ]
}
