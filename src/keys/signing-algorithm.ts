/**
 * The algorithms that may sign tokens (RFC 7518 §3.1, RFC 8037 §3.1). Resources, keys and seed files use
 * these names.
 */
export const signingAlgorithms = ['ES256', 'EdDSA', 'PS256', 'RS256'] as const

/** Each algorithm has its own generations of keys. The keys of all algorithms are published together. */
export type SigningAlgorithm = (typeof signingAlgorithms)[number]

export function isSigningAlgorithm(text: string): text is SigningAlgorithm {
  return signingAlgorithms.some((algorithm) => algorithm === text)
}
