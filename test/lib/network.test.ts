/** A network is what its notation says, to the bit, and IPv4 is IPv4 however the socket reports it. */
import { BlockList, isIP, isIPv6 } from 'node:net'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { callerNetwork, networkContains, parseNetwork } from '../../src/lib/network.ts'

const contains = (network: string, address: string): boolean =>
  networkContains([parseNetwork(network)], address)

describe('parseNetwork', () => {
  test.each([
    ['10.0.0.0/8', '10.0.0.0/8'],
    ['0.0.0.0/0', '0.0.0.0/0'],
    ['255.255.255.255/32', '255.255.255.255/32'],
    ['192.0.2.7', '192.0.2.7/32'],
    ['::/0', '::/0'],
    ['::1', '::1/128'],
    ['2001:db8::/32', '2001:db8::/32'],
    ['2001:0DB8:0::/32', '2001:db8::/32'],
    ['1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7:8/128'],
    ['64:ff9b::192.0.2.0/120', '64:ff9b::c000:200/120'],
  ])('%s is %s', (text, network) => {
    const { address, prefixLength } = parseNetwork(text)
    expect(`${address}/${prefixLength}`).toBe(network)
  })

  test.each([
    ['::ffff:10.0.0.0/104', '10.0.0.0/8'],
    ['::ffff:a00:0/104', '10.0.0.0/8'],
    ['::ffff:10.1.2.3', '10.1.2.3'],
    ['::FFFF:0:0/96', '0.0.0.0/0'],
  ])('%s is %s (RFC 4291 §2.5.5.2)', (mapped, plain) => {
    expect(parseNetwork(mapped)).toEqual(parseNetwork(plain))
  })

  test.each([
    [''],
    ['/'],
    ['/8'],
    ['example.com'],
    ['10.0.0'],
    ['10'],
    ['10.0.0.0.0'],
    ['10.0.0.256'],
    ['010.0.0.1'],
    ['10.0.0.01'],
    ['0x0a.0.0.1'],
    [' 10.0.0.1'],
    ['10.0.0.1 '],
    ['10.0.0.1\n'],
    ['10.0.0.0/8/8'],
    ['10.0.0.0-10.0.0.9'],
    ['10.0.0.*'],
    ['fe80::1%eth0'],
    ['fe80::%1/64'],
    ['::1::'],
    ['1:2:3'],
    ['12345::'],
    ['[::1]'],
    ['::ffff:10.0.0.01'],
    ['１0.0.0.1'],
  ])('%j is not a network', (text) => {
    expect(() => parseNetwork(text)).toThrow(/is not a network\. Write an address like/)
  })

  test.each([
    ['10.0.0.0/', 32],
    ['10.0.0.0/33', 32],
    ['10.0.0.0/08', 32],
    ['10.0.0.0/00', 32],
    ['10.0.0.0/-1', 32],
    ['10.0.0.0/+8', 32],
    ['10.0.0.0/8.0', 32],
    ['10.0.0.0/1e1', 32],
    ['10.0.0.0/ 8', 32],
    ['10.0.0.0/8\n', 32],
    ['10.0.0.0/255.0.0.0', 32],
    ['::/129', 128],
    ['::/0x40', 128],
  ])('%j has no prefix length', (text, most) => {
    expect(() => parseNetwork(text)).toThrow(`must be a number from 0 to ${most}.`)
  })

  test.each([
    ['10.0.0.1/8', '10.0.0.0/8'],
    ['192.0.2.129/25', '192.0.2.128/25'],
    ['0.0.0.1/0', '0.0.0.0/0'],
    ['2001:db8::1/32', '2001:db8::/32'],
    ['::1/0', '::/0'],
    ['::ffff:10.0.0.1/104', '::ffff:a00:0/104'],
    // The mark of a mapped address is itself below such a prefix.
    ['::ffff:0:0/95', '::fffe:0:0/95'],
  ])('%s has bits below its prefix', (text, instead) => {
    expect(() => parseNetwork(text)).toThrow(
      `has bits set below its prefix. Write ${instead} for the network`,
    )
  })
})

describe('networkContains', () => {
  test.each([
    ['10.0.0.0/8', '10.0.0.0', true],
    ['10.0.0.0/8', '10.255.255.255', true],
    ['10.0.0.0/8', '11.0.0.0', false],
    ['10.0.0.0/8', '9.255.255.255', false],
    ['192.0.2.7', '192.0.2.7', true],
    ['192.0.2.7', '192.0.2.8', false],
    ['0.0.0.0/0', '255.255.255.255', true],
    ['128.0.0.0/1', '255.0.0.1', true],
    ['128.0.0.0/1', '127.255.255.255', false],
    ['10.0.0.0/8', '::ffff:10.0.0.1', true],
    ['10.0.0.0/8', '::FFFF:a00:1', true],
    ['10.0.0.0/8', '0:0:0:0:0:ffff:10.0.0.1', true],
    ['10.0.0.0/8', '::ffff:11.0.0.1', false],
    ['10.0.0.0/8', '::10.0.0.1', false],
    ['10.0.0.0/8', '64:ff9b::10.0.0.1', false],
    ['::ffff:10.0.0.0/104', '10.0.0.1', true],
    ['2001:db8::/32', '2001:db8:ffff::1', true],
    ['2001:db8::/32', '2001:db9::', false],
    ['2001:db8::/33', '2001:db8:8000::', false],
    ['::1', '::1', true],
    ['::1', '127.0.0.1', false],
    ['fe80::/10', 'fe80::1%eth0', true],
    ['::/0', '::', true],
    // IPv4 callers are IPv4, so no IPv6 network holds them, and no IPv4 network holds IPv6.
    ['::/0', '10.0.0.1', false],
    ['::/0', '::ffff:10.0.0.1', false],
    ['0.0.0.0/0', '::1', false],
  ])('%s, %s: %s', (network, address, expected) => {
    expect(contains(network, address)).toBe(expected)
  })

  test.each([
    '',
    'localhost',
    '10.0.0',
    '010.0.0.1',
    '10.0.0.1:443',
    '[::1]',
    '10.0.0.1/8',
    '%',
    '10.0.0.1 ',
  ])('%j, which is not an address, is nowhere', (address) => {
    expect(networkContains([parseNetwork('0.0.0.0/0'), parseNetwork('::/0')], address)).toBe(false)
  })

  test('any of several networks is enough, and none is not', () => {
    const networks = ['192.0.2.0/24', '2001:db8::/32'].map(parseNetwork)
    expect(networkContains(networks, '192.0.2.1')).toBe(true)
    expect(networkContains(networks, '2001:db8::1')).toBe(true)
    expect(networkContains(networks, '198.51.100.1')).toBe(false)
    expect(networkContains([], '192.0.2.1')).toBe(false)
  })

  /** Node's own list is the second opinion; the number of shared bits makes near misses frequent. */
  test.each([
    ['ipv4', 32],
    ['ipv6', 128],
  ] as const)('agrees with net.BlockList on %s', (family, bits) => {
    const most = (1n << BigInt(bits)) - 1n
    // The first group is kept out of ::/16, where mapped and other special addresses live.
    const floor = family === 'ipv6' ? 1n << 112n : 0n
    const value = fc.bigInt({ min: floor, max: most })
    fc.assert(
      fc.property(value, fc.nat({ max: bits }), fc.nat({ max: bits - 1 }), (address, prefixBits, flipped) => {
        const hostBits = BigInt(bits - prefixBits)
        const network = (address >> hostBits) << hostBits
        const near = address ^ (1n << BigInt(flipped))
        const blockList = new BlockList()
        blockList.addSubnet(asText(network, family), prefixBits, family)
        const ours = [parseNetwork(`${asText(network, family)}/${prefixBits}`)]
        for (const candidate of [address, near]) {
          if (candidate < floor) continue
          const candidateText = asText(candidate, family)
          expect(networkContains(ours, candidateText)).toBe(blockList.check(candidateText, family))
        }
        expect(networkContains(ours, asText(address, family))).toBe(true)
      }),
      { numRuns: 1_000 },
    )
  })

  /** Pieces of addresses, often put together wrongly. */
  const pieces = fc
    .array(fc.constantFrom('::', ':', '.', '0', '1', 'ffff', 'FFFF', '00a', '10.0.0.1', '1.2.3', '64:ff9b'), {
      maxLength: 12,
    })
    .map((parts) => parts.join(''))

  test('reads what Node takes for an address as Node does, and nothing else, however it is spelled', () => {
    const anything = ['0.0.0.0/0', '::/0'].map(parseNetwork)
    fc.assert(
      fc.property(
        fc.oneof(
          pieces,
          spelledAddress.map(({ text }) => text),
        ),
        (text) => {
          const family = isIPv6(text) ? 'ipv6' : 'ipv4'
          expect(networkContains(anything, text)).toBe(isIP(text) !== 0)
          if (isIP(text) === 0) return
          const itself = new BlockList()
          itself.addAddress(text, family)
          const { address } = parseNetwork(text)
          expect(itself.check(address.toString(), address.kind())).toBe(true)
        },
      ),
      { numRuns: 20_000 },
    )
  })

  test('takes every spelling of an address for that address, and for no other', () => {
    fc.assert(
      fc.property(spelledAddress, fc.nat({ max: 127 }), ({ text, value }, flipped) => {
        const itself = parseNetwork(asText(value, 'ipv6'))
        const near = parseNetwork(asText(value ^ (1n << BigInt(flipped)), 'ipv6'))
        expect(networkContains([itself], text)).toBe(true)
        expect(networkContains([near], text)).toBe(false)
      }),
      { numRuns: 2_000 },
    )
  })
})

describe('callerNetwork', () => {
  test.each([
    ['10.0.0.1', '10.0.0.1'],
    ['::ffff:10.0.0.1', '10.0.0.1'],
    ['::ffff:a00:1', '10.0.0.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:DB8:1:2::', '2001:db8:1:2::/64'],
    ['fe80::1%eth0', 'fe80::/64'],
    ['::10.0.0.1', '::/64'],
    ['no address', 'no address'],
  ])('of %s is %s', (address, network) => {
    expect(callerNetwork(address)).toBe(network)
  })
})

/** An IPv6 address, and one of the many ways to write it: any run of zeros cut, zeros in front, a dotted end. */
const group = fc.oneof(fc.constantFrom(0, 0, 0xffff), fc.nat({ max: 0xffff }))
const spelledAddress = fc
  .tuple(
    fc.array(group, { minLength: 8, maxLength: 8 }),
    fc.nat({ max: 7 }),
    fc.nat({ max: 8 }),
    fc.integer({ min: 1, max: 4 }),
    fc.boolean(),
    fc.boolean(),
  )
  .map(([groups, cutFrom, cutLength, digits, upper, dotted]) => {
    const value = groups.reduce((sum, each) => (sum << 16n) | BigInt(each), 0n)
    const written = groups.map((each) => each.toString(16).padStart(digits, '0'))
    const last = asText(value & 0xffff_ffffn, 'ipv4')
    const parts = dotted ? [...written.slice(0, 6), last] : written
    const cutTo = Math.min(cutFrom + cutLength, dotted ? 6 : 8)
    const canCut = cutTo > cutFrom && groups.slice(cutFrom, cutTo).every((each) => each === 0)
    const text = canCut
      ? `${parts.slice(0, cutFrom).join(':')}::${parts.slice(cutTo).join(':')}`
      : parts.join(':')
    return { value, text: upper ? text.toUpperCase() : text }
  })

function asText(value: bigint, family: 'ipv4' | 'ipv6'): string {
  if (family === 'ipv4') {
    const octets = value.toString(16).padStart(8, '0').match(/../g) ?? []
    return octets.map((octet) => Number.parseInt(octet, 16)).join('.')
  }
  const groups = value.toString(16).padStart(32, '0').match(/..../g) ?? []
  return groups.join(':')
}
