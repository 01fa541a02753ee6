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

/**
 * The version in a row. Only triggers write it. One that somebody wrote by hand and that has no exact number here is never
 * taken over: nothing could be compared with it, also not after it was put right.
 */
export function readVersion(text: string): number {
  const version = Number(text)
  if (Number.isSafeInteger(version)) return version
  throw new Error(`registry_version has a version that no trigger wrote: ${text}`)
}
