/** What is noted beside the path of a request is written now and then. A database that is away loses none of it. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { openClientKeyUses } from '../../src/authentication/client-key-use-store.ts'
import { openClientUses } from '../../src/authentication/client-use-store.ts'
import { openSecretUses } from '../../src/authentication/secret-use-store.ts'
import { openWorkloadUses } from '../../src/authentication/workload-use-store.ts'
import type { Statements } from '../../src/database/open.ts'
import { openVerifiers } from '../../src/keys/verifier-store.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const away = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })

const intervalMax = 30_000
const time = 1_800_000_000_000

type Open = (database: Statements, onFault: (error: unknown) => void) => { close(): Promise<void> }

const stores: readonly [string, Open, (notes: never, name: string, time: number) => void][] = [
  ['clients', openClientUses, note<typeof openClientUses>((notes, name, at) => notes.note(name, at))],
  [
    'keys of clients',
    openClientKeyUses,
    note<typeof openClientKeyUses>((notes, name, at) =>
      notes.note({ clientId: 'billing', thumbprint: name, time: at, audience: 'issuer' }),
    ),
  ],
  [
    'workloads',
    openWorkloadUses,
    note<typeof openWorkloadUses>((notes, name, at) =>
      notes.note({ workloadId: name, issuer: 'i', subject: 's', rule: 'r', time: at }),
    ),
  ],
  [
    'secrets',
    openSecretUses,
    note<typeof openSecretUses>((notes, name, at) => notes.note(name, { time: at })),
  ],
  [
    'verifiers',
    openVerifiers,
    note<typeof openVerifiers>((notes, name, at) =>
      notes.note({ name, address: '192.0.2.1', userAgent: undefined, kids: [], time: at }),
    ),
  ],
]

function note<Opener extends Open>(work: (notes: ReturnType<Opener>, name: string, time: number) => void) {
  return work as (notes: never, name: string, time: number) => void
}

/** A database that answers each statement when the test says so. */
function slowDatabase() {
  const written: string[] = []
  const answers: PromiseWithResolvers<unknown>[] = []
  const run = (_: TemplateStringsArray, ...values: unknown[]) => {
    const answer = Promise.withResolvers<unknown>()
    written.push(String(values.find((value) => typeof value === 'string' && value.startsWith('[')) ?? ''))
    answers.push(answer)
    return answer.promise
  }
  const statements = {
    $queryRaw: async (...given: Parameters<typeof run>) => (await run(...given)) ?? [],
    $executeRaw: run,
  } as unknown as Statements
  return { statements, written, answers }
}

describe.each(stores)('%s', (_, open, add) => {
  test('a close waits for the write under way, and writes again what that one lost', async () => {
    const { statements, written, answers } = slowDatabase()
    const faults: unknown[] = []
    const notes = open(statements, (error) => faults.push(error))
    add(notes as never, 'first', time)
    await vi.advanceTimersByTimeAsync(intervalMax)
    expect(written).toEqual([expect.stringContaining('first')])
    const closed = notes.close()
    await vi.advanceTimersByTimeAsync(0)
    expect(written, 'one at a time').toHaveLength(1)
    answers[0]?.reject(away)
    await vi.advanceTimersByTimeAsync(0)
    expect(faults).toEqual([away])
    expect(written[1]).toContain('first')
    for (let at = 1; at < 4; at += 1) {
      answers[at]?.resolve(undefined)
      await vi.advanceTimersByTimeAsync(0)
    }
    await closed
  })

  test('a write that failed is repeated with the next one, and takes nothing back that came since', async () => {
    const { statements, written, answers } = slowDatabase()
    const notes = open(statements, () => {})
    add(notes as never, 'first', time)
    add(notes as never, 'second', time)
    await vi.advanceTimersByTimeAsync(intervalMax)
    add(notes as never, 'second', time + 1)
    answers[0]?.reject(away)
    await vi.advanceTimersByTimeAsync(intervalMax)
    expect(written).toHaveLength(2)
    expect(written[1]).toContain('first')
    expect(written[1]).toContain(String(time + 1))
  })
})

test('fetches that the database refuses are dropped, and hinder no later ones', async () => {
  const { statements, written, answers } = slowDatabase()
  const verifiers = openVerifiers(statements, () => {})
  const fetched = { address: '192.0.2.1', userAgent: undefined, kids: [], time }
  verifiers.note({ ...fetched, name: 'first' })
  const refused = expect(verifiers.writeNow()).rejects.toThrow('invalid')
  await vi.advanceTimersByTimeAsync(0)
  answers[0]?.reject(Object.assign(new Error('invalid byte sequence'), { code: '22021' }))
  await refused
  verifiers.note({ ...fetched, name: 'second' })
  void verifiers.writeNow()
  await vi.advanceTimersByTimeAsync(0)
  expect(written[1]).toContain('second')
  expect(written[1]).not.toContain('first')
})
