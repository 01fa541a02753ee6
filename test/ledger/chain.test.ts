/** Each record is bound to all before it: nothing can be changed, removed, moved or slipped in without a trace. */
import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type ChainHead, canonicalForm, link, recordHash } from '../../src/ledger/chain.ts'
import type { AuditRecord } from '../../src/ledger/record.ts'
import { limits } from '../../src/limits.ts'

const genesis = Buffer.alloc(32, 1)
const start: ChainHead = { chain: 7, seq: 0, hash: genesis }
const full: AuditRecord = {
  time: 1_800_000_000_123,
  type: 'token',
  outcome: 'issued',
  error: 'e',
  reason: 'r',
  clientId: 'billing',
  authenticationMethod: 'client_secret_basic',
  credentialId: 'k3v9x2ab',
  audience: 'https://orders.example.com',
  scope: 'orders:read',
  jti: '2b0f1c8e-5c0b-4a40-9df0-1d4d3ac0a8b1',
  kid: 'key-1',
  expiresAt: 1_800_000_300,
  address: '10.0.0.1',
  userAgent: 'curl/8.5.0',
  requestId: 'abc-1',
  count: 3,
  detail: { last_time: 7 },
}
const record = (clientId: string): AuditRecord => ({ time: 1, type: 'token', outcome: 'refused', clientId })

/** Checks the JSON as somebody does who has only the database, and says where the chain breaks. */
function firstBreak(json: string, head: ChainHead): number | undefined {
  let previous = head.hash
  const rows = JSON.parse(json) as unknown[][]
  for (const [index, row] of rows.entries()) {
    const canonical = JSON.stringify(row.slice(0, -1))
    const digest = createHash('sha256').update(previous).update(canonical, 'utf8').digest()
    if (row[0] !== head.chain || row[1] !== head.seq + index + 1 || row.at(-1) !== digest.toString('hex'))
      return index
    previous = digest
  }
  return undefined
}

describe('the canonical form', () => {
  test('is written down here: whoever changes it makes every older record look forged', () => {
    expect(canonicalForm(7, 1, full)).toBe(
      '[7,1,1800000000123,"token","issued","e","r","billing","client_secret_basic","k3v9x2ab",' +
        '"https://orders.example.com","orders:read","2b0f1c8e-5c0b-4a40-9df0-1d4d3ac0a8b1","key-1",1800000300,' +
        '"10.0.0.1","curl/8.5.0","abc-1",3,"{\\"last_time\\":7}"]',
    )
  })

  test('has null for what a record does not say, and one for how often', () => {
    expect(canonicalForm(7, 2, { time: 1, type: 'service', outcome: 'started' })).toBe(
      '[7,2,1,"service","started",null,null,null,null,null,null,null,null,null,null,null,null,null,1,null]',
    )
  })

  test('differs when any one field differs, and no two fields can be taken for each other', () => {
    const changes: Partial<AuditRecord>[] = Object.entries(full).map(([name, value]) => ({
      [name]:
        typeof value === 'number' ? value + 1 : typeof value === 'string' ? `${value}x` : { last_time: 8 },
    }))
    const absent = Object.keys(full)
      .filter((name) => !['time', 'type', 'outcome'].includes(name))
      .map((name) => ({ [name]: undefined }))
    const forms = [{}, ...changes, ...absent].map((change) => canonicalForm(7, 1, { ...full, ...change }))
    forms.push(canonicalForm(8, 1, full), canonicalForm(7, 2, full))
    expect(new Set(forms).size).toBe(forms.length)
  })
})

describe('the hash of a record', () => {
  test('is the SHA-256 of the hash before it and the canonical form in UTF-8', () => {
    const expected = createHash('sha256').update(genesis).update(Buffer.from('["ü"]')).digest()
    expect(recordHash(genesis, '["ü"]')).toEqual(expected)
    expect(recordHash(genesis, '["ü"]')).toHaveLength(32)
  })
})

describe('link', () => {
  const text = fc.string({ unit: 'binary', maxLength: 400 })
  const records = fc.array(
    fc.record({
      time: fc.nat(),
      type: fc.constant('token' as const),
      // Whatever a row may hold, and not only what is written today.
      outcome: text as fc.Arbitrary<AuditRecord['outcome']>,
      clientId: fc.option(text, { nil: undefined }),
      detail: fc.option(fc.record({ grant_type: text }), { nil: undefined }),
    }),
    { maxLength: 20 },
  )

  test('makes a chain that somebody else can check, whatever is in the records', () => {
    fc.assert(
      fc.property(records, fc.nat(1_000), (list, seq) => {
        const head = { ...start, seq }
        const linked = link(head, list)
        expect(JSON.parse(linked.json)).toHaveLength(list.length)
        expect(firstBreak(linked.json, head)).toBeUndefined()
        expect(linked.head).toMatchObject({ chain: 7, seq: seq + list.length })
      }),
    )
  })

  test('goes on where it left off: in one go or in portions, the chain is the same', () => {
    fc.assert(
      fc.property(records, fc.nat(20), (list, at) => {
        const whole = link(start, list)
        const first = link(start, list.slice(0, at))
        const second = link(first.head, list.slice(at))
        expect(second.head).toEqual(whole.head)
        expect([...JSON.parse(first.json), ...JSON.parse(second.json)]).toEqual(JSON.parse(whole.json))
      }),
    )
  })

  test('of nothing is nothing, and leaves the head where it is', () => {
    expect(link(start, [])).toEqual({ json: '[]', head: start })
  })

  test('writes what it hashes: fields are bounded before, not after', () => {
    const long = 'x'.repeat(limits.recordFieldCharactersMax + 1)
    const [row] = JSON.parse(link(start, [record(long)]).json)
    expect(row[7]).toBe('x'.repeat(limits.recordFieldCharactersMax))
    expect(JSON.parse(row[19])).toEqual({
      cut: { client_id: { length: long.length, sha256: expect.any(String) } },
    })
  })
})

describe('tampering (P6)', () => {
  const { json } = link(start, ['a', 'b', 'c', 'd', 'e'].map(record))
  const rows: unknown[][] = JSON.parse(json)
  const broken = (change: (copy: unknown[][]) => void): number | undefined => {
    const copy = structuredClone(rows)
    change(copy)
    return firstBreak(JSON.stringify(copy), start)
  }

  test('nothing is wrong with the chain as it is', () => {
    expect(broken(() => {})).toBeUndefined()
  })

  test.each([0, 1, 2, 3, 4])('a record that was changed is found where it is: %i', (at) => {
    for (let column = 0; column < 21; column += 1) {
      expect(
        broken((copy) => void copy[at]?.splice(column, 1, 'changed')),
        `column ${column}`,
      ).toBe(at)
    }
  })

  test('a record that was removed, two that were swapped, one that was slipped in', () => {
    expect(broken((copy) => void copy.splice(2, 1))).toBe(2)
    expect(broken((copy) => void copy.splice(1, 2, ...copy.slice(1, 3).reverse()))).toBe(1)
    expect(broken((copy) => void copy.splice(3, 0, copy[3] ?? []))).toBe(4)
  })

  test('a record that was changed and hashed again breaks the one after it', () => {
    const change = (copy: unknown[][]) => {
      const row = copy[1]?.slice(0, -1) ?? []
      row[7] = 'forged'
      const before = Buffer.from(String(copy[0]?.at(-1)), 'hex')
      copy[1] = [...row, recordHash(before, JSON.stringify(row)).toString('hex')]
    }
    expect(broken(change)).toBe(2)
  })

  test('another chain with the same records has no hash in common', () => {
    const other: unknown[][] = JSON.parse(
      link({ ...start, hash: Buffer.alloc(32, 2) }, 'abcde'.split('').map(record)).json,
    )
    for (const [index, row] of rows.entries()) expect(other[index]?.at(-1)).not.toBe(row.at(-1))
  })
})
