import { limits } from '../limits.ts'

/** A valid secret that ends within the longest time of warning. Moments in seconds since 1970. */
export interface EndingSecret {
  readonly secretId: string
  readonly clientId: string
  readonly createdAt: number
  readonly expiresAt: number
  /** Since when another secret replaces it. */
  readonly replacedAt: number | undefined
  readonly lastUsedAt: number | undefined
  /** Whether the client has another secret or key that is valid for longer. */
  readonly hasLater: boolean
}

/**
 * Whether the service warns about the end of a secret. Pure.
 *
 * A secret that is being replaced ends on purpose, and the end of an unused secret harms nobody. So the service warns
 * only if the secret is used until shortly before its end, or if nothing else is valid for longer.
 */
export function isWorthWarning(secret: EndingSecret, now: number): boolean {
  const { createdAt, expiresAt, replacedAt, lastUsedAt, hasLater } = secret
  const windowSeconds = Math.min(limits.secretWarningSeconds, (expiresAt - (replacedAt ?? createdAt)) / 3)
  if (expiresAt <= now || expiresAt - now > windowSeconds) return false
  if (!hasLater) return true
  return lastUsedAt !== undefined && lastUsedAt > Math.max(now - windowSeconds, replacedAt ?? 0)
}
