/**
 * Base64url without padding (RFC 7515 §2). Buffer skips characters that are not of the alphabet, takes the other alphabet
 * as well and drops trailing bits, so only the one text that the bytes encode to counts.
 */
export function base64urlDecoded(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64url')
  return bytes.toString('base64url') === text ? bytes : undefined
}
