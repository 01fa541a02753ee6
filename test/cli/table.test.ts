/** A table is as wide as the terminal at most, keeps what people copy whole, and lets nothing disturb the terminal. */
import { expect, test } from 'vitest'
import { Table } from '../../src/cli/terminal/table.ts'

const columns = [{ title: 'ID' }, { title: 'NAME', shrinks: true }, { title: 'N', alignRight: true }] as const
const rows = [
  ['a', 'a rather long name', '1'],
  ['an-id-to-copy', 'x', '22'],
]

test('columns are aligned, and cut only where there is an edge', () => {
  expect(new Table(columns, Number.POSITIVE_INFINITY).render(rows)).toBe(
    'ID             NAME                 N\n' +
      'a              a rather long name   1\n' +
      'an-id-to-copy  x                   22\n',
  )
  expect(new Table(columns, 30).render(rows)).toBe(
    'ID             NAME          N\n' +
      'a              a rather l…   1\n' +
      'an-id-to-copy  x            22\n',
  )
})

test('what comes in pages has one head', () => {
  const table = new Table(columns, 80)
  expect(table.render(rows) + table.render([['b', 'a name that is longer than all before', '3']])).toMatch(
    /^ID[\s\S]*\nb {2}/,
  )
})

test('controls and marks of direction are made harmless', () => {
  const text = new Table(columns, 80).render([['\x1b[2J\u202ea\nb', '\x07', '1']])
  for (const character of ['\x1b', '\x07', '\u202e']) expect(text).not.toContain(character)
  expect(text.split('\n')).toHaveLength(3)
})
