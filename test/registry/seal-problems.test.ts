/** What is wrong with the trust table stays named for as long as it is wrong, although the table is read once. */
import { expect, test } from 'vitest'
import { type SealProblem, SealProblems } from '../../src/registry/seal-problems.ts'

const problem = (id: string): SealProblem => ({ subject: 'workload', id, differences: ['unblocked'] })

test('a problem of the trust table is told once, outlives every round, and is gone with the next table', () => {
  const told: SealProblem[] = []
  const problems = new SealProblems((found) => told.push(...found))
  problems.noteTrust([problem('one')])
  problems.note('client', 'billing', ['status'])
  problems.tell()
  for (let round = 0; round < 3; round += 1) problems.endRound()
  expect(problems.all).toEqual([problem('one')])
  problems.noteTrust([problem('one'), problem('two')])
  problems.tell()
  expect(told.map(({ id }) => id)).toEqual(['one', 'billing', 'two'])
  problems.noteTrust([])
  expect(problems.all).toEqual([])
})
