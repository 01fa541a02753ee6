/**
 * The networks a client may call from: IPv4 and IPv6, in CIDR notation (RFC 4632 §3.1, RFC 4291 §2.3) or as
 * single addresses. A socket that listens on both families reports an IPv4 caller as ::ffff:10.0.0.1
 * (RFC 4291 §2.5.5.2), so such an address is read as the IPv4 address it carries, everywhere.
 */
import { isIPv4, isIPv6 } from 'node:net'

export interface Network {
  readonly family: 4 | 6
  /** The bits all addresses of the network share, as a number. */
  readonly prefix: bigint
  /** How many bits are free below the prefix: none for a single address. */
  readonly hostBits: bigint
}

interface Address {
  readonly family: 4 | 6
  readonly value: bigint
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
  const writtenBits = written.family === 4 ? 32 : 128
  const prefixBits = prefixText === undefined ? writtenBits : Number(prefixText)
  if (prefixText !== undefined && (!/^(?:0|[1-9][0-9]{0,2})$/.test(prefixText) || prefixBits > writtenBits)) {
    throw new Error(`The prefix length of ${JSON.stringify(text)} must be a number from 0 to ${writtenBits}.`)
  }
  const hostBits = BigInt(writtenBits - prefixBits)
  const host = written.value & ((1n << hostBits) - 1n)
  if (host !== 0n) {
    const network = addressToText({ family: written.family, value: written.value - host })
    throw new Error(
      `${JSON.stringify(text)} has bits set below its prefix. Write ${network}/${prefixBits} for the network, ` +
        `or ${addressText} for the one address.`,
    )
  }
  // Of an IPv4-mapped network the host bits lie within the IPv4 part: were they more, the mark ffff would
  // have been among them, and refused above.
  const { family, value } = unmapped(written)
  return { family, prefix: value >> hostBits, hostBits }
}

/**
 * Whether any of the networks holds the address. No networks hold nothing: that a client without networks
 * may call from everywhere is for the caller to say. What is not an address is in no network.
 */
export function networkContains(networks: readonly Network[], address: string): boolean {
  const zone = address.indexOf('%')
  // The zone of a link-local caller names an interface of this machine, not where the caller is.
  const read = readAddress(zone === -1 ? address : address.slice(0, zone))
  if (read === undefined) return false
  const { family, value } = unmapped(read)
  return networks.some((network) => network.family === family && value >> network.hostBits === network.prefix)
}

function readAddress(text: string): Address | undefined {
  if (isIPv4(text)) return { family: 4, value: readIPv4(text) }
  if (isIPv6(text) && !text.includes('%')) return { family: 6, value: readIPv6(text) }
  return undefined
}

function readIPv4(text: string): bigint {
  return BigInt(text.split('.').reduce((value, octet) => value * 256 + Number(octet), 0))
}

/** Only for what `isIPv6` accepted: there is at most one `::`, and a dotted part only at the end. */
function readIPv6(text: string): bigint {
  const [head = '', tail] = text.split('::')
  const before = readGroups(head)
  const after = readGroups(tail ?? '')
  const zeros = new Array<bigint>(8 - before.length - after.length).fill(0n)
  return [...before, ...zeros, ...after].reduce((value, group) => (value << 16n) | group, 0n)
}

function readGroups(text: string): bigint[] {
  if (text === '') return []
  return text.split(':').flatMap((group) => {
    if (!group.includes('.')) return [BigInt(`0x${group}`)]
    const dotted = readIPv4(group)
    return [dotted >> 16n, dotted & 0xffffn]
  })
}

function unmapped(address: Address): Address {
  if (address.family === 6 && address.value >> 32n === 0xffffn) {
    return { family: 4, value: address.value & 0xffff_ffffn }
  }
  return address
}

/** For messages: correct, and as short as it is without `::`. */
function addressToText({ family, value }: Address): string {
  const partBits = family === 4 ? 8n : 16n
  const parts: string[] = []
  for (let shift = family === 4 ? 24n : 112n; shift >= 0n; shift -= partBits) {
    parts.push(BigInt.asUintN(Number(partBits), value >> shift).toString(family === 4 ? 10 : 16))
  }
  return parts.join(family === 4 ? '.' : ':')
}
