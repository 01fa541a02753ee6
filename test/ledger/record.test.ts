/** A record is always small enough and harmless enough to write and to read; what was cut is still told apart. */
import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { sha256Hex } from '../../src/ledger/chain.ts'
import { type AuditRecord, boundRecord } from '../../src/ledger/record.ts'
import { limits } from '../../src/limits.ts'

const record: AuditRecord = {
  time: 1_800_000_000_000,
  type: 'token',
  outcome: 'refused',
  error: 'invalid_client',
  reason: 'client_unknown',
  clientId: 'billing',
  authenticationMethod: 'client_secret_basic',
  credentialId: 'k3v9x2ab',
  audience: 'https://orders.example.com',
  scope: 'orders:read orders:write',
  address: '10.0.0.1',
  userAgent: 'curl/8.5.0',
  requestId: 'abc-1',
}

const bounded = (changes: Partial<AuditRecord>): AuditRecord =>
  boundRecord({ ...record, ...changes }, sha256Hex)
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

/** The fields that a stranger fills, and how much of each is kept. */
const fields = [
  ['clientId', 'client_id', limits.recordFieldCharactersMax],
  ['credentialId', 'credential_id', limits.recordFieldCharactersMax],
  ['userAgent', 'user_agent', limits.recordFieldCharactersMax],
  ['address', 'address', limits.recordFieldCharactersMax],
  ['audience', 'audience', limits.recordLongFieldCharactersMax],
  ['scope', 'scope', limits.recordLongFieldCharactersMax],
] as const

describe('an ordinary record', () => {
  test('is left alone', () => {
    expect(boundRecord(record, sha256Hex)).toBe(record)
    const withDetail = { ...record, detail: { last_time: 7, grant_type: 'password', other: undefined } }
    expect(boundRecord(withDetail, sha256Hex)).toBe(withDetail)
    const service: AuditRecord = { time: 1, type: 'service', outcome: 'started' }
    expect(boundRecord(service, sha256Hex)).toBe(service)
  })

  test.each(['Grüße', '日本語', '😀 a whole pair', 'a\u00a0b'])('may be in any language: %s', (clientId) => {
    const some = { ...record, clientId }
    expect(boundRecord(some, sha256Hex)).toBe(some)
  })
})

describe.each(fields)('%s', (field, name, most) => {
  test('is kept whole up to its bound', () => {
    const some = { ...record, [field]: 'a'.repeat(most) }
    expect(boundRecord(some, sha256Hex)).toBe(some)
  })

  test('is cut past it, and its length and hash are kept', () => {
    const text = 'a'.repeat(most + 1)
    const { [field]: kept, detail, ...rest } = bounded({ [field]: text })
    expect(kept).toBe('a'.repeat(most))
    expect(detail).toEqual({ cut: { [name]: { length: most + 1, sha256: sha256(text) } } })
    const { [field]: _field, ...others } = record
    expect(rest).toEqual(others)
  })

  test('has nothing left that forges a line, and what it was stays told apart', () => {
    const text = 'a\r\n{"outcome":"issued"}\u202e\0'
    const { [field]: kept, detail } = bounded({ [field]: text })
    expect(kept).toBe('a\ufffd\ufffd{"outcome":"issued"}\ufffd\ufffd')
    expect(detail).toEqual({ cut: { [name]: { length: text.length, sha256: sha256(text) } } })
  })
})

describe('characters that are never kept', () => {
  const treacherous = [
    ...Array.from({ length: 0x20 }, (_, code) => code),
    ...Array.from({ length: 0x21 }, (_, code) => 0x7f + code),
    0x061c,
    ...[0x200b, 0x200c, 0x200d, 0x200e, 0x200f],
    ...[0x2028, 0x2029, 0x202a, 0x202b, 0x202c, 0x202d, 0x202e],
    ...[0x2060, 0x2066, 0x2067, 0x2068, 0x2069, 0x206f],
    0xfeff,
    0xd800,
    0xdbff,
    0xdc00,
    0xdfff,
  ]

  test.each(treacherous.map((code) => [code.toString(16).padStart(4, '0'), String.fromCharCode(code)]))(
    'U+%s',
    (_code, character) => {
      expect(bounded({ clientId: `a${character}b` }).clientId).toBe('a\ufffdb')
    },
  )

  test('halves of a pair that the bound cut through', () => {
    const most = limits.recordFieldCharactersMax
    const { clientId } = bounded({ clientId: `${'a'.repeat(most - 1)}😀` })
    expect(clientId).toBe(`${'a'.repeat(most - 1)}\ufffd`)
  })
})

describe('the detail', () => {
  test('is bounded in every text of it, and what was cut is added', () => {
    const grantType = 'x'.repeat(limits.recordFieldCharactersMax + 9)
    const { detail } = bounded({ detail: { grant_type: grantType, other_client_id: 'b\n', last_time: 7 } })
    expect(detail).toEqual({
      grant_type: 'x'.repeat(limits.recordFieldCharactersMax),
      other_client_id: 'b\ufffd',
      last_time: 7,
      cut: {
        grant_type: { length: grantType.length, sha256: sha256(grantType) },
        other_client_id: { length: 2, sha256: sha256('b\n') },
      },
    })
  })
})

describe('whatever strangers send', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 2_000 }),
    fc.string({ unit: 'grapheme', maxLength: 300 }),
    fc.string({ maxLength: 300 }),
    // Lone surrogates: not valid as UTF-8, so the database would refuse them.
    fc
      .array(fc.integer({ min: 0xd7f0, max: 0xe00f }).map((code) => String.fromCharCode(code)))
      .map((all) => all.join('')),
  )
  const some = fc.record({
    clientId: fc.option(text, { nil: undefined }),
    userAgent: fc.option(text, { nil: undefined }),
    audience: fc.option(text, { nil: undefined }),
    scope: fc.option(text, { nil: undefined }),
    detail: fc.option(fc.record({ grant_type: text, other_client_id: text }), { nil: undefined }),
  })

  test('it fits, it is valid UTF-8, and it has no NUL, which PostgreSQL does not take', () => {
    fc.assert(
      fc.property(some, (changes) => {
        const result = bounded(changes)
        for (const [field, , most] of fields) expect(result[field]?.length ?? 0).toBeLessThanOrEqual(most)
        const json = JSON.stringify(result)
        expect(json.isWellFormed()).toBe(true)
        expect(json).not.toMatch(/\\u0000|\\ud[89a-f]/)
        expect(json.length).toBeLessThan(8_000)
      }),
    )
  })

  test('bounding again changes nothing: what is hashed is what is written', () => {
    fc.assert(
      fc.property(some, (changes) => {
        const once = bounded(changes)
        expect(boundRecord(once, sha256Hex)).toBe(once)
      }),
    )
  })

  test('two different values never look the same', () => {
    // Half a pair has no UTF-8, so a hash cannot tell it from another; a request never holds one.
    const whole = text.filter((one) => one.isWellFormed())
    const values = fc.tuple(whole, whole).filter(([one, other]) => one !== other)
    const near = whole.map((one) => [`${one}\n`, `${one}\r`] as const)
    fc.assert(
      fc.property(fc.oneof(values, near), ([one, other]) => {
        expect(bounded({ clientId: one })).not.toEqual(bounded({ clientId: other }))
      }),
    )
  })
})
