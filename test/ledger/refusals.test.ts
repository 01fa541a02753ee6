/** However many refusals there are in a flood, none is lost: it has a record of its own or is counted in one. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { AuditRecord } from '../../src/ledger/record.ts'
import { RefusalBudget } from '../../src/ledger/refusals.ts'
import { limits } from '../../src/limits.ts'

const refusal = (changes: Partial<AuditRecord> = {}): AuditRecord => ({
  time: 1_000,
  type: 'token',
  outcome: 'refused',
  error: 'invalid_client',
  reason: 'client_unknown',
  clientId: 'billing',
  address: '10.0.0.1',
  userAgent: 'curl',
  requestId: 'abc-1',
  ...changes,
})

const total = (records: readonly AuditRecord[]): number =>
  records.reduce((sum, { count }) => sum + (count ?? 1), 0)

describe('records of their own', () => {
  const most = limits.refusalRecordsPerSecondMax

  test('so many in a second, and no more', () => {
    const budget = new RefusalBudget()
    const spent = Array.from({ length: most + 5 }, () => budget.spend(7))
    expect(spent).toEqual([...Array(most).fill(true), ...Array(5).fill(false)])
  })

  test('again in the next second, and in every other one', () => {
    const budget = new RefusalBudget()
    for (const second of [0, 1, 5, 4, 1_000_000]) {
      const spent = Array.from({ length: most + 1 }, () => budget.spend(second))
      expect(spent.filter(Boolean), `second ${second}`).toHaveLength(most)
    }
  })
})

describe('right credentials that are refused', () => {
  const revoked = (changes: Partial<AuditRecord> = {}) =>
    refusal({ reason: 'secret_revoked', credentialId: 'abcdefgh', authenticationMethod: 'basic', ...changes })

  test('have records of their own, however many guesses there are', () => {
    const budget = new RefusalBudget()
    for (let index = 0; index < 2 * limits.refusalRecordsPerSecondMax; index += 1) budget.spend(7)
    expect([budget.spend(7), budget.spend(7, true)]).toEqual([false, true])
  })

  test('are counted with their names, however many groups of guesses there are', () => {
    const budget = new RefusalBudget()
    for (let index = 0; index <= limits.refusalGroupsMax; index += 1) {
      budget.count(refusal({ address: `10.1.0.${index}` }))
    }
    for (const credentialId of ['abcdefgh', 'abcdefgh', 'ijklmnop']) {
      budget.count(revoked({ credentialId }), true)
    }
    const names = budget.drain().filter(({ reason }) => reason === 'secret_revoked')
    expect(names.map(({ clientId, credentialId, count }) => [clientId, credentialId, count ?? 1])).toEqual([
      ['billing', 'abcdefgh', 2],
      ['billing', 'ijklmnop', 1],
    ])
    // Those that could not be written are counted again.
    for (const record of names) budget.count(record)
    budget.count(revoked(), true)
    expect(budget.drain().map(({ credentialId, count }) => [credentialId, count ?? 1])).toEqual([
      ['abcdefgh', 3],
      ['ijklmnop', 1],
    ])
  })
})

describe('counted refusals', () => {
  test('of one reason and address become one record, from the first to the last', () => {
    const budget = new RefusalBudget()
    for (const time of [1_000, 1_200, 1_900]) budget.count(refusal({ time, clientId: `client ${time}` }))
    expect(budget.drain()).toEqual([
      {
        time: 1_000,
        type: 'token',
        outcome: 'refused',
        error: 'invalid_client',
        reason: 'client_unknown',
        address: '10.0.0.1',
        count: 3,
        detail: { last_time: 1_900 },
      },
    ])
  })

  test('of another reason or address are another record', () => {
    const budget = new RefusalBudget()
    budget.count(refusal())
    budget.count(refusal({ address: '10.0.0.2' }))
    budget.count(refusal({ reason: 'secret_wrong' }))
    expect(budget.pending).toBe(3)
    expect(total(budget.drain())).toBe(3)
  })

  test('one that stayed alone keeps everything that was known of it', () => {
    const budget = new RefusalBudget()
    const alone = refusal({ detail: { grant_type: 'password' } })
    budget.count(alone)
    expect(budget.drain()).toEqual([alone])
  })

  test('are counted once: draining empties', () => {
    const budget = new RefusalBudget()
    budget.count(refusal())
    expect(budget.drain()).toHaveLength(1)
    expect(budget.drain()).toEqual([])
    expect(budget.pending).toBe(0)
  })

  test('past the groups there are, all the rest share one record that names no one', () => {
    const budget = new RefusalBudget()
    const most = limits.refusalGroupsMax
    for (let index = 0; index < most + 50; index += 1) {
      budget.count(refusal({ address: `10.0.0.${index}`, time: 1_000 + index }))
    }
    budget.count(refusal({ address: '10.0.0.0', time: 5_000 }))
    const records = budget.drain()
    expect(records).toHaveLength(most + 1)
    expect(records[0]).toMatchObject({ address: '10.0.0.0', count: 2, detail: { last_time: 5_000 } })
    expect(records.at(-1)).toEqual({
      time: 1_000 + most,
      type: 'token',
      outcome: 'refused',
      error: undefined,
      reason: 'several',
      address: undefined,
      count: 50,
      detail: { last_time: 1_000 + most + 49 },
    })
  })
})

describe('records that could not be written come back', () => {
  test('with their number, also where all groups are taken', () => {
    const budget = new RefusalBudget()
    const written = refusal({ address: '10.9.9.9', count: 40, detail: { last_time: 1_500 } })
    for (let index = 0; index < limits.refusalGroupsMax; index += 1) {
      budget.count(refusal({ address: `10.0.0.${index}` }))
    }
    budget.count(written)
    budget.count(written)
    expect(budget.drain().at(-1)).toMatchObject({ reason: 'several', count: 80 })
  })

  test('with the whole time they span, whatever was counted meanwhile', () => {
    const budget = new RefusalBudget()
    for (const time of [1_000, 1_500]) budget.count(refusal({ time }))
    const [failed] = budget.drain()
    for (const time of [2_000, 2_500]) budget.count(refusal({ time }))
    if (failed !== undefined) budget.count(failed)
    expect(budget.drain()).toMatchObject([{ time: 1_000, count: 4, detail: { last_time: 2_500 } }])

    if (failed !== undefined) budget.count(failed)
    expect(budget.drain()).toMatchObject([{ time: 1_000, count: 2, detail: { last_time: 1_500 } }])
  })

  test('any number of times, and none is ever lost or counted twice (P4)', () => {
    const arrival = fc.record({
      kind: fc.constantFrom('refusal', 'refusal', 'refusal', 'failed write', 'write'),
      address: fc.nat(150).map((host) => `10.0.0.${host}`),
    })
    fc.assert(
      fc.property(fc.array(arrival, { maxLength: 400, size: 'max' }), (arrivals) => {
        const budget = new RefusalBudget()
        let counted = 0
        let written = 0
        arrivals.forEach(({ kind, address }, time) => {
          if (kind === 'refusal') {
            budget.count(refusal({ address, time }))
            counted += 1
          } else {
            const records = budget.drain()
            expect(records.length).toBeLessThanOrEqual(limits.refusalGroupsMax + 1)
            if (kind === 'write') written += total(records)
            else for (const record of records) budget.count(record)
          }
        })
        expect(written + total(budget.drain())).toBe(counted)
      }),
    )
  })
})
