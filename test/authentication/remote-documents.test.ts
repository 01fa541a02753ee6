/** Documents of others: how long the last good one counts, when it is fetched again, and what is told. */
import { afterEach, describe, expect, test, vi } from 'vitest'
import {
  type ReadDocument,
  RemoteDocuments,
  type RemoteDocumentsOptions,
  readMapping,
} from '../../src/authentication/remote-documents.ts'
import { limits } from '../../src/limits.ts'

const kept = limits.keysKeptSecondsMax
const gone = new Error('gone')
const broken = new Error('broken')

/** Documents that the test writes, by their address, with a clock that it holds. */
function open(more: Partial<RemoteDocumentsOptions<string, string>> = {}) {
  // The clock of a machine begins when it starts, which is not now.
  let seconds = 1_000
  const answers = new Map<string, string | Error>()
  const [told, asked]: [string[], string[]] = [[], []]
  let gate: Promise<void> | undefined
  const documents = new RemoteDocuments<string, string>({
    nameOf: (address) => `at ${address}`,
    async read(address): Promise<ReadDocument<string>> {
      asked.push(address)
      await gate
      const answer = answers.get(address) ?? `${address} 1`
      if (answer instanceof Error) throw answer
      return { document: answer, freshSeconds: undefined }
    },
    monotonicMilliseconds: () => seconds * 1_000,
    onFailed: (name, problem, keptSeconds) => told.push(`${name} failed: ${problem}, kept ${keptSeconds}`),
    onRecovered: (name) => told.push(`${name} recovered`),
    tellsOfUnseen: true,
    onRead: (name, before, after) => told.push(`${name}: ${before} is ${after}`),
    isGone: (error) => error === gone,
    rememberedMax: 2,
    waitingMax: 2,
    ...more,
  })
  return {
    documents,
    asked,
    answer: (address: string, next: string | Error) => void answers.set(address, next),
    pass: (more: number) => {
      seconds += more
    },
    /** What was told since it was last asked. */
    told: () => told.splice(0),
    hold: () => {
      const { promise, resolve } = Promise.withResolvers<void>()
      gate = promise
      return resolve
    },
  }
}

const settle = () => new Promise((resolve) => setImmediate(resolve))

test('an address that is asked for the first time is fetched, and nobody has to wait for it', async () => {
  const { documents, asked } = open()
  expect(documents.now('a')).toBeUndefined()
  await settle()
  expect([documents.now('a'), asked]).toEqual(['a 1', ['a']])
})

test('a document is fetched again when it is no longer fresh, and replaced by what was read', async () => {
  const { documents, asked, answer, pass, told } = open()
  await documents.renewed('a')
  answer('a', 'a 2')
  pass(limits.keysFreshSecondsMax)
  expect(documents.now('a')).toBe('a 1')
  pass(1)
  expect([documents.now('a'), asked.length]).toEqual(['a 1', 2])
  await settle()
  expect(documents.now('a')).toBe('a 2')
  expect(told()).toEqual(['at a: undefined is a 1', 'at a: a 1 is a 2'])
})

describe('an address that gives no document', () => {
  test('keeps the last one for a day, which is told once with what is left of the day', async () => {
    const { documents, answer, pass, told } = open()
    await documents.renewed('a')
    answer('a', broken)
    pass(100)
    await documents.renewed('a')
    pass(100)
    expect(await documents.renewed('a')).toBe('a 1')
    expect(documents.problemOf('a')).toBe('broken')
    expect(told().slice(1)).toEqual([`at a failed: broken, kept ${kept - 100}`])
    pass(kept - 200)
    expect(documents.now('a')).toBe('a 1')
    await settle()
    pass(1)
    expect(documents.now('a')).toBeUndefined()
    await settle()
    answer('a', 'a 2')
    pass(limits.keysCooldownSeconds)
    expect(await documents.renewed('a')).toBe('a 2')
    expect(documents.problemOf('a')).toBeUndefined()
    expect(told()).toEqual(['at a: a 1 is a 2', 'at a recovered'])
  })

  test('tells once more when the last one has ended, and never that it counts for less than nothing', async () => {
    const { documents, answer, pass, told } = open()
    await documents.renewed('a')
    answer('a', broken)
    pass(kept)
    expect(await documents.renewed('a')).toBe('a 1')
    expect(told().slice(1)).toEqual(['at a failed: broken, kept 0'])
    for (const _again of [1, 2]) {
      pass(limits.keysCooldownSeconds)
      expect(await documents.renewed('a')).toBeUndefined()
    }
    expect(told()).toEqual(['at a failed: broken, kept undefined'])
    answer('a', 'a 1')
    pass(limits.keysCooldownSeconds)
    await documents.renewed('a')
    // Nobody asked for longer than a day.
    answer('a', broken)
    pass(kept + 100)
    expect(await documents.renewed('a')).toBeUndefined()
    expect(told().slice(1)).toEqual(['at a recovered', 'at a failed: broken, kept undefined'])
  })

  test('ends the last one at once if it says that there is none any more', async () => {
    const { documents, asked, answer, pass, told } = open()
    await documents.renewed('a')
    answer('a', gone)
    pass(100)
    expect(await documents.renewed('a')).toBeUndefined()
    expect(told().slice(1)).toEqual(['at a failed: gone, kept undefined'])
    // It is no address any more that gave a good answer.
    pass(kept)
    expect(documents.remembered('a')).toBeUndefined()
    expect(asked).toHaveLength(2)
  })

  test('and never gave one is told of, or not, as it is asked for', async () => {
    for (const [tellsOfUnseen, expected] of [
      [true, ['at a failed: broken, kept undefined']],
      [false, []],
    ] as const) {
      const { documents, answer, pass, told } = open({ tellsOfUnseen })
      answer('a', broken)
      for (let round = 0; round < 3; round += 1) {
        expect(await documents.renewed('a')).toBeUndefined()
        pass(limits.keysRetrySeconds)
      }
      expect(told()).toEqual(expected)
      expect(documents.problemOf('a')).toBe('broken')
    }
  })
})

describe('what is remembered', () => {
  test('is asked for without fetching what was never good', async () => {
    const { documents, asked } = open()
    expect(documents.remembered('a')).toBeUndefined()
    await settle()
    expect(asked).toEqual([])
    await documents.renewed('a')
    expect(documents.remembered('a')).toBe('a 1')
  })

  test('is what was asked for last, as far as there is room', async () => {
    const { documents } = open()
    for (const address of ['a', 'b']) await documents.renewed(address)
    documents.now('a')
    await documents.renewed('c')
    expect([documents.now('a'), documents.now('c'), documents.now('b')]).toEqual(['a 1', 'c 1', undefined])
  })

  test('is not pushed out by addresses that were never good', async () => {
    const { documents, answer } = open()
    for (const address of ['a', 'b']) await documents.renewed(address)
    for (const address of ['x', 'y', 'z']) {
      answer(address, broken)
      await documents.renewed(address)
    }
    expect([documents.remembered('a'), documents.remembered('b')]).toEqual(['a 1', 'b 1'])
  })
})

test('whether an address may be fetched is asked until it gave a good answer, and not later', async () => {
  let may = false
  const { documents, asked, pass } = open({ mayBegin: () => may })
  expect(await documents.renewed('a')).toBeUndefined()
  expect(asked).toEqual([])
  may = true
  expect(await documents.renewed('a')).toBe('a 1')
  may = false
  pass(limits.keysCooldownSeconds)
  await documents.renewed('a')
  expect(asked).toEqual(['a', 'a'])
})

describe('a request that waits for a fetch', () => {
  afterEach(() => void vi.useRealTimers())

  test('is counted while it waits, and no more than so many wait', async () => {
    const { documents, hold } = open()
    let began = 0
    documents.whenWaiting = () => {
      began += 1
    }
    const release = hold()
    const waiting = [documents.renewed('a'), documents.renewed('a')]
    expect([began, documents.waiting]).toEqual([2, 2])
    expect(await documents.renewed('a')).toBeUndefined()
    expect(began).toBe(2)
    release()
    expect(await Promise.all(waiting)).toEqual(['a 1', 'a 1'])
    // No fetch is due now, so nobody waits.
    await documents.renewed('a')
    expect([began, documents.waiting]).toEqual([2, 0])
  })

  test('goes on without a document when it has waited long enough', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const { documents, hold } = open()
    const release = hold()
    const waiting = documents.renewed('a')
    await vi.advanceTimersByTimeAsync(limits.keysWaitMilliseconds)
    expect([await waiting, documents.waiting]).toEqual([undefined, 0])
    release()
    await settle()
    expect(documents.now('a')).toBe('a 1')
  })
})

describe('a JSON object', () => {
  test('is read', () => {
    expect(readMapping('{"keys":[]}')).toEqual({ keys: [] })
  })

  test.each(['null', '7', 'true', '"text"', '[]', '[{}]'])('is not %s', (text) => {
    expect(() => readMapping(text)).toThrow(new Error('its answer is no JSON object'))
  })

  test.each(['', '{', '{"a":1,"a":2}', `${'{"a":'.repeat(17)}1${'}'.repeat(17)}`])(
    'is not read alike by everybody: %s',
    (text) => {
      expect(() => readMapping(text)).toThrow(new Error('its answer is no JSON that everybody reads alike'))
    },
  )
})
