/** A proof is read strictly, and the same for everybody; long because it is a table of all that a proof can be. */
import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { findDpopProof, readDpopProof } from '../../src/authentication/dpop-proof.ts'
import { limits } from '../../src/limits.ts'
import type { RefusalReason } from '../../src/refusals.ts'
import { makeKey, signed } from '../support/assertion.ts'
import { type ProofChanges, proofOf } from '../support/dpop.ts'

const uri = 'https://tokens.example.com/token'
const keys = { ec: makeKey('ES256'), ed: makeKey('EdDSA'), ps: makeKey('PS256'), rs: makeKey('RS256') }
const { ec, ed, ps, rs } = keys
const good = proofOf(ec, uri)
const [header = '', claims = '', signature = ''] = good.split('.')
const encoded = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
const jwk = (changes: Readonly<Record<string, unknown>>): ProofChanges => ({
  header: { jwk: { ...ec.publicJwk, ...changes } },
})
/** The coordinate of a point, with one bit of it turned: with all likelihood no point of the curve. */
const offCurve = Buffer.from(ec.publicJwk['y'] ?? '', 'base64url')
offCurve[31] = (offCurve[31] ?? 0) ^ 1

describe('what is read', () => {
  const read: readonly (readonly [string, string])[] = [
    ['ES256', good],
    ['EdDSA', proofOf(ed, uri)],
    ['Ed25519, the other name of EdDSA', proofOf(ed, uri, { header: { alg: 'Ed25519' } })],
    ['PS256', proofOf(ps, uri)],
    ['RS256', proofOf(rs, uri)],
    ['a typ in capitals', proofOf(ec, uri, { header: { typ: 'DPoP+JWT' } })],
    ['the whole media type', proofOf(ec, uri, { header: { typ: 'application/dpop+jwt' } })],
    ['an iat that is no whole number', proofOf(ec, uri, { claims: { iat: 1_800_000_000.25 } })],
    [
      'members that nobody knows',
      proofOf(ec, uri, {
        header: { kid: 7, jku: 'https://e.com', x5c: ['MII'], x: { y: 1 } },
        claims: { ath: 1, nbf: 'x', exp: -1, aud: [], x: [[]] },
      }),
    ],
    [
      'a key as WebCrypto writes it',
      proofOf(ec, uri, jwk({ ext: true, key_ops: ['verify'], alg: 'ES256', use: 'sig', kid: '' })),
    ],
  ]
  test.each(read)('%s', (_name, text) => {
    const { parsed, refusal } = readDpopProof(text)
    expect(refusal).toBeUndefined()
    expect(parsed).toMatchObject({ htm: 'POST', htu: uri })
  })

  test('when it begins and ends, where that is a moment', () => {
    const momentsOf = (claims: object) => {
      const { parsed } = readDpopProof(proofOf(ec, uri, { claims: { ...claims } }))
      return [parsed?.notBefore, parsed?.expiresAt]
    }
    expect(momentsOf({ nbf: 5, exp: 9.5 })).toEqual([5, 9.5])
    expect(momentsOf({ exp: 9 })).toEqual([undefined, 9])
    expect(momentsOf({ nbf: 'x', exp: -1 })).toEqual([undefined, undefined])
  })

  test('all of it, and the thumbprint of the key alone', () => {
    const { parsed } = readDpopProof(
      proofOf(ec, uri, { claims: { jti: 'j', iat: 7, nonce: 'n' }, ...jwk({ kid: 'k' }) }),
    )
    const { crv, kty, x, y } = ec.publicJwk
    expect(parsed).toMatchObject({ algorithm: 'ES256', jti: 'j', issuedAt: 7, nonce: 'n' })
    expect(parsed?.publicJwk).toEqual({ crv, kty, x, y })
    expect(parsed?.thumbprint).toBe(
      createHash('sha256').update(JSON.stringify({ crv, kty, x, y })).digest('base64url'),
    )
  })
})

describe('what is refused', () => {
  const malformed: readonly (readonly [string, string])[] = [
    ['no JWT', 'proof'],
    ['nothing', ''],
    ['two that a proxy joined', `${good},${proofOf(ec, uri)}`],
    ['two that a proxy joined with a space', `${good}, ${proofOf(ec, uri)}`],
    ['five parts, as an encrypted one has', `${good}.a.b`],
    ['two parts', `${header}.${claims}`],
    ['the JSON form', JSON.stringify({ protected: header, payload: claims, signature })],
    ['no signature', `${header}.${claims}.`],
    ['padding', `${good}==`],
    ['the other alphabet', `${header}.${claims}.${'+/'.repeat(43)}`],
    ['a space before it', ` ${good}`],
    ['a quoted one', `"${good}"`],
    ['a scheme before it', `DPoP ${good}`],
    [
      'a last character whose spare bits are set',
      `${header}.${claims}.${signature.slice(0, -1)}${spareBits(signature)}`,
    ],
    ['a header that is a list', `${encoded([])}.${claims}.${signature}`],
    ['claims that are a text', `${header}.${encoded('"x"')}.${signature}`],
    ['claims that are null', `${header}.${encoded('null')}.${signature}`],
    ['a member twice', `${header}.${encoded('{"jti":"a","jti":"b"}')}.${signature}`],
    [
      'an own __proto__ that is read by nobody',
      `${encoded('{"__proto__":{"alg":"ES256"},"__proto__":1}')}.${claims}.${signature}`,
    ],
    [
      'bytes that are no UTF-8',
      `${Buffer.from([0x7b, 0xff, 0x7d]).toString('base64url')}.${claims}.${signature}`,
    ],
    [
      'more levels than anything needs',
      proofOf(ec, uri, { claims: { x: JSON.parse('['.repeat(9) + ']'.repeat(9)) } }),
    ],
    ['a megabyte', 'a'.repeat(1_000_000)],
    ['a million dots', '.'.repeat(1_000_000)],
    ['one character too many', good.padEnd(limits.dpopProofCharactersMax + 1, 'A')],
  ]
  test.each(malformed)('dpop_proof_malformed: %s', (_name, text) => {
    expect(readDpopProof(text)).toEqual({ refusal: 'dpop_proof_malformed' })
  })

  const refused: readonly (readonly [RefusalReason, string, ProofChanges])[] = [
    ['dpop_header_unsupported', 'crit', { header: { crit: ['x'], x: 1 } }],
    ['dpop_header_unsupported', 'crit that is empty', { header: { crit: [] } }],
    ['dpop_header_unsupported', 'b64', { header: { b64: false } }],
    ['dpop_type_wrong', 'no typ', { header: { typ: undefined } }],
    ['dpop_type_wrong', 'jwt', { header: { typ: 'jwt' } }],
    ['dpop_type_wrong', 'an access token', { header: { typ: 'at+jwt' } }],
    ['dpop_type_wrong', 'an assertion', { header: { typ: 'client-authentication+jwt' } }],
    ['dpop_type_wrong', 'a list', { header: { typ: ['dpop+jwt'] } }],
    ['dpop_algorithm_unsupported', 'none', { header: { alg: 'none' } }],
    ['dpop_algorithm_unsupported', 'no alg', { header: { alg: undefined } }],
    ['dpop_algorithm_unsupported', 'HS256', { header: { alg: 'HS256' } }],
    ['dpop_algorithm_unsupported', 'ES384', { header: { alg: 'ES384' } }],
    ['dpop_algorithm_unsupported', 'another case', { header: { alg: 'es256' } }],
    ['dpop_algorithm_unsupported', 'a list', { header: { alg: ['ES256'] } }],
    ['dpop_algorithm_unsupported', 'a name of every object', { header: { alg: 'toString' } }],
    ['dpop_key_unusable', 'no jwk', { header: { jwk: undefined } }],
    ['dpop_key_unusable', 'jwk as text', { header: { jwk: JSON.stringify(ec.publicJwk) } }],
    ['dpop_key_unusable', 'jwk as a list', { header: { jwk: [ec.publicJwk] } }],
    ['dpop_key_unusable', 'jwk null', { header: { jwk: null } }],
    ['dpop_key_unusable', 'a private key', jwk({ d: ec.publicJwk['x'] })],
    ['dpop_key_unusable', 'an empty private member', jwk({ d: '' })],
    ['dpop_key_unusable', 'a symmetric key', { header: { jwk: { kty: 'oct', k: 'AAAA' } } }],
    ['dpop_key_unusable', 'a symmetric member beside', jwk({ k: 'AAAA' })],
    [
      'dpop_key_unusable',
      'a modulus whose exponent is 1',
      { header: { alg: 'PS256', jwk: { ...ps.publicJwk, e: 'AQ' } } },
    ],
    [
      'dpop_key_unusable',
      'a small modulus',
      { header: { alg: 'PS256', jwk: makeKey('PS256', '', 1024).publicJwk } },
    ],
    [
      'dpop_key_unusable',
      'a large modulus',
      {
        header: {
          alg: 'PS256',
          jwk: { kty: 'RSA', e: 'AQAB', n: Buffer.alloc(640, 255).toString('base64url') },
        },
      },
    ],
    [
      'dpop_key_unusable',
      'a modulus with a zero before it',
      { header: { alg: 'PS256', jwk: { ...ps.publicJwk, n: leadingZero(ps.publicJwk['n']) } } },
    ],
    ['dpop_key_unusable', 'a coordinate that is too short', jwk({ x: ec.publicJwk['x']?.slice(0, 40) })],
    ['dpop_key_unusable', 'a coordinate with padding', jwk({ x: `${ec.publicJwk['x']}=` })],
    ['dpop_key_unusable', 'no y', jwk({ y: undefined })],
    ['dpop_key_unusable', 'another curve', jwk({ crv: 'P-384' })],
    ['dpop_key_unusable', 'secp256k1', jwk({ crv: 'secp256k1' })],
    [
      'dpop_key_unusable',
      'a point of small order',
      { header: { alg: 'EdDSA', jwk: { ...ed.publicJwk, x: Buffer.alloc(32).toString('base64url') } } },
    ],
    ['dpop_key_unusable', 'a key of another kind than alg', { header: { alg: 'PS256' } }],
    ['dpop_key_unusable', 'an alg in the key that contradicts', jwk({ alg: 'ES384' })],
    ['dpop_key_unusable', 'a key for encryption', jwk({ use: 'enc' })],
    ['dpop_key_unusable', 'a key that may not verify', jwk({ key_ops: ['sign'] })],
    ['dpop_claims_malformed', 'no jti', { claims: { jti: undefined } }],
    ['dpop_claims_malformed', 'an empty jti', { claims: { jti: '' } }],
    ['dpop_claims_malformed', 'a jti that is a number', { claims: { jti: 1 } }],
    [
      'dpop_claims_malformed',
      'a jti that is too long',
      { claims: { jti: 'j'.repeat(limits.jtiCharactersMax + 1) } },
    ],
    ['dpop_claims_malformed', 'no htm', { claims: { htm: undefined } }],
    ['dpop_claims_malformed', 'htm as a list', { claims: { htm: ['POST'] } }],
    ['dpop_claims_malformed', 'no htu', { claims: { htu: undefined } }],
    ['dpop_claims_malformed', 'htu as a list', { claims: { htu: [uri] } }],
    ['dpop_claims_malformed', 'no iat', { claims: { iat: undefined } }],
    ['dpop_claims_malformed', 'iat as text', { claims: { iat: '1800000000' } }],
    ['dpop_claims_malformed', 'iat before 1970', { claims: { iat: -1 } }],
    ['dpop_claims_malformed', 'iat in milliseconds', { claims: { iat: 1_800_000_000_000 } }],
    ['dpop_claims_malformed', 'a nonce that is a number', { claims: { nonce: 1 } }],
    ['dpop_claims_malformed', 'a nonce that is null', { claims: { nonce: null } }],
  ]
  test.each(refused)('%s: %s', (reason, _name, changes) => {
    expect(readDpopProof(proofOf(ec, uri, changes))).toEqual({ refusal: reason })
  })

  test('a point that is not on the curve has the form of a key: it is found when the key is used', () => {
    const { parsed } = readDpopProof(proofOf(ec, uri, jwk({ y: offCurve.toString('base64url') })))
    expect(parsed).toBeDefined()
  })
})

describe('the header', () => {
  test('is found by any spelling of its name', () => {
    expect(findDpopProof(['host', 'x', 'dPoP', good])?.parsed?.htu).toBe(uri)
  })
  test('is none where there is none', () => {
    expect(findDpopProof(['Host', 'x', 'DPoP-Nonce', good, 'XDPoP', good])).toBeUndefined()
  })
  test('without a value is a malformed one', () => {
    expect(findDpopProof(['DPoP', ''])).toEqual({ refusal: 'dpop_proof_malformed' })
  })
  test('twice, also if both are the same', () => {
    expect(findDpopProof(['DPoP', good, 'dpop', good])).toEqual({ refusal: 'dpop_proof_repeated' })
  })
})

describe('whatever arrives', () => {
  const reads = (text: string): void => {
    const { refusal, parsed } = readDpopProof(text)
    expect(refusal === undefined).toBe(parsed !== undefined)
    // What is accepted has one spelling: no other text is the same proof.
    if (parsed !== undefined) {
      const [one, other] = text.split('.') as [string, string]
      expect(`${one}.${other}.${parsed.signature.toString('base64url')}`).toBe(text)
      expect(parsed.signedBytes.toString()).toBe(`${one}.${other}`)
    }
  }

  test('is read or refused, and never anything else', () => {
    const parts = fc.oneof(
      fc.constantFrom(header, claims, signature, '', 'e30', 'W10', 'bnVsbA'),
      fc.json({ maxDepth: 12 }).map(encoded),
      fc.string({ unit: 'binary' }),
    )
    fc.assert(fc.property(fc.array(parts, { maxLength: 6 }), (chosen) => reads(chosen.join('.'))))
  })

  test('one character of a good proof changed, removed or added: read as written, or refused', () => {
    const place = fc.nat(good.length - 1)
    const character = fc.string({ unit: 'binary', minLength: 0, maxLength: 2 })
    fc.assert(
      fc.property(place, character, fc.boolean(), (at, instead, keeps) =>
        reads(good.slice(0, at) + instead + good.slice(keeps ? at : at + 1)),
      ),
      { numRuns: 500 },
    )
  })

  test('members of any kind in the places of those that count', () => {
    const names = fc.constantFrom('alg', 'typ', 'jwk', 'crit', 'kid', 'jti', 'htm', 'htu', 'iat', 'nonce')
    const values = fc.dictionary(names, fc.jsonValue({ maxDepth: 3 }), { maxKeys: 3 })
    fc.assert(
      fc.property(values, values, (inHeader, inClaims) =>
        reads(proofOf(ec, uri, { header: inHeader, claims: inClaims })),
      ),
      { numRuns: 200 },
    )
  })

  test('members of any kind in the key', () => {
    const members = fc.dictionary(
      fc.constantFrom('kty', 'crv', 'x', 'y', 'n', 'e', 'd', 'alg', 'use', 'key_ops', '__proto__'),
      fc.oneof(fc.jsonValue({ maxDepth: 2 }), fc.constantFrom('EC', 'OKP', 'RSA', 'P-256', 'constructor')),
    )
    const someHeader = { alg: 'ES256', typ: 'dpop+jwt' }
    fc.assert(
      fc.property(members, (given) =>
        reads(
          signed(
            ec,
            { ...someHeader, jwk: { ...ec.publicJwk, ...given } },
            JSON.parse(Buffer.from(claims, 'base64url').toString()),
          ),
        ),
      ),
      { numRuns: 200 },
    )
  })
})

/** A base64url character like the last one, with a bit set that encodes nothing. */
function spareBits(text: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  return alphabet[alphabet.indexOf(text.slice(-1)) + 1] ?? ''
}

function leadingZero(modulus = ''): string {
  return Buffer.concat([Buffer.alloc(1), Buffer.from(modulus, 'base64url')]).toString('base64url')
}
