import { styleText } from 'node:util'
import stringWidth from 'string-width'
import { plainText } from '../../lib/plain-text.ts'
import { terminal } from './terminal.ts'

export interface Column {
  readonly title: string
  /** May be cut to fit the terminal. What people copy is never cut. */
  readonly shrinks?: true
  readonly alignRight?: true
}

const gap = '  '
const shrunkWidthMin = 8
/** What may be registered is no wider. A row that somebody wrote by hand may be, and then stands out of its column. */
const paddedWidthMax = 400

/** Characters as a reader counts them: a letter with its accents, a family of four in one emoji. */
const characters = new Intl.Segmenter('en', { granularity: 'grapheme' })

/**
 * Rows under each other, as wide as they need to be and no wider than the terminal. Widths are in columns of the
 * terminal: a Japanese character takes two, an accent none. Rows may come a page at a time: the first page settles
 * the widths, so that a hundred thousand rows need not be in memory.
 */
export class Table {
  readonly #columns: readonly Column[]
  readonly #terminalWidth: number
  #widths: number[] | undefined

  /** @param terminalWidth in columns. A file or a pipe has no width, so nothing is cut. */
  constructor(
    columns: readonly Column[],
    terminalWidth = terminal().stdout.columns ?? Number.POSITIVE_INFINITY,
  ) {
    this.#columns = columns
    this.#terminalWidth = terminalWidth
  }

  /** The text of some rows. The titles stand before the first row of all. */
  render(rows: readonly (readonly string[])[]): string {
    const shown = rows.map((row) => row.map(plainText))
    const lines: string[] = []
    if (this.#widths === undefined) {
      this.#widths = this.#fit(shown)
      const titles = this.#line(this.#columns.map(({ title }) => title))
      lines.push(styleText('bold', titles, { stream: terminal().stdout }))
    }
    for (const row of shown) lines.push(this.#line(row))
    return lines.map((line) => `${line}\n`).join('')
  }

  #fit(rows: readonly (readonly string[])[]): number[] {
    const widths = this.#columns.map(({ title }, index) =>
      rows.reduce((width, row) => Math.max(width, stringWidth(row[index] ?? '')), stringWidth(title)),
    )
    const total = (): number => widths.reduce((sum, width) => sum + width, gap.length * (widths.length - 1))
    while (total() > this.#terminalWidth) {
      let widest = -1
      for (const [index, width] of widths.entries()) {
        if (this.#columns[index]?.shrinks !== true || width <= shrunkWidthMin) continue
        if (widest === -1 || width > (widths[widest] ?? 0)) widest = index
      }
      if (widest === -1) break
      widths[widest] = (widths[widest] ?? 0) - 1
    }
    return widths
  }

  #line(cells: readonly string[]): string {
    const padded = cells.map((cell, index) => {
      const width = this.#widths?.[index] ?? 0
      const { shrinks, alignRight } = this.#columns[index] ?? {}
      const shown = shrinks === true ? cut(cell, width) : cell
      const padding = ' '.repeat(Math.max(0, Math.min(width, paddedWidthMax) - stringWidth(shown)))
      return alignRight === true ? padding + shown : shown + padding
    })
    return padded.join(gap).trimEnd()
  }
}

/** A line for each name and value, with the values under each other. */
export function renderFields(fields: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(...fields.map(([name]) => name.length))
  return fields.map(([name, value]) => `${name.padEnd(width)}  ${plainText(value)}\n`).join('')
}

/** As many whole characters as there is room for, and a sign that some are missing. */
function cut(text: string, width: number): string {
  if (stringWidth(text) <= width) return text
  let shown = ''
  let columns = stringWidth('…')
  for (const { segment } of characters.segment(text)) {
    columns += stringWidth(segment)
    if (columns > width) break
    shown += segment
  }
  return `${shown}…`
}
