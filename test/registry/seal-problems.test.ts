/** What is wrong is told once, named as long as it is wrong, and forgotten after a round that did not find it. */
import { expect, test } from 'vitest'
import { type SealProblem, SealProblems } from '../../src/registry/seal-problems.ts'

const problem = (id: string): SealProblem => ({ subject: 'workload', id, differences: ['unblocked'] })

/** Problems, with what was told: one text for each call. */
function following() {
  const told: string[] = []
  const problems = new SealProblems((found) => {
    told.push(found.map(({ subject, id, differences }) => [subject, id, ...differences].join(' ')).join(', '))
  })
  const ids = () => problems.all.map(({ id }) => id)
  return { problems, told, ids }
}

test('a problem of the trust table is told once, outlives every round, and is gone with the next table', () => {
  const { problems, told } = following()
  problems.noteTrust([problem('one')])
  problems.note('client', 'billing', ['status'])
  problems.tell()
  for (let round = 0; round < 3; round += 1) problems.endRound()
  expect(problems.all).toEqual([problem('one')])
  problems.noteTrust([problem('one'), problem('two')])
  problems.tell()
  expect(told).toEqual(['workload one unblocked, client billing status', 'workload two unblocked'])
  problems.noteTrust([])
  expect(problems.all).toEqual([])
})

test('a problem is told once, and again when something else is wrong', () => {
  const { problems, told, ids } = following()
  problems.note('client', 'billing', ['status'])
  problems.note('client', 'billing', ['status'])
  problems.tell()
  problems.note('client', 'billing', ['status'])
  problems.tell()
  problems.endRound()
  problems.note('client', 'billing', ['status'])
  problems.tell()
  expect(told).toEqual(['client billing status'])
  problems.note('client', 'billing', ['status', 'fapi'])
  // The same id of something else is something else.
  problems.note('resource', 'billing', ['status'])
  problems.tell()
  expect(told.slice(1)).toEqual(['client billing status fapi, resource billing status'])
  expect(problems.all).toEqual([
    { subject: 'client', id: 'billing', differences: ['status', 'fapi'] },
    { subject: 'resource', id: 'billing', differences: ['status'] },
  ])
  expect(ids()).toEqual(['billing', 'billing'])
})

test('a problem that a round did not find again is forgotten, and one that it found is not', () => {
  const { problems, ids } = following()
  problems.note('client', 'gone', ['status'])
  problems.note('client', 'stays', ['status'])
  expect(ids()).toEqual(['gone', 'stays'])
  problems.endRound()
  expect(ids(), 'one round is under way').toEqual(['gone', 'stays'])
  problems.note('client', 'stays', ['status'])
  problems.endRound()
  expect(ids()).toEqual(['stays'])
})

test('a problem is gone at once when its subject is read without a difference', () => {
  const { problems, told, ids } = following()
  problems.note('client', 'earlier', ['status'])
  problems.endRound()
  problems.note('client', 'now', ['status'])
  problems.tell()
  for (const id of ['earlier', 'now', 'other']) problems.note('client', id, [])
  expect(ids()).toEqual([])
  problems.note('client', 'now', ['status'])
  problems.tell()
  expect(told, 'what comes back is new').toEqual([
    'client earlier status, client now status',
    'client now status',
  ])
})

test('no more than a thousand are remembered, and those that are known are still followed', () => {
  const { problems, told, ids } = following()
  for (let number = 0; number < 1_005; number += 1) problems.note('client', `client ${number}`, ['status'])
  expect(ids()).toHaveLength(1_000)
  problems.endRound()
  problems.note('client', 'client 7', ['status'])
  problems.note('client', 'another', ['status'])
  problems.tell()
  expect(told.join()).not.toContain('another')
  problems.endRound()
  expect(ids()).toEqual(['client 7'])
  problems.noteTrust(Array.from({ length: 1_005 }, (_, number) => problem(`workload ${number}`)))
  expect(ids()).toHaveLength(1_001)
})
