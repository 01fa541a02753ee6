/** A look at what changed is believed if the database that answers is the one that commits; or else it is looked again. */
import { describe, expect, test } from 'vitest'
import type { Pool } from '../../src/database/open.ts'
import { limits } from '../../src/limits.ts'
import { Look, type Misled } from '../../src/registry/look.ts'

/** A version of so many changes. The tail tells histories apart. */
const at = (changes: number, tail = 0): number => changes * 2 ** 20 + tail

interface Answer {
  readonly version?: number
  readonly knowsHeard?: boolean
  readonly isReadOnly?: boolean
}

/** A look that is answered with these one after the other, and with the last of them from then on. */
function openLook(...answers: readonly (Answer | Error)[]) {
  const misled: Misled[] = []
  const times: (readonly [number, number])[] = []
  const asked: unknown[][] = []
  const clock = { milliseconds: 50_000, perRead: 0 }
  const query = async ({ values }: { values: unknown[] }) => {
    const answer = answers[Math.min(asked.length, answers.length - 1)] ?? {}
    asked.push(values)
    clock.milliseconds += clock.perRead
    if (answer instanceof Error) throw answer
    const { version = at(5), knowsHeard = true, isReadOnly = false } = answer
    const row = { known: true, now: '1800000000.5', changes: [['client', 'billing']] }
    return { rows: [{ ...row, version: `${version}`, knows_heard: knowsHeard, read_only: isReadOnly }] }
  }
  const look = new Look({
    pool: { query } as unknown as Pool,
    monotonicMilliseconds: () => clock.milliseconds,
    onDatabaseTime: (...told) => times.push(told),
    onMisled: (reason) => misled.push(reason),
  })
  return { look, misled, times, asked, clock }
}

describe('a database that does not commit', () => {
  const standby = { isReadOnly: true }
  const stranger = { knowsHeard: false }
  const cases: readonly (readonly [
    answers: string,
    given: readonly Answer[],
    committed: number | undefined,
    expected: { misled: Misled[]; reads: number; error?: RegExp },
  ])[] = [
    ['no such one', [{}], at(5), { misled: [], reads: 1 }],
    ['at the version that memory is at', [{ version: at(4) }], undefined, { misled: [], reads: 1 }],
    [
      'a standby, and the primary over other connections',
      [standby, {}],
      undefined,
      { misled: ['read_only'], reads: 2 },
    ],
    [
      'a standby twice',
      [standby, standby, {}],
      undefined,
      { misled: ['read_only'], reads: 2, error: /standby or read-only/ },
    ],
    [
      'one that never heard of the commit, and then the right one',
      [stranger, {}],
      at(6),
      { misled: ['unknown_version'], reads: 2 },
    ],
    [
      'one that never heard of the commit, twice',
      [stranger, stranger, {}],
      at(6),
      { misled: ['unknown_version'], reads: 2, error: /does not know the version/ },
    ],
    ['one that heard of no commit where there was none', [stranger], undefined, { misled: [], reads: 1 }],
    [
      'one that is behind, and then the right one',
      [{ version: at(3) }, {}],
      undefined,
      { misled: ['behind'], reads: 2 },
    ],
    // After a restored backup it is behind, and right.
    ['one that is behind, twice', [{ version: at(3) }], undefined, { misled: ['behind'], reads: 2 }],
    ['one of another history', [{ version: at(4, 1) }, {}], undefined, { misled: ['behind'], reads: 2 }],
    [
      'a standby, and then one that is behind',
      [standby, { version: at(3) }],
      undefined,
      { misled: ['read_only'], reads: 2 },
    ],
  ]
  test.each(cases)('is found out: %s', async (_answers, given, committed, { misled, reads, error }) => {
    const opened = openLook(...given)
    const looked = opened.look.since(at(4), committed)
    if (error === undefined) {
      expect(await looked).toMatchObject({ changes: [['client', 'billing']] })
    } else await expect(looked).rejects.toThrow(error)
    expect(opened.misled).toEqual(misled)
    expect(opened.asked).toHaveLength(reads)
    expect(opened.look.isTrusted).toBe(error === undefined)
  })

  test('is found out once more at the next look, and forgiven when the right one answers', async () => {
    const { look, misled, asked } = openLook(standby, standby, standby, {})
    await expect(look.since(at(4), undefined)).rejects.toThrow()
    await expect(look.since(at(4), undefined), 'within a second, over the same').rejects.toThrow()
    expect([misled.length, asked.length, look.isTrusted]).toEqual([1, 3, false])
    await look.since(at(4), undefined)
    expect(look.isTrusted).toBe(true)
  })

  test('is asked no third time, however long the answers take', async () => {
    const { look, asked, clock } = openLook(standby, standby, {})
    clock.perRead = limits.registryPollMilliseconds
    await expect(look.since(at(4), undefined)).rejects.toThrow('standby or read-only')
    expect(asked).toHaveLength(2)
  })
})

test('connections are replaced once a second at most', () => {
  const { look, misled, clock } = openLook()
  const after = (milliseconds: number) => {
    clock.milliseconds += milliseconds
    return look.replaceReaders('behind')
  }
  const most = limits.registryPollMilliseconds
  expect([0, 0, most - 1, 1, 1, most - 1].map(after)).toEqual([true, false, false, true, false, true])
  expect(misled).toEqual(['behind', 'behind', 'behind'])
})

test('the first look reads the version and no changes', async () => {
  const { look, asked } = openLook({ version: at(9) })
  expect(await look.first()).toBe(at(9))
  expect(asked).toMatchObject([[Number.MAX_SAFE_INTEGER, expect.anything(), Number.MAX_SAFE_INTEGER]])
})

test('a look asks since a version, and for the version that a commit answered with', async () => {
  const { look, asked } = openLook()
  await look.since(at(4), at(5))
  expect(asked).toMatchObject([[at(4), expect.anything(), at(5)]])
})

test('every look has begun when it was asked, also one that fails; only an answer tells the time', async () => {
  const { look, times, clock } = openLook({}, new Error('away'))
  clock.perRead = 250
  expect(look.lookedAt).toBe(0)
  await look.first()
  expect(look.lookedAt).toBe(50_000)
  await expect(look.first()).rejects.toThrow('away')
  expect(look.lookedAt).toBe(50_250)
  expect(times).toEqual([[1_800_000_000.5, 0.25]])
})
