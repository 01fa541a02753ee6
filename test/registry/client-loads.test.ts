/** Clients that are not in memory: whoever wants them at the same time shares a read, and hears when it is done. */
import { describe, expect, test } from 'vitest'
import { limits } from '../../src/limits.ts'
import { ClientLoads } from '../../src/registry/client-loads.ts'

const turn = () => new Promise((resolve) => setImmediate(resolve))

/** A database that is read as the test lets it. */
function openLoads() {
  const reads: (readonly string[])[] = []
  const noted = { answers: 0, faults: [] as unknown[] }
  const database = { answer: async (): Promise<void> => {} }
  const loads = new ClientLoads({
    load: async (clientIds) => {
      reads.push(clientIds)
      await database.answer()
    },
    onAnswer: () => {
      noted.answers += 1
    },
    onFault: (error) => noted.faults.push(error),
  })
  /** What was told to each who wanted a client. */
  const told: unknown[] = []
  const want = (clientId: string): void => {
    const place = told.push('waits') - 1
    loads.load(clientId).then(
      () => {
        told[place] = 'read'
      },
      (error: unknown) => {
        told[place] = error
      },
    )
  }
  const settle = async () => {
    await turn()
    await turn()
  }
  return { loads, reads, noted, database, told, want, settle }
}

describe('clients that are wanted', () => {
  test('in one turn are read together, each once', async () => {
    const { reads, noted, told, want, settle } = openLoads()
    for (const clientId of ['a', 'b', 'a']) want(clientId)
    expect(reads).toEqual([])
    await settle()
    expect(reads).toEqual([['a', 'b']])
    expect(told).toEqual(['read', 'read', 'read'])
    expect(noted).toEqual({ answers: 1, faults: [] })
  })

  test('later are read again, also the same', async () => {
    const { reads, told, want, settle } = openLoads()
    for (const clientId of ['a', 'a', 'b']) {
      want(clientId)
      await settle()
      expect(told.at(-1)).toBe('read')
    }
    expect(reads).toEqual([['a'], ['a'], ['b']])
  })

  test('while others are read come with the next read, also one of those', async () => {
    const { reads, database, told, want, settle } = openLoads()
    const held = Promise.withResolvers<void>()
    database.answer = () => held.promise
    want('a')
    await settle()
    for (const clientId of ['a', 'b']) want(clientId)
    await settle()
    expect([reads, told]).toEqual([[['a']], ['waits', 'waits', 'waits']])
    held.resolve()
    await settle()
    expect([reads, told]).toEqual([
      [['a'], ['a', 'b']],
      ['read', 'read', 'read'],
    ])
  })

  test('are read so many at once, and the others next; a read that fails refuses those who wait for it', async () => {
    const { reads, noted, database, told, want, settle } = openLoads()
    const most = limits.registryClientsPerLoadMax
    const away = new Error('away')
    database.answer = () => (reads.length === 1 ? Promise.reject(away) : Promise.resolve())
    const names = Array.from({ length: most + 1 }, (_, index) => `client-${index}`)
    for (const name of names) want(name)
    await settle()
    expect(reads).toEqual([names.slice(0, most), names.slice(most)])
    const refusal = expect.objectContaining({ reason: 'registry_unavailable', cause: away })
    expect(told).toEqual([...Array.from({ length: most }, () => refusal), 'read'])
    expect(noted).toEqual({ answers: 1, faults: [away] })
  })
})

test('waiting until nothing is read waits for the read that is under way, and for no other', async () => {
  const { loads, database, told, want, settle } = openLoads()
  await loads.idle()
  const held = Promise.withResolvers<void>()
  database.answer = () => held.promise
  want('a')
  let isIdle = false
  const idle = loads.idle().then(() => {
    isIdle = true
  })
  await settle()
  expect(isIdle).toBe(false)
  held.resolve()
  await idle
  expect(told).toEqual(['read'])
})
