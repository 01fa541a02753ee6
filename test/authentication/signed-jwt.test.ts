/** A JWT that somebody else signed, taken apart: what has the form of one, and what is read of it before any key is looked at. */
import { describe, expect, test } from 'vitest'
import {
  demandsMore,
  isJti,
  isMoment,
  readMapping,
  signedBytesOf,
  splitCompact,
  typeOf,
} from '../../src/authentication/compact-jws.ts'
import { readMoments, readSignedJwt, textOf } from '../../src/authentication/signed-jwt.ts'
import { limits } from '../../src/limits.ts'

const encoded = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

describe('the parts', () => {
  test('are three, each of which may be empty', () => {
    expect(splitCompact('a.b.c')).toEqual({ header: 'a', claims: 'b', signature: 'c' })
    expect(splitCompact('..')).toEqual({ header: '', claims: '', signature: '' })
    // Five would be encrypted (RFC 7516).
    for (const text of ['', 'a', 'a.b', '.', 'a.b.', '...', 'a.b.c.', 'a.b.c.d', 'a.b.c.d.e']) {
      const expected = text === 'a.b.' ? { header: 'a', claims: 'b', signature: '' } : undefined
      expect(splitCompact(text), text).toEqual(expected)
    }
  })

  test('header and claims are what is signed, as they were written', () => {
    expect(signedBytesOf('a.b.c').toString()).toBe('a.b')
    expect(signedBytesOf(`${encoded('{ "a":1}')}.b.`).toString()).toBe(`${encoded('{ "a":1}')}.b`)
  })

  test('a JSON object is read of one, and of anything else nothing', () => {
    expect(readMapping(encoded({ iss: 'ü' }))).toEqual({ iss: 'ü' })
    expect(readMapping(encoded('{}'))).toEqual({})
    const deep = (depth: number) => encoded(`${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`)
    expect(readMapping(deep(limits.assertionDepthMax))).toBeDefined()
    for (const part of [
      '',
      encoded('text'),
      encoded([{}]),
      encoded('null'),
      encoded('1'),
      encoded('"text"'),
      encoded('{"a":1,"a":2}'),
      encoded('\ufeff{}'),
      Buffer.from('{"a":"\xff"}', 'latin1').toString('base64url'),
      deep(limits.assertionDepthMax + 1),
      // Another spelling of the same bytes.
      `${encoded('{}')}=`,
      ` ${encoded('{}')}`,
    ]) {
      expect(readMapping(part), Buffer.from(part, 'base64url').toString()).toBeUndefined()
    }
  })
})

describe('the header', () => {
  test.for<[typ: unknown, expected: unknown]>([
    ['JWT', 'jwt'],
    ['at+JWT', 'at+jwt'],
    ['application/at+jwt', 'at+jwt'],
    ['Application/JWT', 'jwt'],
    ['application/application/jwt', 'application/jwt'],
    ['x-application/jwt', 'x-application/jwt'],
    [undefined, undefined],
    [7, 7],
  ])('%j is the type %j', ([typ, expected]) => {
    expect(typeOf({ typ })).toBe(expected)
  })

  test('demands more than is understood with crit or b64, whatever they say', () => {
    expect(demandsMore({ alg: 'ES256', typ: 'JWT', kid: 'a', x5c: [] })).toBe(false)
    for (const header of [{ crit: [] }, { crit: ['exp'] }, { b64: true }, { b64: false }]) {
      expect(demandsMore(header)).toBe(true)
    }
  })
})

test('an identifier is text of so many characters', () => {
  const most = 'x'.repeat(limits.jtiCharactersMax)
  expect(['a', most].map(isJti)).toEqual([true, true])
  expect(['', `${most}x`, 1, undefined, null, ['a']].map(isJti)).toEqual(Array(6).fill(false))
})

test('a moment is a number of seconds, and none so late that it cannot be in seconds', () => {
  expect([0, 0.5, 1_800_000_000, 100_000_000_000].map(isMoment)).toEqual(Array(4).fill(true))
  const others = [-1, 100_000_000_001, Number.POSITIVE_INFINITY, Number.NaN, '0', null, undefined]
  expect(others.map(isMoment)).toEqual(Array(7).fill(false))
})

const header = { alg: 'ES256', typ: 'JWT', kid: 'one' }
const claims = { iss: 'billing', exp: 1_800_000_000 }
const signature = Buffer.from('signature').toString('base64url')
const jwtOf = (given: unknown = header, said: unknown = claims, signed = signature) =>
  `${encoded(given)}.${encoded(said)}.${signed}`

describe('a JWT', () => {
  test('is read with what it was signed over', () => {
    const text = jwtOf()
    expect(readSignedJwt(text)).toEqual({
      claims,
      refusal: undefined,
      jwt: {
        type: 'jwt',
        kid: 'one',
        algorithm: 'ES256',
        signedBytes: Buffer.from(text.slice(0, text.lastIndexOf('.'))),
        signature: Buffer.from('signature'),
      },
    })
  })

  test.for<[what: string, header: object, expected: object]>([
    ['without a type', { alg: 'PS256' }, { type: undefined, algorithm: 'PS256' }],
    ['without a name of its key', { alg: 'ES256' }, { kid: undefined }],
    ['with a name as long as it may be', { ...header, kid: 'x'.repeat(limits.keyIdCharactersMax) }, {}],
    ['with the name that EdDSA has now', { alg: 'Ed25519' }, { algorithm: 'EdDSA' }],
    ['with keys of its own, which nobody looks at', { ...header, jwk: {}, x5u: 7 }, { kid: 'one' }],
  ])('%s', ([, given, expected]) => {
    const { refusal, jwt } = readSignedJwt(jwtOf(given))
    expect(refusal).toBeUndefined()
    expect(jwt).toMatchObject(expected)
  })

  test.for<[refusal: string, what: string, text: string]>([
    ['assertion_malformed', 'no text', ''],
    ['assertion_malformed', 'two parts', jwtOf().slice(0, jwtOf().lastIndexOf('.'))],
    ['assertion_malformed', 'four parts', `${jwtOf()}.`],
    ['assertion_malformed', 'a header that is no object', jwtOf([header])],
    ['assertion_malformed', 'claims that are no object', jwtOf(header, 'text')],
    ['assertion_malformed', 'no signature', jwtOf(header, claims, '')],
    ['assertion_malformed', 'a signature in another alphabet', jwtOf(header, claims, 'ab+/')],
    ['assertion_header_unsupported', 'crit', jwtOf({ ...header, crit: ['exp'] })],
    ['assertion_header_unsupported', 'an empty kid', jwtOf({ ...header, kid: '' })],
    ['assertion_header_unsupported', 'a kid that is a number', jwtOf({ ...header, kid: 7 })],
    ['assertion_header_unsupported', 'a kid that is a list', jwtOf({ ...header, kid: ['one'] })],
    ['assertion_header_unsupported', 'a kid that is null', jwtOf({ ...header, kid: null })],
    [
      'assertion_header_unsupported',
      'a kid that is too long',
      jwtOf({ ...header, kid: 'x'.repeat(limits.keyIdCharactersMax + 1) }),
    ],
    ['assertion_type_wrong', 'a type that is a number', jwtOf({ ...header, typ: 7 })],
    ['assertion_type_wrong', 'a type that is null', jwtOf({ ...header, typ: null })],
    ['assertion_algorithm_unsupported', 'no algorithm', jwtOf({ ...header, alg: undefined })],
    ['assertion_algorithm_unsupported', 'the algorithm none', jwtOf({ ...header, alg: 'none' })],
    ['assertion_algorithm_unsupported', 'an algorithm with a shared key', jwtOf({ ...header, alg: 'HS256' })],
    ['assertion_algorithm_unsupported', 'an algorithm in small letters', jwtOf({ ...header, alg: 'es256' })],
    ['assertion_algorithm_unsupported', 'an algorithm in a list', jwtOf({ ...header, alg: ['ES256'] })],
  ])('%s: %s', ([refusal, , text]) => {
    expect(readSignedJwt(text)).toMatchObject({ refusal, jwt: undefined })
  })

  test('that is refused still says its claims, where they can be read', () => {
    expect(readSignedJwt(jwtOf({ alg: 'none' }, claims, '')).claims).toEqual(claims)
    expect(readSignedJwt(jwtOf([], claims)).claims).toEqual(claims)
    expect(readSignedJwt(jwtOf(header, 'text')).claims).toBeUndefined()
  })

  test('has so many characters, and is not read if it has more', () => {
    const most = limits.assertionCharactersMax
    const long = (characters: number): string => {
      // Base64url has no text of four characters and one.
      for (const signed of ['abcd', 'ab', 'abc']) {
        const bytes = Math.floor(((characters - encoded(header).length - 2 - signed.length) * 3) / 4)
        const text = jwtOf(header, JSON.stringify({ a: 'x'.repeat(bytes - '{"a":""}'.length) }), signed)
        if (text.length === characters) return text.replace(/abc$/, 'abA').replace(/ab$/, 'aA')
      }
      throw new Error('there is none of that length')
    }
    expect(readSignedJwt(long(most))).toMatchObject({ refusal: undefined })
    expect(readSignedJwt(long(most + 1))).toMatchObject({ refusal: 'assertion_malformed', claims: undefined })
  })
})

describe('the moments', () => {
  const [exp, nbf, iat] = [100, 99, 99]

  test('are the end, and the beginning and the making where it says them', () => {
    expect(readMoments({ exp })).toEqual({ expiresAt: exp, notBefore: undefined, issuedAt: undefined })
    expect(readMoments({ exp, nbf, iat })).toEqual({ expiresAt: exp, notBefore: nbf, issuedAt: iat })
    // All of them long ago, which is no matter of their form.
    expect(readMoments({ exp: 0 })).toMatchObject({ expiresAt: 0 })
    expect(readMoments({ exp: 0.5, nbf: 0, iat: 0 })).toMatchObject({ notBefore: 0, issuedAt: 0 })
  })

  test.for<Readonly<Record<string, unknown>>>([
    {},
    { nbf, iat },
    { exp: null },
    { exp: '100' },
    { exp: -1 },
    { exp, nbf: '99' },
    { exp, nbf: null },
    { exp, nbf: -1 },
    { exp, iat: '99' },
    { exp, iat: null },
    { exp, iat: 1e12 },
    // It ends when it begins, or before.
    { exp, nbf: exp },
    { exp, nbf: exp + 1, iat },
    { exp, iat: exp },
    { exp, iat: exp + 1, nbf },
    { exp: 0, nbf: 0 },
    { exp: 0, iat: 0 },
  ])('%j has none', (said) => {
    expect(readMoments(said)).toBeUndefined()
  })
})

test('an empty text is none', () => {
  expect(['a', ' ', '', 7, null, undefined].map(textOf)).toEqual(['a', ' ', ...Array(4).fill(undefined)])
})
