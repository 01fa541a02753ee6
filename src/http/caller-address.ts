import { isIP } from 'node:net'
import type { ClaimedText } from '../lib/claimed-text.ts'
import { networkContains, parseNetwork } from '../lib/network.ts'
import { proxySocketAddress } from './proxy-socket.ts'

/**
 * Where a request comes from, for records, logs and limits. Behind a trusted proxy that passes on what its caller wrote
 * into X-Forwarded-For, this may be any text.
 */
export function callerAddress(claimedText: ClaimedText, address: string | undefined): string {
  if (address === undefined) return 'unknown'
  const bare = withoutPort(address)
  return claimedText.keep(bare, isIP(bare) !== 0)
}

/**
 * Whose X-Forwarded-For counts, as Fastify asks for it: for the connection itself (hop 0), then from right to left for what
 * is written in the header, where anybody can write anything.
 */
export function trustedProxies({
  trustedProxies,
  proxySocket,
}: {
  readonly trustedProxies: readonly string[]
  readonly proxySocket: string | undefined
}): false | ((address: string, hop: number) => boolean) {
  if (trustedProxies.length === 0 && proxySocket === undefined) return false
  const networks = trustedProxies.map(parseNetwork)
  return (address, hop) => (hop === 0 && address === proxySocketAddress) || networkContains(networks, address)
}

/** Some proxies write the port into X-Forwarded-For. With ports, each connection would count as a new address. */
function withoutPort(address: string): string {
  if (!address.includes(':')) return address
  return address.replace(/^(\d+\.\d+\.\d+\.\d+):\d+$/, '$1').replace(/^\[([\da-fA-F:.]+)\](?::\d+)?$/, '$1')
}
