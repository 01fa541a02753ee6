/** What tokens may be signed with (RFC 7518 §3.1, RFC 8037 §3.1): names that clients, keys and files share. */
export const signingAlgorithms = ['ES256', 'EdDSA', 'PS256', 'RS256'] as const

/** Each has generations of its own; all of them are published together. */
export type SigningAlgorithm = (typeof signingAlgorithms)[number]

export function isSigningAlgorithm(text: string): text is SigningAlgorithm {
  return signingAlgorithms.some((algorithm) => algorithm === text)
}
