import { isIP } from 'node:net'
import type { ClaimedText } from '../lib/claimed-text.ts'

/**
 * Where a request comes from, for records, logs and limits. Behind a trusted proxy that passes on what its caller wrote
 * into X-Forwarded-For, this may be any text.
 */
export function callerAddress(claimedText: ClaimedText, address: string | undefined): string {
  if (address === undefined) return 'unknown'
  const bare = withoutPort(address)
  return claimedText.keep(bare, isIP(bare) !== 0)
}

/** Some proxies write the port into X-Forwarded-For. With ports, each connection would count as a new address. */
function withoutPort(address: string): string {
  if (!address.includes(':')) return address
  return address.replace(/^(\d+\.\d+\.\d+\.\d+):\d+$/, '$1').replace(/^\[([\da-fA-F:.]+)\](?::\d+)?$/, '$1')
}
