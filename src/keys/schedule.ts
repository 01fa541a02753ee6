/**
 * A key's state is a function of its moments and of now, never a stored flag. Times in seconds since 1970.
 */
export interface KeyMoments {
  readonly publishedAt: number
  readonly signsFrom: number
  readonly signsUntil: number | undefined
  readonly publishedUntil: number | undefined
  readonly revokedAt: number | undefined
}

export type KeyState = 'waiting' | 'published' | 'signing' | 'retiring' | 'removed' | 'revoked'

export function keyState(key: KeyMoments, now: number): KeyState {
  if (key.revokedAt !== undefined && key.revokedAt <= now) return 'revoked'
  if (now < key.publishedAt) return 'waiting'
  if (key.publishedUntil !== undefined && key.publishedUntil <= now) return 'removed'
  if (now < key.signsFrom) return 'published'
  return key.signsUntil !== undefined && key.signsUntil <= now ? 'retiring' : 'signing'
}

export function isPublished(key: KeyMoments, now: number): boolean {
  const state = keyState(key, now)
  return state === 'published' || state === 'signing' || state === 'retiring'
}

/** The key that signs: of those that may, the latest generation. */
export function signingKeyAt<Key extends KeyMoments & { generation: number }>(
  keys: readonly Key[],
  now: number,
): Key | undefined {
  let latest: Key | undefined
  for (const key of keys) {
    if (keyState(key, now) === 'signing' && (latest === undefined || key.generation > latest.generation))
      latest = key
  }
  return latest
}
