import { generateSecret, secretMatches } from '../src/authentication/secret-hash.ts'
import { median } from './statistics.ts'

const hashesTimed = 10

/**
 * The time of one verification of a real hash on this machine now. The verifications run one after another.
 */
export async function medianHashMilliseconds(): Promise<number> {
  const { secret, hash } = await generateSecret()
  const taken: number[] = []
  for (let number = 0; number < hashesTimed; number += 1) {
    const before = performance.now()
    await secretMatches(hash, secret)
    taken.push(performance.now() - before)
  }
  return median(taken)
}
