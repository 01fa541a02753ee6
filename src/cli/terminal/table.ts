import { styleText } from 'node:util'
import { plainText } from '../../registry/grammar.ts'

export interface Column {
  readonly title: string
  /** May be cut to fit the terminal. Columns that people copy from are not. */
  readonly shrinks?: true
  readonly alignRight?: true
}

const gap = '  '
const shrunkWidthMin = 8

/**
 * Rows under each other, as wide as they need to be and no wider than the terminal. Rows may come a page at
 * a time: the first page settles the widths, so that a hundred thousand rows need not be in memory.
 */
export class Table {
  readonly #columns: readonly Column[]
  readonly #terminalWidth: number
  #widths: number[] | undefined

  /** @param terminalWidth in columns; output to a file or pipe has no end. */
  constructor(
    columns: readonly Column[],
    terminalWidth = process.stdout.columns ?? Number.POSITIVE_INFINITY,
  ) {
    this.#columns = columns
    this.#terminalWidth = terminalWidth
  }

  /** The text of some rows, with the titles before the first. */
  render(rows: readonly (readonly string[])[]): string {
    const shown = rows.map((row) => row.map(plainText))
    const lines: string[] = []
    if (this.#widths === undefined) {
      this.#widths = this.#fit(shown)
      const titles = this.#line(this.#columns.map(({ title }) => title))
      lines.push(styleText('bold', titles, { stream: process.stdout }))
    }
    for (const row of shown) lines.push(this.#line(row))
    return lines.map((line) => `${line}\n`).join('')
  }

  #fit(rows: readonly (readonly string[])[]): number[] {
    const widths = this.#columns.map(({ title }, index) =>
      rows.reduce((width, row) => Math.max(width, lengthOf(row[index] ?? '')), title.length),
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
      const cut =
        shrinks === true && lengthOf(cell) > width ? `${[...cell].slice(0, width - 1).join('')}…` : cell
      const padding = ' '.repeat(Math.max(0, width - lengthOf(cut)))
      return alignRight === true ? padding + cut : cut + padding
    })
    return padded.join(gap).trimEnd()
  }
}

/** `name: value` lines, the values under each other. */
export function renderFields(fields: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(...fields.map(([name]) => name.length))
  return fields.map(([name, value]) => `${name.padEnd(width)}  ${plainText(value)}\n`).join('')
}

function lengthOf(text: string): number {
  return [...text].length
}
