/**
 * The `jti` of a token (RFC 9068 §2.2) is a UUID of version 7 (RFC 9562 §5.7). Its first 48 bits are the time
 * of the token's record. A search for a token uses this time, so the ledger needs no index of ids.
 */

/** @param milliseconds since 1970. @param randomId a random UUID (version 4) that gives the other bits. */
export function tokenId(milliseconds: number, randomId: string): string {
  const time = milliseconds.toString(16).padStart(12, '0')
  return `${time.slice(0, 8)}-${time.slice(8)}-7${randomId.slice(15)}`
}

/** The time in an id, in milliseconds since 1970; undefined for a UUID of another version. */
export function millisecondsOf(tokenId: string): number | undefined {
  return tokenId[14] === '7' ? Number.parseInt(tokenId.slice(0, 8) + tokenId.slice(9, 13), 16) : undefined
}
