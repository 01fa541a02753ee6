import { limits } from '../limits.ts'

/** A valid secret that ends within the longest time of warning. Moments in seconds since 1970. */
export interface EndingSecret {
  readonly secretId: string
  readonly clientId: string
  readonly createdAt: number
  readonly expiresAt: number
  /** Since when another one takes its place. */
  readonly replacedAt: number | undefined
  readonly lastUsedAt: number | undefined
  /** Whether the client has another secret or key that is valid for longer. */
  readonly hasLater: boolean
}

/**
 * Whether somebody has to hear of the end of a secret. Pure.
 *
 * A secret that is being replaced ends on purpose, and one that nobody uses harms nobody. So it is worth a warning only
 * when it is used until shortly before its end, or when nothing is valid for longer.
 */
export function isWorthWarning(secret: EndingSecret, now: number): boolean {
  const { createdAt, expiresAt, replacedAt, lastUsedAt, hasLater } = secret
  const windowSeconds = Math.min(limits.secretWarningSeconds, (expiresAt - (replacedAt ?? createdAt)) / 3)
  if (expiresAt <= now || expiresAt - now > windowSeconds) return false
  if (!hasLater) return true
  return lastUsedAt !== undefined && lastUsedAt > Math.max(now - windowSeconds, replacedAt ?? 0)
}
