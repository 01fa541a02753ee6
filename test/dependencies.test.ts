/** docs/DEPENDENCIES.md gives a reason for every package, and names what it speaks of as it is. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const root = join(import.meta.dirname, '..')
const page = readFileSync(join(root, 'docs/DEPENDENCIES.md'), 'utf8')
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

/** Several of one kind have one reason, under a name with a star. */
const isNamed = (name: string): boolean =>
  page.includes(`\`${name}\``) ||
  [...page.matchAll(/`([^`]+)\*`/g)].some(([, start = '']) => name.startsWith(start))

test.each(['dependencies', 'devDependencies', 'optionalDependencies'])(
  'every package of %s has its reason',
  (kind) => {
    expect(Object.keys(manifest[kind] ?? {}).filter((name) => !isNamed(name))).toEqual([])
  },
)

test('the files that it names are there', () => {
  const paths = [...page.matchAll(/`((?:src|test|bin)\/[\w./-]+)`/g)].map(([, path = '']) => path)
  const inSource = [
    ...page.matchAll(/`((?:cli|database|token|keys|lib|ledger|process|authentication)\/[\w./-]+)`/g),
  ]
  const named = [...paths, ...inSource.map(([, path = '']) => `src/${path}`)]
  expect(named.length).toBeGreaterThan(20)
  expect(named.filter((path) => !existsSync(join(root, path)))).toEqual([])
})
