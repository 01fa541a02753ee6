import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

/** What SECURITY.md says of each holder is shown by tests, and they are where it says. */

const root = fileURLToPath(new URL('..', import.meta.url))
const text = readFileSync(`${root}SECURITY.md`, 'utf8')
const table = text.slice(text.indexOf('## What each holder can do'), text.indexOf('## What you must do'))

describe('the table of holders', () => {
  const holders = [...table.matchAll(/^### (.+)$/gm)].map(([, holder = '']) => holder)
  const rows = table.split('\n').filter((line) => /^\| (?!can \|)/.test(line))

  test('has them all', () => {
    expect(holders).toEqual([
      'The network',
      "One client's secret",
      'A certificate of a CA for clients',
      'A token, a proof, or both',
      'A copy of the database, or of a backup',
      'Write access to the database',
      'A local user of the machine',
      'One replica',
      'The proxy in front',
    ])
    expect(rows.length).toBeGreaterThanOrEqual(2 * holders.length)
  })

  test('names a test for everything that somebody cannot do', () => {
    for (const row of rows) {
      const [, , cannot = ''] = row.split(' | ').length === 2 ? ['', ...row.split(' | ')] : []
      expect(cannot, row).toMatch(/test\/[\w/.-]+\.test\.ts/)
    }
  })

  test('names no test that is not there', () => {
    const named = [...table.matchAll(/`((?:packages\/[\w-]+\/)?test\/[\w/.-]+)`/g)].map(
      ([, path = '']) => path,
    )
    expect(named.length).toBeGreaterThan(30)
    expect(named.filter((path) => !existsSync(`${root}${path}`))).toEqual([])
  })
})
