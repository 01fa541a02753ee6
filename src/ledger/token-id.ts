/**
 * The `jti` of a token (RFC 9068 §2.2): a UUID of version 7 (RFC 9562 §5.7), whose first 48 bits are the time of its
 * record. So a record is found by the time in its token's id, and the ledger needs no index of ids.
 */

/** @param randomId a random UUID (version 4), whose other bits it keeps. */
export function tokenId(milliseconds: number, randomId: string): string {
  const time = milliseconds.toString(16).padStart(12, '0')
  return `${time.slice(0, 8)}-${time.slice(8)}-7${randomId.slice(15)}`
}

/** The time in an id, in milliseconds since 1970; undefined for a UUID of another version, which has none. */
export function millisecondsOf(tokenId: string): number | undefined {
  return tokenId[14] === '7' ? Number.parseInt(tokenId.slice(0, 8) + tokenId.slice(9, 13), 16) : undefined
}
