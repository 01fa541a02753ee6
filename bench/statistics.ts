/** Small statistics on lists of numbers. An empty list has none: NaN. */

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
}

/**
 * The value that a share of all others does not exceed (nearest rank).
 * @param sorted in ascending order.
 * @param share from 0 to 1.
 */
export function quantile(sorted: Float64Array, share: number): number {
  const rank = Math.max(1, Math.ceil(share * sorted.length))
  return sorted[rank - 1] ?? Number.NaN
}

/** The ratios of two lists, pair by pair: neighbours in time, so that what drifts with the machine cancels out. */
export function ratios(upper: readonly number[], lower: readonly number[]): number[] {
  return upper.map((value, index) => value / (lower[index] ?? Number.NaN))
}
