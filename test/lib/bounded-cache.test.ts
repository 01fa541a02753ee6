/**
 * What we rely on lru-cache for, in the registry's view and the memory of verified secrets: it holds what was used last,
 * never more than it was told to, and nothing that was deleted.
 */
import fc from 'fast-check'
import type { LRUCache } from 'lru-cache'
import { expect, test } from 'vitest'
import { boundedCache } from '../../src/lib/bounded-cache.ts'

type Step = readonly [action: 'get' | 'set' | 'delete' | 'clear', key: number]

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.tuple(
    fc.oneof(
      { weight: 20, arbitrary: fc.constantFrom('get', 'set', 'set', 'delete') },
      { weight: 1, arbitrary: fc.constant('clear') },
    ) as fc.Arbitrary<Step[0]>,
    fc.nat(15),
  ),
  { maxLength: 200, size: 'max' },
)
const bounds = fc.integer({ min: 1, max: 12 })

interface State {
  readonly map: LRUCache<number, string>
  /** What an unbounded map would hold, in the order of last use. A deleted entry keeps its place in it. */
  readonly truth: Map<number, string | undefined>
}

function run(entriesMax: number, list: readonly Step[], check: (state: State) => void = () => {}): State {
  const state: State = { map: boundedCache(entriesMax), truth: new Map() }
  list.forEach(([action, key], index) => {
    takeStep(state, action, key, `value ${index}`)
    check(state)
  })
  return state
}

function takeStep({ map, truth }: State, action: Step[0], key: number, fresh: string): void {
  if (action === 'clear') {
    map.clear()
    truth.clear()
    return
  }
  if (action === 'delete') {
    map.delete(key)
    if (truth.has(key)) truth.set(key, undefined)
    return
  }
  if (action === 'set') map.set(key, fresh)
  const value = map.get(key)
  if (action === 'set') expect(value).toBe(fresh)
  // It may have forgotten. What it says is never an older value, nor one that was deleted.
  else if (value !== undefined) expect(value).toBe(truth.get(key))
  if (value === undefined) return
  truth.delete(key)
  truth.set(key, value)
}

test('it never holds more entries than it may, and never says anything but the latest', () => {
  fc.assert(
    fc.property(bounds, steps, (entriesMax, list) => {
      run(entriesMax, list, ({ map }) => expect(map.size).toBeLessThanOrEqual(entriesMax))
    }),
    { numRuns: 500 },
  )
})

test('as many entries as it may hold, those that were used last, are always there', () => {
  fc.assert(
    fc.property(bounds, steps, (entriesMax, list) => {
      const { map, truth } = run(entriesMax, list)
      for (const [key, value] of [...truth].slice(-entriesMax)) {
        if (value !== undefined) expect(map.get(key)).toBe(value)
      }
    }),
    { numRuns: 500 },
  )
})

test('setting again what is there forgets nothing', () => {
  const map = boundedCache<number, string>(4)
  for (const key of [0, 1, 2, 3]) map.set(key, 'first')
  map.set(3, 'second')
  expect(map.size).toBe(4)
  expect(map.get(3)).toBe('second')
})

test('no entry is held twice', () => {
  fc.assert(
    fc.property(bounds, steps, (entriesMax, list) => {
      const { map } = run(entriesMax, list)
      for (let key = 0; key <= 15; key += 1) {
        const before = map.size
        map.delete(key)
        expect(before - map.size).toBeLessThanOrEqual(1)
      }
      expect(map.size).toBe(0)
    }),
  )
})

test('what is not used is forgotten after as many others as it may hold', () => {
  const map = boundedCache<number, string>(10)
  map.set(0, 'idle')
  map.set(1, 'busy')
  for (let key = 2; key < 12; key += 1) {
    map.set(key, 'other')
    expect(map.get(1)).toBe('busy')
  }
  expect(map.get(0)).toBeUndefined()
})

test('what was deleted or cleared is gone', () => {
  const map = boundedCache<number, string>(4)
  for (let key = 0; key < 4; key += 1) map.set(key, 'value')
  expect(map.size).toBe(4)
  map.delete(0)
  map.delete(3)
  expect([0, 1, 2, 3].map((key) => map.get(key))).toEqual([undefined, 'value', 'value', undefined])
  map.clear()
  expect(map.size).toBe(0)
  expect(map.get(1)).toBeUndefined()
})
