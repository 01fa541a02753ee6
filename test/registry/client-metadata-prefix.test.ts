/** Which addresses may be the id of a client that publishes a document, and under which prefix one stands. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { limits } from '../../src/limits.ts'
import {
  isClientMetadataPrefix,
  isClientMetadataUrl,
  isNestedPrefix,
  mayBeMetadataClient,
  metadataIssuerOf,
  metadataWorkloadId,
  trustsMetadataClients,
} from '../../src/registry/client-metadata-prefix.ts'
import { type TrustedIssuer, type TrustTable, workloadId } from '../../src/registry/issuer.ts'

const url = 'https://agents.example.com/one.json'
const ofLength = (length: number, end = '') => 'https://a.example/'.padEnd(length - end.length, 'a') + end

test.for([
  'https://agents.example.com/a',
  'https://agents.example.com:8443/a/b.json',
  'https://[2606:4700::1111]/a',
  "https://agents.example.com/~a/(b)!$&'*+,;=:@c",
  ofLength(limits.issuerCharactersMax),
])('%s may be one', (text) => expect(isClientMetadataUrl(text)).toBe(true))

test.for([
  'http://agents.example.com/a',
  'https://agents.example.com',
  'https://agents.example.com/',
  'https://agents.example.com:443/a',
  'https://Agents.example.com/a',
  'HTTPS://agents.example.com/a',
  'https://user@agents.example.com/a',
  'https://user:x@agents.example.com/a',
  'https://agents.example.com/a?b',
  'https://agents.example.com/a#b',
  'https://agents.example.com/../a',
  'https://agents.example.com/./a',
  'https://agents.example.com/a/..',
  'https://agents.example.com/%2e%2e/a',
  'https://agents.example.com/a%2fb',
  'https://agents.example.com\\a',
  'https://agents.example.com/a b',
  'https://agents.example.com/a\n',
  'https://agents.exämple.com/a',
  'https://0x7f.1/a',
  'https://2130706433/a',
  'https://agents.example.com:99999/a',
  'x:https://agents.example.com/a',
  ofLength(limits.issuerCharactersMax + 1),
])('%s may not', (text) => expect(isClientMetadataUrl(text)).toBe(false))

test('whatever is accepted is fetched byte for byte, from where it stands', () => {
  const part = fc.string({ unit: fc.constantFrom(...'ab./:@%?#\\-~[]1'), maxLength: 12 })
  fc.assert(
    fc.property(part, part, (host, path) => {
      const text = `https://${host}/${path}`
      if (!isClientMetadataUrl(text)) return
      const read = new URL(text)
      expect(read.href).toBe(text)
      expect([read.username, read.password, read.search, read.hash]).toEqual(['', '', '', ''])
      expect(text.startsWith(`${read.origin}/`)).toBe(true)
    }),
  )
})

test('a prefix ends with a slash', () => {
  expect(['https://good.example/', 'https://good.example/agents/'].every(isClientMetadataPrefix)).toBe(true)
  expect(
    ['https://good.example', 'https://good.example/a', 'https:///', 'spiffe://a/'].some(
      isClientMetadataPrefix,
    ),
  ).toBe(false)
})

const trusting = (
  ...issuers: (readonly [string, TrustedIssuer['keys']['kind'], TrustedIssuer['status']])[]
) =>
  ({
    issuers: new Map(
      issuers.map(([issuer, kind, status]) => [issuer, { issuer, status, keys: { kind }, rules: [] }]),
    ),
  }) as unknown as TrustTable

test('it stands under one trusted prefix, or under none', () => {
  const table = trusting(
    ['https://good.example/', 'client_metadata', 'active'],
    ['https://idp.example/', 'discovery', 'active'],
    ['https://off.example/', 'client_metadata', 'disabled'],
  )
  const under = (text: string) => metadataIssuerOf(table, text)?.issuer
  expect(under('https://good.example/a/b')).toBe('https://good.example/')
  expect(
    [
      'https://good.example.evil/a',
      'https://good.example@evil/a',
      'https://good.example:8443/a',
      'https://idp.example/a',
      'https://off.example/a',
      'https://good.exampl/e/',
    ].map(under),
  ).toEqual(Array(6).fill(undefined))
  // Only SQL makes this. Which of the two admits less is not to be told.
  const nested = trusting(
    ['https://good.example/', 'client_metadata', 'active'],
    ['https://good.example/b/', 'client_metadata', 'disabled'],
  )
  expect(metadataIssuerOf(nested, 'https://good.example/b/c')).toBeUndefined()
  const around = trusting(
    ['https://good.example/', 'client_metadata', 'disabled'],
    ['https://good.example/b/', 'client_metadata', 'active'],
  )
  expect(metadataIssuerOf(around, 'https://good.example/b/c')).toBeUndefined()
  expect(metadataIssuerOf(nested, 'https://good.example/c')?.issuer).toBe('https://good.example/')
  expect(metadataIssuerOf(undefined, 'https://good.example/c')).toBeUndefined()
})

test('a prefix without a host, or a longer one than can be registered, is none', () => {
  for (const [prefix, isFound] of [
    ['https:/', false],
    ['https://', false],
    ['https://good.example/', true],
    [ofLength(limits.issuerCharactersMax, '/'), true],
    [ofLength(limits.issuerCharactersMax + 1, '/'), false],
  ] as const) {
    const table = trusting([prefix, 'client_metadata', 'active'])
    const under = prefix.startsWith('https://a') ? prefix : 'https://good.example/'
    expect(metadataIssuerOf(table, `${under}one.json`)?.issuer, prefix).toBe(isFound ? prefix : undefined)
  }
})

test('an address costs something only where it may be the id of a client', () => {
  expect([url, 'https://', 'billing', 'http://a/', 'x-https://'].map(mayBeMetadataClient)).toEqual([
    true,
    true,
    false,
    false,
    false,
  ])
  const [on, off, other] = [
    ['https://good.example/', 'client_metadata', 'active'],
    ['https://off.example/', 'client_metadata', 'disabled'],
    ['https://idp.example/', 'discovery', 'active'],
  ] as const
  expect(trustsMetadataClients(undefined)).toBe(false)
  expect(trustsMetadataClients(trusting())).toBe(false)
  expect(trustsMetadataClients(trusting(off, other))).toBe(false)
  expect(trustsMetadataClients(trusting(off, other, on))).toBe(true)
})

test('an address of slashes alone costs no more than a long one', () => {
  const asked: string[] = []
  const issuers = { get: (prefix: string) => void asked.push(prefix) }
  metadataIssuerOf({ issuers } as unknown as TrustTable, `https://${'/'.repeat(8_000)}`)
  expect(asked.length).toBeGreaterThan(100)
  expect(asked.length).toBeLessThanOrEqual(limits.issuerCharactersMax)
})

test('prefixes within each other are found', () => {
  expect(isNestedPrefix('https://a.example/', 'https://a.example/b/')).toBe(true)
  expect(isNestedPrefix('https://a.example/b/', 'https://a.example/')).toBe(true)
  expect(isNestedPrefix('https://a.example/b/', 'https://a.example/c/')).toBe(false)
  expect(isNestedPrefix('https://a.example/', 'https://a.example/')).toBe(false)
})

test('its identity is none that an issuer could give', () => {
  expect(metadataWorkloadId(url), 'it is always the same').toBe(
    'workload:bowDT6VJzpUUw4UHl89Fxuk6s4gXBUq59dGGroTR5dA',
  )
  expect(metadataWorkloadId(url)).not.toBe(workloadId(url, url))
  expect(metadataWorkloadId(url)).not.toBe(metadataWorkloadId(`${url}x`))
})
