/** The log of an outage says how it began, why, and that it is over: an operator waits for that line. */
import { Writable } from 'node:stream'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { OAuthError } from '../../src/refusals.ts'
import { databaseFaultLog } from '../../src/telemetry/database-faults.ts'
import { createLog } from '../../src/telemetry/log.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

function faultLog() {
  const events: { event: string; error?: { message: string } }[] = []
  const destination = new Writable({
    write(chunk, _encoding, done) {
      events.push(JSON.parse(String(chunk)))
      done()
    },
  })
  const clock = { nowSeconds: () => 0, nowMilliseconds: () => 0, monotonicMilliseconds: () => Date.now() }
  return { events, faults: databaseFaultLog(createLog('info', destination), clock) }
}

const names = (events: readonly { event: string }[]) => events.map(({ event }) => event)

test('a fault that nothing else heard of is over when it is quiet and all is well', () => {
  const { events, faults } = faultLog()
  let isWell = false
  faults.watch(() => isWell)
  faults.onFault(new Error('terminating connection due to administrator command'))
  vi.advanceTimersByTime(60_000)
  expect(names(events)).toEqual(['database_fault'])
  isWell = true
  vi.advanceTimersByTime(10_000)
  expect(names(events)).toEqual(['database_fault', 'database_back'])
  vi.advanceTimersByTime(60_000)
  expect(events).toHaveLength(2)
})

test('it is not over while faults come', () => {
  const { events, faults } = faultLog()
  faults.watch(() => true)
  for (let second = 0; second < 30; second += 5) {
    faults.onFault(new Error('the disk is full'))
    vi.advanceTimersByTime(5_000)
  }
  expect(new Set(names(events))).toEqual(new Set(['database_fault']))
})

test('the reason is that of the database, and not what a caller is told', () => {
  const { events, faults } = faultLog()
  faults.onFault(new OAuthError('registry_unavailable', { cause: new Error('too many clients') }))
  expect(events[0]?.error?.message).toBe('too many clients')
})
