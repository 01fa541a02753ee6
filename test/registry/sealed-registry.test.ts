/** Whether a process judges rows at all, and that what it finds is told and named in one place. */
import { setImmediate } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { openSealedRegistry } from '../../src/registry/sealed-registry.ts'
import { clientRow, key, SealedRows, sealedClient } from '../support/sealed-rows.ts'

beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }))
afterEach(() => void vi.useRealTimers())

const billing = clientRow('billing')

function opening(rows: SealedRows, isSealed: boolean) {
  const told: string[] = []
  const faults: unknown[] = []
  const opened = openSealedRegistry(isSealed, {
    reads: rows.reads,
    keyEncryptionKeys: async () => [key],
    onFound: (problems) =>
      told.push(...problems.map(({ id, differences }) => `${id}: ${differences.join()}`)),
    onFault: (error) => faults.push(error),
  })
  return { opened, told, faults }
}

const second = async () => {
  vi.advanceTimersByTime(1_000)
  await setImmediate()
}

test('a registry that is not sealed has no guard, asks nothing of the seal and finds nothing', async () => {
  const rows = new SealedRows()
  rows.clients = [billing]
  const { opened, told, faults } = opening(rows, false)
  const { guard, watch } = await opened
  expect(guard).toBeUndefined()
  let asked = 0
  const registry = {
    inspect: async () => {
      asked += 1
    },
    trust: () => Promise.reject(new Error('nobody asks')),
  }
  const { problems, close } = watch(registry)
  await second()
  expect([asked, problems.all, told, faults]).toEqual([0, [], [], []])
  await close()
})

test('a sealed registry without a head does not open when anything is registered', async () => {
  const rows = new SealedRows()
  rows.clients = [billing]
  await expect(opening(rows, true).opened).rejects.toMatchObject({ code: 'registry_seal_missing' })
})

test('what a request finds and what nobody asks for is told once, and named until a round does not find it', async () => {
  const rows = new SealedRows().register(sealedClient(billing))
  rows.clients = [billing, clientRow('asked'), clientRow('quiet')]
  const { opened, told, faults } = opening(rows, true)
  const { guard, watch } = await opened
  const inspect = async (ids: readonly string[]) => void (await guard?.read(ids))?.believe()
  const trust = async () => {
    const table = (await guard?.readTrust())?.believe()
    return table ?? { issuers: new Map(), blocked: new Set<string>(), resources: new Map() }
  }
  const { problems, close } = watch({ inspect, trust })
  const ids = () => problems.all.map(({ id }) => id)
  await inspect(['billing', 'asked'])
  expect([ids(), told]).toEqual([['asked'], ['asked: unregistered']])
  await second()
  expect([ids(), told]).toEqual([
    ['asked', 'quiet'],
    ['asked: unregistered', 'quiet: unregistered'],
  ])
  rows.clients = [billing, clientRow('asked')]
  await second()
  await second()
  expect([ids(), told]).toEqual([['asked'], ['asked: unregistered', 'quiet: unregistered']])
  expect(faults).toEqual([])
  await close()
  rows.clients = [billing, clientRow('asked'), clientRow('later')]
  await second()
  expect(ids(), 'nothing is looked at any more').toEqual(['asked'])
})

test('a fault of a look is told', async () => {
  const { opened, faults } = opening(new SealedRows(), true)
  const { watch } = await opened
  const error = new Error('the database is away')
  const { close } = watch({ inspect: () => Promise.reject(error), trust: () => Promise.reject(error) })
  await second()
  expect(faults).toEqual([error])
  await close()
})
