/** Statistics of lists of numbers. The result for an empty list is NaN. */

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
}

/**
 * The smallest value that is not exceeded by the given share of all values (nearest rank).
 * @param sorted in ascending order.
 * @param share from 0 to 1.
 */
export function quantile(sorted: Float64Array, share: number): number {
  const rank = Math.max(1, Math.ceil(share * sorted.length))
  return sorted[rank - 1] ?? Number.NaN
}

/**
 * The ratios of two lists, pair by pair. The values of a pair were measured close in time, so drift cancels
 * out.
 */
export function ratios(upper: readonly number[], lower: readonly number[]): number[] {
  return upper.map((value, index) => value / (lower[index] ?? Number.NaN))
}

/**
 * The chance that a random value of the second list is larger than one of the first (Mann and Whitney): a half if the
 * lists cannot be told apart, 0 or 1 if every single value can. Ties count half.
 * @param first in ascending order, like the second.
 */
export function chanceOfLonger(first: Float64Array, second: Float64Array): number {
  let larger = 0
  let below = 0
  let upTo = 0
  for (const value of second) {
    while (below < first.length && (first[below] as number) < value) below += 1
    while (upTo < first.length && (first[upTo] as number) <= value) upTo += 1
    larger += (below + upTo) / 2
  }
  return larger / (first.length * second.length)
}
