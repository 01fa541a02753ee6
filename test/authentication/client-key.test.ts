/** Which public keys may be registered, and what is said of the others. */
import { generateKeyPairSync } from 'node:crypto'
import { calculateJwkThumbprint } from 'jose'
import { describe, expect, test } from 'vitest'
import {
  keyRefusal,
  publicKeyOf,
  readClientKey,
  readUncheckedKey,
} from '../../src/authentication/client-key.ts'
import { makeKey } from '../support/assertion.ts'

const ec = makeKey('ES256').publicJwk
const ed = makeKey('EdDSA').publicJwk
const rsa = makeKey('PS256').publicJwk
const short = makeKey('PS256', undefined, 1024).publicJwk

describe('a key', () => {
  test.each([
    ['of P-256', ec, 'ES256'],
    ['of Ed25519', ed, 'EdDSA'],
    ['of Ed25519 with the newer name', { ...ed, alg: 'Ed25519' }, 'EdDSA'],
    ['of RSA', rsa, 'PS256'],
    ['of RSA that asks for it', { ...rsa, alg: 'RS256' }, 'RS256'],
  ])(
    '%s has the thumbprint of RFC 7638, one algorithm, and nothing that nobody asked for',
    async (_title, jwk, algorithm) => {
      const read = readClientKey({
        ...jwk,
        kid: 'k',
        use: 'sig',
        key_ops: ['verify'],
        x5u: 'https://x',
        more: 1,
      })
      expect(read).toMatchObject({ kid: 'k', algorithm, thumbprint: await calculateJwkThumbprint(jwk) })
      expect('publicJwk' in read && Object.keys(read.publicJwk).sort()).toEqual(
        Object.keys(jwk)
          .filter((member) => member !== 'alg')
          .sort(),
      )
    },
  )
})

describe('a private key', () => {
  test.each(['ec', 'ed25519', 'rsa'] as const)(
    'is refused by the name of a member, without its value: %s',
    (kind) => {
      const { privateKey } =
        kind === 'rsa'
          ? generateKeyPairSync('rsa', { modulusLength: 2048 })
          : kind === 'ec'
            ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
            : generateKeyPairSync('ed25519')
      const jwk = privateKey.export({ format: 'jwk' })
      expect(readClientKey(jwk)).toEqual({ privateMember: 'd' })
    },
  )

  test('also with other members wrong, and a symmetric one', () => {
    expect(readClientKey({ kty: 'oct', k: 'c2VjcmV0' })).toEqual({ privateMember: 'k' })
    expect(readClientKey({ p: 7 })).toEqual({ privateMember: 'p' })
  })
})

const base64url = (hex: string) => Buffer.from(hex, 'hex').toString('base64url')

/**
 * The points of Ed25519 whose order divides 8, in all ways that somebody may write them: y, y plus the prime 2^255 - 19 where
 * there is room for it, and each with both signs.
 */
const smallOrder = [
  '00'.repeat(32),
  `01${'00'.repeat(31)}`,
  `ec${'ff'.repeat(30)}7f`,
  `ed${'ff'.repeat(30)}7f`,
  `ee${'ff'.repeat(30)}7f`,
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
].flatMap((hex) => [hex, hex.slice(0, 62) + (Number.parseInt(hex.slice(62), 16) | 0x80).toString(16)])

/** The modulus of an RSA key, from its first byte, its length and its last byte. */
const modulus = (first: number, bytes: number, last = 0xff) => {
  const made = Buffer.alloc(bytes, 0xff)
  made[0] = first
  made[bytes - 1] = last
  return { kty: 'RSA', e: 'AQAB', n: made.toString('base64url') }
}
const notOfBits = /^has an RSA modulus that is not of 2048 to 4096 bits$/

describe('refused', () => {
  test.each<[string, unknown, RegExp]>([
    ['nothing', null, /is no JSON Web Key/],
    ['text', 'x', /is no JSON Web Key/],
    ['a list', [ec], /is no JSON Web Key/],
    ['no kty', { ...ec, kty: undefined }, /has no kty/],
    ['an unknown kty', { ...ec, kty: 'AKP' }, /has no kty/],
    ['a kty in a list', { ...ec, kty: ['EC'] }, /has no kty/],
    ['a kty that every object has', { kty: 'constructor' }, /has no kty|lacks/],
    [
      'another curve',
      generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey.export({ format: 'jwk' }),
      /P-256/,
    ],
    ['Ed448', generateKeyPairSync('ed448').publicKey.export({ format: 'jwk' }), /Ed25519/],
    ['no y', { ...ec, y: undefined }, /lacks y/],
    ['a point that is on no curve', { ...ec, y: ec['x'] }, /no point of the curve/],
    ['a number with padding', { ...ec, x: `${ec['x']}=` }, /malformed/],
    ['a number that is too short', { ...ec, x: 'AA' }, /malformed/],
    ['a number of Ed25519 that is too short', { ...ed, x: 'AA' }, /malformed/],
    ['a number of Ed25519 that is no base64url', { ...ed, x: '=' }, /malformed/],
    [
      'a point of small order of another curve',
      { ...ec, x: base64url(smallOrder[2] ?? '') },
      /no point of the curve/,
    ],
    ['a short RSA key', short, notOfBits],
    ['an RSA key that is short by a bit', modulus(0x7f, 256), notOfBits],
    ['an RSA key that is long by a bit', modulus(0x01, 513), notOfBits],
    ['an even RSA modulus', modulus(0xff, 256, 0xfe), /an even modulus/],
    ['an RSA modulus that is no base64url', { ...rsa, n: '=' }, /not base64url/],
    ['an RSA modulus that is nothing', { ...rsa, n: '' }, /not base64url/],
    ['an RSA exponent that is no base64url', { ...rsa, e: '=' }, /not base64url/],
    ['an RSA exponent that is nothing', { ...rsa, e: '' }, /exponent/],
    [
      'an RSA key with a leading zero',
      {
        ...rsa,
        n: Buffer.concat([Buffer.alloc(1), Buffer.from(rsa['n'] ?? '', 'base64url')]).toString('base64url'),
      },
      /bits/,
    ],
    ['an RSA key with the exponent 3', { ...rsa, e: 'Aw' }, /exponent/],
    ['an RSA key with the exponent 1', { ...rsa, e: 'AQ' }, /exponent/],
    ['an alg that does not fit', { ...ec, alg: 'PS256' }, /ES256 would/],
    ['an alg of secrets', { ...rsa, alg: 'HS256' }, /PS256 or RS256 would/],
    ['a key for encryption', { ...rsa, use: 'enc' }, /not for signatures/],
    ['operations without verify', { ...rsa, key_ops: ['wrapKey'] }, /not for signatures/],
    ['a kid that is a number', { ...ec, kid: 7 }, /kid/],
    ['a kid in a list', { ...ec, kid: ['k'] }, /kid/],
    ['an empty kid', { ...ec, kid: '' }, /kid/],
    ['a kid with a line break', { ...ec, kid: 'a\nb' }, /kid/],
    ['a long kid', { ...ec, kid: 'k'.repeat(257) }, /kid/],
    ...smallOrder.map((hex): [string, unknown, RegExp] => [
      `a point of small order: ${hex.slice(0, 4)}…${hex.slice(60)}`,
      { kty: 'OKP', crv: 'Ed25519', x: base64url(hex) },
      /small order/,
    ]),
  ])('%s', (_title, jwk, problem) => {
    const read = readClientKey(jwk)
    expect('problem' in read ? read.problem : read).toMatch(problem)
  })
})

describe('accepted', () => {
  test.each<[string, object]>([
    ['an RSA key of as few bits as may be', modulus(0x80, 256)],
    ['an RSA key whose bits fill no byte', modulus(0x01, 257)],
    ['an RSA key of as many bits as may be', modulus(0xff, 512)],
    ['a kid of as many characters as may be', { ...ec, kid: 'k'.repeat(256) }],
  ])('%s', (_title, jwk) => {
    expect(readClientKey(jwk)).toHaveProperty('thumbprint')
  })
})

test('whether a key is a point of its curve costs time, and is left out where that is asked; its form is not', () => {
  const offCurve = { ...ec, y: ec['x'] }
  expect(readUncheckedKey(offCurve)).toHaveProperty('thumbprint')
  for (const jwk of [
    { ...ec, x: 'AA' },
    { ...ec, y: 'AA' },
    { ...ed, x: 'AA' },
  ])
    expect(readUncheckedKey(jwk)).toEqual({
      problem: 'is no key: its numbers are malformed, or no point of the curve',
    })
})

describe('a row', () => {
  const key = makeKey('ES256')
  const other = makeKey('ES256')
  const { thumbprint, publicJwk } = key
  const row = { thumbprint, algorithm: 'ES256', publicJwk } as const

  test('gives the key that its thumbprint names, which is imported once', () => {
    const good = { ...row }
    const found = publicKeyOf(good)
    expect(found?.export({ format: 'jwk' })).toEqual(publicJwk)
    expect(publicKeyOf(good)).toBe(found)
  })

  test.each<[string, object]>([
    ['with the numbers of another key', { publicJwk: other.publicJwk }],
    ['with the thumbprint of another key', { thumbprint: other.thumbprint }],
    ['with another algorithm', { algorithm: 'PS256' }],
    ['without numbers', { publicJwk: { kty: 'EC' } }],
    ['with nothing, and no thumbprint', { publicJwk: {}, thumbprint: undefined }],
  ])('%s gives none, each time', (_title, changes) => {
    const spoiled = { ...row, ...changes }
    expect(publicKeyOf(spoiled)).toBeUndefined()
    expect(publicKeyOf(spoiled)).toBeUndefined()
  })

  test('with a point that is not on the curve gives none', () => {
    const publicJwk = { ...key.publicJwk, y: key.publicJwk['x'] ?? '' }
    const read = readUncheckedKey(publicJwk)
    const thumbprint = 'thumbprint' in read ? read.thumbprint : ''
    expect(publicKeyOf({ thumbprint, algorithm: 'ES256', publicJwk })).toBeUndefined()
  })
})

test.each<[string | undefined, expiresAt: number | undefined, revokedAt: number | undefined]>([
  [undefined, undefined, undefined],
  [undefined, 101, undefined],
  ['client_key_expired', 100, undefined],
  ['client_key_revoked', undefined, 99],
  ['client_key_revoked', 100, 200],
])('%s: a key that expires at %s and was revoked at %s, at 100', (reason, expiresAt, revokedAt) => {
  expect(keyRefusal({ expiresAt, revokedAt } as Parameters<typeof keyRefusal>[0], 100)).toBe(reason)
})
