/** What the records of one change say: who made it, when, which fields, and what is about the whole of it. */
import { describe, expect, test } from 'vitest'
import { type Actor, ChangeRecords, type FieldChange } from '../../src/ledger/change-records.ts'
import type { AuditRecord } from '../../src/ledger/record.ts'

const time = 1_800_000_000_123
const actor = { by: 'ada', host: 'console-1' } satisfies Actor
const status: FieldChange = { field: 'status', from: 'active', to: 'disabled' }
const owner: FieldChange = { field: 'owner', from: undefined, to: null }

const client: AuditRecord = { time, type: 'client', outcome: 'changed', clientId: 'billing', detail: actor }
const secret: AuditRecord = { time, type: 'secret', outcome: 'added', clientId: 'billing', credentialId: 's' }
const key: AuditRecord = { time, type: 'key', outcome: 'rotated', kid: 'k', detail: actor }

describe('a record of a change', () => {
  type Added = readonly [changes?: readonly FieldChange[], more?: Readonly<Record<string, unknown>>]
  const cases: readonly (readonly [what: string, added: Added, detail: object])[] = [
    ['without fields says nothing about fields', [], {}],
    ['with an empty list of fields says nothing about fields', [[]], {}],
    [
      'says of each field what it was and what it is',
      [[status, owner]],
      { changes: { status: { from: 'active', to: 'disabled' }, owner: { from: undefined, to: null } } },
    ],
    ['says what else there is to say', [[], { reason: 'moved' }], { reason: 'moved' }],
    [
      'says both',
      [[status], { reason: 'moved' }],
      { changes: { status: { from: 'active', to: 'disabled' } }, reason: 'moved' },
    ],
  ]
  test.each(cases)('%s', (_what, added, detail) => {
    const records = new ChangeRecords(time, actor)
    records.add('client', 'changed', { clientId: 'billing' }, ...added)
    expect(records.all).toStrictEqual([{ ...client, detail: { ...actor, ...detail } }])
  })

  test('names no machine where the actor has none', () => {
    const records = new ChangeRecords(time, { by: 'mintmark' })
    records.add('key', 'rotated', { kid: 'k' })
    expect(records.all).toStrictEqual([{ ...key, detail: { by: 'mintmark' } }])
  })
})

describe('what is about the whole change', () => {
  const recordsOf = (count: number) => {
    const records = new ChangeRecords(time, actor)
    const additions = [
      () => records.add('client', 'changed', { clientId: 'billing' }),
      () => records.add('secret', 'added', { clientId: 'billing', credentialId: 's' }, [], { label: 'a' }),
      () => records.add('key', 'rotated', { kid: 'k' }),
    ]
    for (const add of additions.slice(0, count)) add()
    return records
  }
  const sealed = { sealed: 7, sealed_root: 'root' }
  const first: AuditRecord = { ...client, detail: { ...actor, ...sealed } }
  const second: AuditRecord = { ...secret, detail: { ...actor, label: 'a' } }

  const cases: readonly (readonly [what: string, count: number, expected: readonly AuditRecord[]])[] = [
    ['makes no record where there is none', 0, []],
    ['is added to what the only record says', 1, [first]],
    ['is added to the first record, and the others stay in their order', 3, [first, second, key]],
  ]
  test.each(cases)('%s', (_what, count, expected) => {
    const records = recordsOf(count)
    records.addToFirst(sealed)
    expect(records.all).toStrictEqual(expected)
  })

  test('stays when more is added to it', () => {
    const records = recordsOf(1)
    records.addToFirst({ sealed: 7 })
    records.addToFirst({ sealed_root: 'root' })
    expect(records.all).toStrictEqual([first])
  })
})
