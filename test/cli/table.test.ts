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

/** What a terminal shows in one column of it: two for most of what is not Latin, none for an accent. */
const wide = [
  ['a', '請求サービス', '1'],
  ['b', 'ｾｲｷﾕｳ', '2'],
  ['c', 'cafe\u0301 and no\u0308el', '3'],
  ['d', 'thumbs 👍🏽, flag 🇯🇵', '4'],
  ['e', '청구 서비스', '5'],
] as const

test('columns are aligned whatever the script: wide characters, accents, emoji', () => {
  expect(new Table(columns, Number.POSITIVE_INFINITY).render(wide)).toBe(
    'ID  NAME                N\n' +
      'a   請求サービス        1\n' +
      'b   ｾｲｷﾕｳ               2\n' +
      'c   cafe\u0301 and no\u0308el       3\n' +
      'd   thumbs 👍🏽, flag 🇯🇵  4\n' +
      'e   청구 서비스         5\n',
  )
})

test('what is cut is cut between characters, and never wider than its column', () => {
  // Ten columns for the name. Of a character that takes two, no half is shown.
  expect(new Table(columns, 17).render(wide)).toBe(
    'ID  NAME        N\n' +
      'a   請求サー…   1\n' +
      'b   ｾｲｷﾕｳ       2\n' +
      'c   cafe\u0301 and …  3\n' +
      'd   thumbs 👍🏽…  4\n' +
      'e   청구 서비…  5\n',
  )
  const accents = `${'e\u0301\u0302\u0303'.repeat(20)}`
  expect(new Table(columns, 17).render([['a', accents, '1']])).toContain(
    `a   ${'e\u0301\u0302\u0303'.repeat(9)}…  1\n`,
  )
})

test('an emoji that consists of several, which no registered name may have, keeps its row aligned', () => {
  const text = new Table(columns, 80).render([
    ['a', '👨\u200d👩\u200d👧', '1'],
    ['b', 'x', '2'],
  ])
  expect(text).toBe('ID  NAME      N\na   👨\ufffd👩\ufffd👧  1\nb   x         2\n')
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

test('one cell that a hand made endless does not make every row as long', () => {
  const many = Array.from({ length: 1_000 }, (_, index) => [`id-${index}`, 'x', String(index)])
  const long = 'y'.repeat(100_000)
  const shown = new Table(columns, Number.POSITIVE_INFINITY).render([...many, ['last', long, '1']])
  expect(shown).toContain(`last    ${long}`)
  expect(shown.length).toBeLessThan(700_000)
})
