/**
 * The networks a client may call from: IPv4 and IPv6, in CIDR notation (RFC 4632 §3.1, RFC 4291 §2.3) or as
 * single addresses. A socket that listens on both families reports an IPv4 caller as ::ffff:10.0.0.1
 * (RFC 4291 §2.5.5.2), so such an address is read as the IPv4 address it carries, everywhere.
 *
 * ipaddr.js reads and compares. It also accepts what programs read in different ways (010.0.0.1 is 8.0.0.1 to some),
 * so Node is asked first whether a text is an address at all.
 */
import { isIP } from 'node:net'
import ipaddr, { type IPv4, type IPv6 } from 'ipaddr.js'

export interface Network {
  /** The lowest address of the network. */
  readonly address: IPv4 | IPv6
  readonly prefixLength: number
}

/** Throws an Error whose message says what to write instead. */
export function parseNetwork(text: string): Network {
  const [addressText = '', prefixText, ...rest] = text.split('/')
  const written = rest.length === 0 ? readAddress(addressText) : undefined
  if (written === undefined) {
    throw new Error(
      `${JSON.stringify(text)} is not a network. Write an address like 10.0.0.7 or 2001:db8::7, or a network ` +
        'like 10.0.0.0/8 or 2001:db8::/32, without leading zeros in IPv4 and without a zone.',
    )
  }
  const bits = written.kind() === 'ipv4' ? 32 : 128
  const prefixLength = prefixText === undefined ? bits : Number(prefixText)
  if (prefixText !== undefined && (!/^(?:0|[1-9][0-9]{0,2})$/.test(prefixText) || prefixLength > bits)) {
    throw new Error(`The prefix length of ${JSON.stringify(text)} must be a number from 0 to ${bits}.`)
  }
  const lowest = networkAddress(written, prefixLength)
  if (lowest.toString() !== written.toString()) {
    throw new Error(
      `${JSON.stringify(text)} has bits set below its prefix. Write ${lowest}/${prefixLength} for the network, ` +
        `or ${addressText} for the one address.`,
    )
  }
  const address = unmapped(lowest)
  // The prefix of an IPv4-mapped network covers the mark ffff: a shorter one was refused above.
  return { address, prefixLength: address === lowest ? prefixLength : prefixLength - 96 }
}

/**
 * Whether any of the networks holds the address. No networks hold nothing: that a client without networks
 * may call from everywhere is for the caller to say. What is not an address is in no network.
 */
export function networkContains(networks: readonly Network[], address: string): boolean {
  const caller = readCaller(address)
  return caller !== undefined && networks.some((network) => holds(network, caller))
}

/** Whether every address of a network is in another one. */
export function networkWithin(inner: Network, outer: Network): boolean {
  return inner.prefixLength >= outer.prefixLength && holds(outer, inner.address)
}

/**
 * Which addresses count as one caller. One household or host has a whole /64 of IPv6 addresses; it counts as one.
 * What is not an address counts by itself.
 */
export function callerNetwork(address: string): string {
  const caller = readCaller(address)
  if (caller === undefined) return address
  return isIPv6(caller) ? `${networkAddress(caller, 64)}/64` : caller.toString()
}

/** The zone of a link-local caller names an interface of this machine, not where the caller is. */
function readCaller(address: string): IPv4 | IPv6 | undefined {
  const zone = address.indexOf('%')
  const read = readAddress(zone === -1 ? address : address.slice(0, zone))
  return read === undefined ? undefined : unmapped(read)
}

function readAddress(text: string): IPv4 | IPv6 | undefined {
  if (isIP(text) === 0 || text.includes('%')) return undefined
  // ipaddr.js takes ::10.0.0.1 for ::ffff:10.0.0.1. It is another address (RFC 4291 §2.5.5.1), and not in 10.0.0.0/8.
  return ipaddr.parse(text.replace(/^::(?=\d+\.)/, '::0:'))
}

function unmapped(address: IPv4 | IPv6): IPv4 | IPv6 {
  return isIPv6(address) && address.isIPv4MappedAddress() ? address.toIPv4Address() : address
}

function holds({ address, prefixLength }: Network, caller: IPv4 | IPv6): boolean {
  if (isIPv6(address)) return isIPv6(caller) && caller.match(address, prefixLength)
  return !isIPv6(caller) && caller.match(address, prefixLength)
}

function networkAddress(address: IPv4 | IPv6, prefixLength: number): IPv4 | IPv6 {
  const { IPv4, IPv6 } = ipaddr
  return (isIPv6(address) ? IPv6 : IPv4).networkAddressFromCIDR(`${address}/${prefixLength}`)
}

function isIPv6(address: IPv4 | IPv6): address is IPv6 {
  return address.kind() === 'ipv6'
}

/**
 * An address as its bytes in hex; undefined if it is not an address. An IPv4 address within IPv6 stays an IPv6 address.
 */
export function addressBytes(text: string): string | undefined {
  const address = readAddress(text)
  return address === undefined ? undefined : Buffer.from(address.toByteArray()).toString('hex')
}

/** Whether a text is an address or a network. */
export function isNetwork(text: string): text is string {
  try {
    return parseNetwork(text).prefixLength >= 0
  } catch {
    return false
  }
}

/**
 * Whether a text is an address or a network that does not contain all addresses. If every caller counted as a
 * trusted proxy, every caller could claim any address.
 */
export function isLimitedNetwork(text: string): text is string {
  try {
    return parseNetwork(text).prefixLength > 0
  } catch {
    return false
  }
}

/** Whether a text is a name or an address to listen on. An IPv6 address may have a zone. */
export function isHost(text: string): boolean {
  return /^[\w.-]{1,253}$/.test(text) || isIP(text) === 6
}
