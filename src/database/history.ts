/**
 * Whether a version of the registry cannot have come after another one. A version is a counter with a tail of twenty
 * random bits, so the same counter with another tail belongs to another history: a failover lost the last changes, or a
 * backup was restored.
 */
export function isBehind(version: number, other: number): boolean {
  return version !== other && Math.floor(version / 2 ** 20) <= Math.floor(other / 2 ** 20)
}

/** Thrown when something was read that is older than what is known already. The connection is not to be trusted. */
export class BehindError extends Error {
  override readonly name = 'BehindError'
}
