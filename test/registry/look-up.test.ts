/** Questions to the database that many ask at once: they share reads, and each gets its own answer or a refusal. */
import { describe, expect, test } from 'vitest'
import type { Pool } from '../../src/database/open.ts'
import { limits } from '../../src/limits.ts'
import { LookUp, type Pair } from '../../src/registry/look-up.ts'

const turn = () => new Promise((resolve) => setImmediate(resolve))

/** A database that answers each pair with its own text, when the test lets it. */
function openLookUp() {
  const reads: string[][] = []
  const noted = { answers: 0, faults: [] as unknown[], pools: [] as Pool[] }
  const database = { answer: async (): Promise<void> => {} }
  const timers: { readonly milliseconds: number; readonly then: () => void }[] = []
  const pool = {} as Pool
  const lookUp = new LookUp<string>({
    pool,
    read: async (given, pairs) => {
      noted.pools.push(given)
      reads.push(pairs.map((pair) => pair.join(' ')))
      await database.answer()
      return pairs.map((pair) => pair.join(' '))
    },
    wait: (milliseconds, then) => timers.push({ milliseconds, then }),
    onAnswer: () => {
      noted.answers += 1
    },
    onFault: (error) => noted.faults.push(error),
  })
  /** What was told to each who asked. */
  const told: unknown[] = []
  const ask = (...pair: Pair): void => {
    const place = told.push('waits') - 1
    lookUp.ask(pair).then(
      (answer) => {
        told[place] = answer
      },
      (error: unknown) => {
        told[place] = error
      },
    )
  }
  /** Lets the time pass that was waited for. @returns how many waits ended. */
  const pass = async () => {
    const due = timers.splice(0)
    for (const { then } of due) then()
    await turn()
    return due.length
  }
  return { lookUp, ask, told, reads, noted, database, timers, pass, pool }
}

describe('those who ask within a few milliseconds', () => {
  test('wait once, share one read and get their own answers', async () => {
    const { ask, told, reads, noted, timers, pass, pool } = openLookUp()
    ask('a', '1')
    ask('b', '2')
    ask('a', '3')
    expect(timers.map(({ milliseconds }) => milliseconds)).toEqual([limits.lookUpMilliseconds])
    await turn()
    expect(reads, 'nothing is read before').toEqual([])
    await pass()
    expect(told).toEqual(['a 1', 'b 2', 'a 3'])
    expect(reads).toEqual([['a 1', 'b 2', 'a 3']])
    expect(noted).toEqual({ answers: 1, faults: [], pools: [pool] })
  })

  test('are not those who ask later: they wait and read again', async () => {
    const { ask, told, reads, pass } = openLookUp()
    for (const id of ['1', '2', '3']) {
      ask('a', id)
      expect(await pass()).toBe(1)
      expect(reads.at(-1)).toEqual([`a ${id}`])
      expect(told.at(-1)).toBe(`a ${id}`)
    }
  })

  test('while a read is under way share the next one, which begins when it has ended', async () => {
    const { ask, told, reads, database, pass } = openLookUp()
    const held = Promise.withResolvers<void>()
    database.answer = () => held.promise
    for (const id of ['1', '2', '3']) {
      ask('a', id)
      await pass()
    }
    expect(reads).toEqual([['a 1']])
    expect(told).toEqual(['waits', 'waits', 'waits'])
    held.resolve()
    await turn()
    expect(told).toEqual(['a 1', 'a 2', 'a 3'])
    expect(reads).toEqual([['a 1'], ['a 2', 'a 3']])
  })

  test('are read so many at once, one part after the other', async () => {
    const { ask, told, reads, noted, pass } = openLookUp()
    const most = limits.lookUpsPerReadMax
    const names = Array.from({ length: most + 1 }, (_, index) => `client-${index}`)
    for (const name of names) ask(name, '')
    await pass()
    expect(told).toEqual(names.map((name) => `${name} `))
    expect(reads.map(({ length }) => length)).toEqual([most, 1])
    expect(noted.answers).toBe(2)
  })
})

test('a client id that is too long to be registered is asked for as one that does not exist', async () => {
  const { ask, reads, pass } = openLookUp()
  const longest = 'a'.repeat(limits.clientIdCharactersMax)
  ask(longest, '1')
  ask(`${longest}a`, '2')
  await pass()
  expect(reads).toEqual([[`${longest} 1`, ' 2']])
})

test('a read that fails refuses those who share it and is told once; the others are read', async () => {
  const { ask, told, reads, noted, database, pass } = openLookUp()
  const away = new Error('away')
  database.answer = () => (reads.length === 1 ? Promise.reject(away) : Promise.resolve())
  const most = limits.lookUpsPerReadMax
  for (let asked = 0; asked <= most; asked += 1) ask(`client-${asked}`, '')
  await pass()
  const refusal = expect.objectContaining({ reason: 'registry_unavailable', cause: away })
  expect(told).toEqual([...Array.from({ length: most }, () => refusal), `client-${most} `])
  expect(noted).toMatchObject({ answers: 1, faults: [away] })
})

test('waiting until nothing is read waits for the read that is under way, and for no other', async () => {
  const { lookUp, ask, told, database, pass } = openLookUp()
  await lookUp.idle()
  const held = Promise.withResolvers<void>()
  database.answer = () => held.promise
  ask('a', '1')
  await pass()
  let isIdle = false
  const idle = lookUp.idle().then(() => {
    isIdle = true
  })
  await turn()
  expect(isIdle).toBe(false)
  held.resolve()
  await idle
  expect(told).toEqual(['a 1'])
})
