/** The trust table in memory is read as a whole: once for all who ask together, and not waited for without end. */
import { afterEach, describe, expect, test, vi } from 'vitest'
import { limits } from '../../src/limits.ts'
import type { TrustTable } from '../../src/registry/issuer.ts'
import { TrustMemory } from '../../src/registry/trust-memory.ts'

const table = (): TrustTable => ({ issuers: new Map(), blocked: new Set(), resources: new Map() })
const turn = () => new Promise((resolve) => setImmediate(resolve))

/** @param answer what the registry does at the read of this number: it adopts the table, or has moved on. */
function openMemory(
  answer: (adopt: (table: TrustTable) => void, read: number) => void | Promise<void> = (adopt) =>
    adopt(table()),
) {
  let reads = 0
  const memory = new TrustMemory(async (adopt) => {
    reads += 1
    await answer(adopt, reads)
  })
  return { memory, reads: () => reads }
}

afterEach(() => {
  vi.useRealTimers()
})

describe('the table', () => {
  test('is read once for all who ask together, and again when it was forgotten', async () => {
    const { memory, reads } = openMemory()
    expect(memory.now).toBeUndefined()
    const [first, second] = await Promise.all([memory.get(), memory.get()])
    expect(second).toBe(first)
    expect(await memory.get()).toBe(first)
    expect(memory.now).toBe(first)
    expect(reads()).toBe(1)
    memory.forget()
    expect(memory.now).toBeUndefined()
    expect(await memory.get()).not.toBe(first)
    expect(reads()).toBe(2)
  })

  test('is read again where the registry has moved on in the meantime, and no more often than a request waits for', async () => {
    const most = limits.decisionsPerRequestMax
    const settlingAt = (read: number) =>
      openMemory((adopt, current) => {
        if (current === read) adopt(table())
      })
    // The last read may bring it in time for nobody.
    const settled = settlingAt(most - 1)
    expect(await settled.memory.get()).toBe(settled.memory.now)
    const unsettled = settlingAt(most + 1)
    await expect(unsettled.memory.get()).rejects.toMatchObject({ reason: 'registry_unsettled' })
    expect([settled.reads(), unsettled.reads()]).toEqual([most - 1, most])
  })

  test('that cannot be read is refused for the reason of the read, and read at the next time', async () => {
    const away = new Error('away')
    const { memory } = openMemory((adopt, read) => (read === 1 ? Promise.reject(away) : adopt(table())))
    await expect(Promise.all([memory.get(), memory.get()])).rejects.toBe(away)
    expect(await memory.get()).toBe(memory.now)
  })

  test('is not waited for longer than a read may take; the read goes on, and serves whoever asks later', async () => {
    const held = Promise.withResolvers<void>()
    const { memory, reads } = openMemory((adopt) => held.promise.then(() => adopt(table())))
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    let refusal: unknown
    const asked = memory.get().catch((error: unknown) => {
      refusal = error
    })
    vi.advanceTimersByTime(limits.databaseReadTimeoutMilliseconds - 1)
    await turn()
    expect(refusal).toBeUndefined()
    vi.advanceTimersByTime(1)
    await asked
    expect(refusal).toMatchObject({ reason: 'registry_unavailable' })
    const later = memory.get()
    held.resolve()
    expect(await later).toBe(memory.now)
    expect(reads()).toBe(1)
  })
})

describe('waiting until nothing is read', () => {
  test('ends at once where nothing is', async () => {
    await openMemory().memory.idle()
  })

  test.each(['answers', 'fails'])('waits for the read that is under way, which %s', async (what) => {
    const held = Promise.withResolvers<void>()
    const { memory } = openMemory((adopt) => held.promise.then(() => adopt(table())))
    const asked = memory.get().catch(() => 'refused')
    let isIdle = false
    const idle = memory.idle().then(() => {
      isIdle = true
    })
    await turn()
    expect(isIdle).toBe(false)
    if (what === 'answers') held.resolve()
    else held.reject(new Error('away'))
    await idle
    expect(await asked).toEqual(what === 'answers' ? memory.now : 'refused')
  })
})
