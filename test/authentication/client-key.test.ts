/** Which public keys may be registered, and what is said of the others. */
import { generateKeyPairSync } from 'node:crypto'
import { calculateJwkThumbprint } from 'jose'
import { describe, expect, test } from 'vitest'
import { readClientKey } from '../../src/authentication/client-key.ts'
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

/** A point of the curve whose order is 8, and the one that is nothing. */
const smallOrder = [
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  `01${'00'.repeat(31)}`,
]

describe('refused', () => {
  test.each<[string, unknown, RegExp]>([
    ['nothing', null, /is no JSON Web Key/],
    ['text', 'x', /is no JSON Web Key/],
    ['a list', [ec], /is no JSON Web Key/],
    ['no kty', { ...ec, kty: undefined }, /has no kty/],
    ['an unknown kty', { ...ec, kty: 'AKP' }, /has no kty/],
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
    ['a short RSA key', short, /not of 2048 to 4096 bits/],
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
    ['an empty kid', { ...ec, kid: '' }, /kid/],
    ['a kid with a line break', { ...ec, kid: 'a\nb' }, /kid/],
    ['a long kid', { ...ec, kid: 'k'.repeat(257) }, /kid/],
    ...smallOrder.map((hex): [string, unknown, RegExp] => [
      `a point of small order: ${hex.slice(0, 4)}`,
      { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(hex, 'hex').toString('base64url') },
      /small order/,
    ]),
  ])('%s', (_title, jwk, problem) => {
    const read = readClientKey(jwk)
    expect('problem' in read ? read.problem : read).toMatch(problem)
  })
})
