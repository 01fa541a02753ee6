/** Which names a CA may certify. With certificates, it is tried in certificate-judge.test.ts. */
import { describe, expect, test } from 'vitest'
import { nameText, parseName } from '../../src/authentication/distinguished-name.ts'
import { areNamesAllowed, type ConstrainedName } from '../../src/authentication/name-constraints.ts'

type Type = ConstrainedName['type']

const isAllowed = (type: Type, value: string, permitted: string, of: Type = type): boolean =>
  areNamesAllowed([{ type, value }], { permitted: [{ type: of, value: permitted }], excluded: [] })
const isExcluded = (type: Type, value: string, excluded: string): boolean =>
  !areNamesAllowed([{ type, value }], { permitted: [], excluded: [{ type, value: excluded }] })

const directory = (text: string) => nameText(parseName(text))

describe('a name is within a place', () => {
  test.each<[Type, string, string, boolean]>([
    ['dns', 'a.example', 'a.example', true],
    ['dns', 'A.Example', 'a.eXample', true],
    ['dns', 'x.a.example', 'a.example', true],
    ['dns', 'xa.example', 'a.example', false],
    ['dns', 'a.example', 'x.a.example', false],
    ['dns', 'x.a.example', '.a.example', true],
    ['dns', 'a.example', '.a.example', false],
    ['dns', 'a.example', '', true],
    ['email', 'a@b.example', 'a@b.example', true],
    ['email', 'A@b.example', 'a@B.example', true],
    ['email', 'x@b.example', 'a@b.example', false],
    ['email', 'a@b.example', 'b.example', true],
    ['email', '"a@evil"@b.example', 'b.example', true],
    ['email', 'a@x.b.example', 'b.example', false],
    ['email', 'a@x.b.example', '.b.example', true],
    ['uri', 'https://b.example/x', 'b.example', true],
    ['uri', 'https://u:p@b.example:443/x', 'b.example', true],
    ['uri', 'https://x.b.example', 'b.example', false],
    ['uri', 'https://x.b.example', '.b.example', true],
    ['uri', 'https://b.example?x', 'b.example', true],
    ['uri', 'https://b.example#x', 'b.example', true],
    ['uri', 'git+ssh-2.x://b.example', 'b.example', true],
    ['uri', 'https://evil.example/@b.example', 'b.example', false],
    ['uri', 'https://evil.example?@b.example', 'b.example', false],
    ['uri', 'https://evil.example#@b.example', 'b.example', false],
    ['address', '0a010203', '0a000000ff000000', true],
    ['address', '0a010203', '0a010200ffffff00', true],
    ['address', '0a010303', '0a010200ffffff00', false],
    ['address', '0a010203', '0a01ffffffff0000', true],
    ['address', '0b010203', '0a000000ff000000', false],
    ['address', '20010db8000000000000000000000001', '0a000000ff000000', false],
    ['directory', directory('CN=a,O=b'), directory('O=b'), true],
    ['directory', directory('CN=a,O=b'), directory('O=c'), false],
  ])('%s %s, %s: %s', (type, value, place, isWithin) => {
    expect(isAllowed(type, value, place)).toBe(isWithin)
    expect(isExcluded(type, value, place)).toBe(isWithin)
  })
})

test.each<[Type, string]>([
  ['uri', 'urn:x:b.example'],
  ['uri', 'https:///b.example'],
  ['uri', 'https://[::1]/b.example'],
  ['uri', 'https://b.example:x/'],
  ['uri', ' https://b.example'],
  ['uri', '1https://b.example'],
  ['other', '1.2.3'],
])(
  'a name that cannot be compared, %s %s, is in no place that is permitted, and in each that is not',
  (type, value) => {
    const place = { type, value: type === 'other' ? value : 'b.example' }
    expect(areNamesAllowed([{ type, value }], { permitted: [place], excluded: [] })).toBe(false)
    expect(areNamesAllowed([{ type, value }], { permitted: [], excluded: [place] })).toBe(false)
  },
)

test('a place of a kind that is not compared allows nothing, whatever the names are', () => {
  const other = { type: 'other', value: '1.2.3' } as const
  for (const names of [[], [{ type: 'dns', value: 'a.example' }]] as const) {
    expect(areNamesAllowed(names, { permitted: [other], excluded: [] })).toBe(false)
    expect(areNamesAllowed(names, { permitted: [], excluded: [other] })).toBe(false)
  }
  const dns = { type: 'dns', value: 'a.example' } as const
  expect(areNamesAllowed([dns], { permitted: [other, dns], excluded: [] })).toBe(false)
  expect(areNamesAllowed([dns], { permitted: [], excluded: [{ ...dns, value: 'b.example' }, other] })).toBe(
    false,
  )
})

test('subtrees of another kind say nothing, one permitted subtree is enough, and one excluded subtree is too many', () => {
  const dns = (value: string) => ({ type: 'dns', value }) as const
  expect(isAllowed('dns', 'a.example', 'b.example', 'email')).toBe(true)
  const names = [dns('a.example'), dns('b.example')]
  expect(areNamesAllowed(names, { permitted: names, excluded: [] })).toBe(true)
  expect(areNamesAllowed(names, { permitted: [dns('a.example')], excluded: [] })).toBe(false)
  expect(areNamesAllowed(names, { permitted: names, excluded: [dns('b.example')] })).toBe(false)
  expect(areNamesAllowed(names, { permitted: [], excluded: [dns('c.example'), dns('a.example')] })).toBe(
    false,
  )
  expect(areNamesAllowed([], { permitted: [], excluded: [] })).toBe(true)
})
