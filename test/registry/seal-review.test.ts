/** How a process looks through the rows that nobody asks for: all of them, a few at a time, again and again. */
import { setImmediate } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { SealReview } from '../../src/registry/seal-review.ts'
import { clientRow, SealedRows } from '../support/sealed-rows.ts'

beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }))
afterEach(() => void vi.useRealTimers())

/** A review of so many clients, and what it did: how many clients each look inspected, and the ends of rounds. */
function reviewing(count: number) {
  const rows = new SealedRows()
  rows.clients = Array.from({ length: count }, (_, number) =>
    clientRow(`${String(number).padStart(4, '0')}-client`),
  )
  const done: string[] = []
  const seen: string[] = []
  const faults: unknown[] = []
  const on = { inspect: async () => {}, trust: async () => {} }
  const review = new SealReview({
    reads: rows.reads,
    registry: {
      async inspect(clientIds) {
        await on.inspect()
        seen.push(...clientIds)
        done.push(`inspect ${clientIds.length}`)
      },
      async trust() {
        await on.trust()
        done.push('trust')
        return { issuers: new Map(), blocked: new Set(), resources: new Map() }
      },
    },
    problems: { endRound: () => void done.push('end of round') },
    onFault: (error) => faults.push(error),
  })
  /** One more second, and all that comes of it. */
  const look = async () => {
    const before = done.length
    vi.advanceTimersByTime(1_000)
    await setImmediate()
    return done.slice(before)
  }
  return { review, rows, on, done, seen, faults, look }
}

test('every client is looked at once in each round, and rounds follow each other', async () => {
  const { review, rows, seen, done, look } = reviewing(450)
  const last = ['inspect 50', 'trust', 'end of round']
  const first = ['inspect 200', 'trust']
  for (let round = 0; round < 2; round += 1) {
    seen.length = 0
    expect(await look()).toEqual(first)
    expect(await look()).toEqual(first)
    expect(await look()).toEqual(last)
    expect(seen).toEqual(rows.clients.map(({ client_id: id }) => id))
  }
  await review.close()
  expect(done).toHaveLength(14)
})

test.each([
  [
    200,
    [
      ['inspect 200', 'trust'],
      ['inspect 0', 'trust', 'end of round'],
    ],
  ],
  [
    1,
    [
      ['inspect 1', 'trust', 'end of round'],
      ['inspect 1', 'trust', 'end of round'],
    ],
  ],
  // The head is read with them.
  [
    0,
    [
      ['inspect 0', 'trust', 'end of round'],
      ['inspect 0', 'trust', 'end of round'],
    ],
  ],
])('a round of %i clients has an end', async (count, looks) => {
  const { review, look } = reviewing(count)
  for (const expected of looks) expect(await look()).toEqual(expected)
  await review.close()
})

test('a look that takes long is waited for: no other one begins, and the review is closed after it', async () => {
  const { review, on, done, look } = reviewing(450)
  const waiting = Promise.withResolvers<void>()
  on.inspect = () => waiting.promise
  expect(await look()).toEqual([])
  expect(await look()).toEqual([])
  let isClosed = false
  const closing = review.close().then(() => {
    isClosed = true
  })
  await look()
  expect(isClosed).toBe(false)
  waiting.resolve()
  await closing
  expect(done).toEqual(['inspect 200', 'trust'])
  expect(await look(), 'nothing after that').toEqual([])
})

test.each(['inspect', 'trust'] as const)(
  'a look that fails is told, and done again: no client is passed over and no round ends: %s',
  async (what) => {
    const { review, on, seen, faults, look } = reviewing(250)
    await look()
    const error = new Error('the database is away')
    on[what] = () => Promise.reject(error)
    expect(await look()).not.toContain('end of round')
    expect(faults).toEqual([error])
    on[what] = async () => {}
    seen.length = 0
    expect(await look()).toEqual(['inspect 50', 'trust', 'end of round'])
    expect([seen[0], faults]).toEqual(['0200-client', [error]])
    await review.close()
  },
)
