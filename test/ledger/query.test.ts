/** What a filter means, for one record and for the times in which records are looked for. */
import { describe, expect, test } from 'vitest'
import { type AuditEntry, type AuditFilter, matches, timeRange } from '../../src/ledger/query.ts'
import { tokenId } from '../../src/ledger/token-id.ts'

const made = 1_800_000_000_123
const jti = tokenId(made, '2b0f1c8e-5c0b-4a40-9df0-1d4d3ac0a8b1')
const entry: AuditEntry = {
  chain: 1,
  seq: 2,
  hash: '00',
  time: made,
  type: 'token',
  outcome: 'issued',
  clientId: 'billing',
  jti,
}

describe('a record matches', () => {
  const fields: readonly (readonly [AuditFilter, AuditFilter])[] = [
    [{ type: 'token' }, { type: 'service' }],
    [{ outcome: 'issued' }, { outcome: 'refused' }],
    [{ clientId: 'billing' }, { clientId: 'Billing' }],
    [{ jti }, { jti: '2b0f1c8e-5c0b-4a40-9df0-1d4d3ac0a8b1' }],
    [{ since: made }, { since: made + 1 }],
    [{ until: made + 1 }, { until: made }],
  ]

  test('a filter that asks for nothing, and one that asks for all that it is', () => {
    expect(matches(entry, {})).toBe(true)
    expect(matches(entry, Object.assign({}, ...fields.map(([right]) => right)))).toBe(true)
  })

  test.each(fields)('%j, and not %j', (right, wrong) => {
    expect(matches(entry, right)).toBe(true)
    expect(matches(entry, wrong)).toBe(false)
    const others = Object.assign({}, ...fields.filter(([each]) => each !== right).map(([each]) => each))
    expect(matches(entry, { ...others, ...wrong }), 'one that differs is enough').toBe(false)
  })
})

describe('the times that are searched', () => {
  const always = { from: 0, before: 253_402_300_800_000 }

  test('are all there are, where nothing is said of them', () => {
    expect(timeRange({})).toEqual(always)
    expect(timeRange({ clientId: 'billing' })).toEqual(always)
    expect(new Date(always.before).toISOString()).toBe('+010000-01-01T00:00:00.000Z')
  })

  test('are those that are asked for', () => {
    expect(timeRange({ since: 5, until: 9 })).toEqual({ from: 5, before: 9 })
    expect(timeRange({ since: 5 })).toEqual({ ...always, from: 5 })
    expect(timeRange({ until: 9 })).toEqual({ ...always, before: 9 })
  })

  test('are the one millisecond that the id of a token names, if that is among them', () => {
    expect(timeRange({ jti })).toEqual({ from: made, before: made + 1 })
    expect(timeRange({ jti, since: made - 1, until: made + 2 })).toEqual({ from: made, before: made + 1 })
    expect(timeRange({ jti, since: made + 1 })).toEqual({ from: made + 1, before: made + 1 })
    expect(timeRange({ jti, until: made })).toEqual({ from: made, before: made })
  })

  test('are not narrowed by an id without a time', () => {
    expect(timeRange({ jti: '2b0f1c8e-5c0b-4a40-9df0-1d4d3ac0a8b1' })).toEqual(always)
  })
})
