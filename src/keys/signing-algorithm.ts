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

/**
 * What the header of a token says that it is (`typ`, RFC 7515 §4.1.9): an access token (RFC 9068 §2.1), or any JWT
 * for relying services whose framework refuses that.
 */
export const tokenTyps = ['at+jwt', 'JWT'] as const
export type TokenTyp = (typeof tokenTyps)[number]
