/** What was tried, what was expected, and what came. */

/** What a service answered. Status 0: it closed the connection without an answer. */
export interface Answer {
  readonly status: number
  readonly text: string
}

/** The status that must come, and words that must be in the text. */
export type Expected = readonly [status: number, words: string]

export interface Row {
  readonly tried: string
  readonly expected: Expected
  readonly came: Answer
}

export const isOk = ({ expected: [status, words], came }: Row): boolean =>
  came.status === status && came.text.includes(words)

const closed = 'closed'
const statusOf = (status: number): string => (status === 0 ? closed : String(status))
const widthMax = 61

/** A long answer is cut off where the words that were expected are not. */
function shortened(text: string, words: string): string {
  if (text.length <= widthMax) return text
  const beginning = `${text.slice(0, widthMax - 1)}…`
  return beginning.includes(words) ? beginning : `…${text.slice(1 - widthMax)}`
}

/** A table as wide as its words. */
export function tableOf(rows: readonly Row[]): string {
  const lines = [
    ['TRIED', 'EXPECTED', 'CAME', 'OK'],
    ...rows.map((row) => [
      row.tried,
      `${statusOf(row.expected[0])} … ${row.expected[1]}`,
      `${statusOf(row.came.status)} ${shortened(row.came.text, row.expected[1])}`,
      isOk(row) ? 'yes' : 'NO',
    ]),
  ]
  const widthOf = (column: number): number => Math.max(...lines.map((line) => line[column]?.length ?? 0))
  const widths = [0, 1, 2, 3].map(widthOf)
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

/** The table, and what it comes to. */
export function verdictOf(rows: readonly Row[]): string {
  const wrong = rows.filter((row) => !isOk(row)).length
  const sum =
    wrong === 0
      ? 'Every row is as it should be.'
      : `${wrong} of ${rows.length} rows are not as they should be.`
  return `${tableOf(rows)}\n\n${sum}`
}
