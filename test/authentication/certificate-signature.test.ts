/** Which signatures of CAs count: by what the algorithm says of itself, and by the key. */
import { constants, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { isSignatureRight, isStrongSignature } from '../../src/authentication/certificate-signature.ts'
import { type DerValue, onlyValue, tags } from '../../src/lib/der.ts'
import { integer, octets, oid, sequence, tlv } from '../support/x509.ts'

type Digest = 'sha1' | 'sha224' | 'sha256' | 'sha384' | 'sha512'

const keys = {
  rsa: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ec: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  ed25519: generateKeyPairSync('ed25519'),
  ed448: generateKeyPairSync('ed448'),
}
type Kind = keyof typeof keys

const none = tlv(0x05)
const identifier = (id: string, ...parameters: readonly Buffer[]): DerValue =>
  onlyValue(sequence(oid(id), ...parameters), tags.sequence)

const hashes: Readonly<Record<Digest, string>> = {
  sha1: '1.3.14.3.2.26',
  sha224: '2.16.840.1.101.3.4.2.4',
  sha256: '2.16.840.1.101.3.4.2.1',
  sha384: '2.16.840.1.101.3.4.2.2',
  sha512: '2.16.840.1.101.3.4.2.3',
}
/** The hash, as the parameters of RSASSA-PSS have it: with NULL, or without. */
const hashIn = (digest: Digest, parameters = [none]) =>
  tlv(0xa0, sequence(oid(hashes[digest]), ...parameters))
const maskWith = (digest: Digest) =>
  tlv(0xa1, sequence(oid('1.2.840.113549.1.1.8'), sequence(oid(hashes[digest]), none)))
const pss = (...parameters: readonly Buffer[]) => identifier('1.2.840.113549.1.1.10', ...parameters)
const pssWith = (digest: Digest, parameters?: Buffer[]) =>
  pss(sequence(hashIn(digest, parameters), maskWith(digest), tlv(0xa2, integer(32))))

const text = Buffer.from('what a CA has signed')
function signatureOf(kind: Kind, digest: Digest | null, isPss: boolean): Buffer {
  const padding = isPss ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 } : {}
  return sign(digest, text, { key: keys[kind].privateKey, ...padding })
}

const strong: readonly (readonly [name: string, DerValue, Kind, Digest | null, isPss?: true])[] = [
  ['RSA with SHA-256', identifier('1.2.840.113549.1.1.11', none), 'rsa', 'sha256'],
  ['RSA with SHA-384', identifier('1.2.840.113549.1.1.12', none), 'rsa', 'sha384'],
  ['RSA with SHA-512', identifier('1.2.840.113549.1.1.13', none), 'rsa', 'sha512'],
  ['ECDSA with SHA-256', identifier('1.2.840.10045.4.3.2'), 'ec', 'sha256'],
  ['ECDSA with SHA-384', identifier('1.2.840.10045.4.3.3'), 'ec', 'sha384'],
  ['ECDSA with SHA-512', identifier('1.2.840.10045.4.3.4'), 'ec', 'sha512'],
  ['Ed25519', identifier('1.3.101.112'), 'ed25519', null],
  ['Ed448', identifier('1.3.101.113'), 'ed448', null],
  ['RSA-PSS with SHA-256', pssWith('sha256'), 'rsa', 'sha256', true],
  ['RSA-PSS with SHA-384', pssWith('sha384'), 'rsa', 'sha384', true],
  ['RSA-PSS with SHA-512', pssWith('sha512'), 'rsa', 'sha512', true],
  ['RSA-PSS whose hash has no parameters', pssWith('sha256', []), 'rsa', 'sha256', true],
  [
    'RSA-PSS with parameters that are long',
    pss(sequence(hashIn('sha256'), maskWith('sha256'), tlv(0xa2, octets(Buffer.alloc(100))))),
    'rsa',
    'sha256',
    true,
  ],
]

describe('counts, under the key and over the bytes that it was made with:', () => {
  test.for(strong)('%s', ([, algorithm, kind, digest, isPss = false]) => {
    expect(isStrongSignature(algorithm)).toBe(true)
    const signature = signatureOf(kind, digest, isPss)
    const { publicKey } = keys[kind]
    expect(isSignatureRight(algorithm, text, signature, publicKey)).toBe(true)
    expect(isSignatureRight(algorithm, Buffer.from('something else'), signature, publicKey)).toBe(false)
    // No key of another kind is asked for an error.
    for (const [other, { publicKey: key }] of Object.entries(keys)) {
      if (other !== kind) expect(isSignatureRight(algorithm, text, signature, key), other).toBe(false)
    }
  })

  test('and of two algorithms of one key, neither takes a signature of the other', () => {
    for (const [name, algorithm, kind] of strong) {
      for (const [other, , otherKind, digest, isPss = false] of strong) {
        if (kind !== otherKind || alike(name) === alike(other)) continue
        const signature = signatureOf(kind, digest, isPss)
        const isRight = isSignatureRight(algorithm, text, signature, keys[kind].publicKey)
        expect(isRight, `${name} for ${other}`).toBe(false)
      }
    }
  })
})

/** The three ways to write RSA-PSS with SHA-256 are one algorithm. */
const alike = (name: string) => (/whose hash|that are long/.test(name) ? 'RSA-PSS with SHA-256' : name)

describe('is too weak, or unknown, and no signature is right by it:', () => {
  test.for<[name: string, DerValue, Kind, Digest, isPss?: true]>([
    ['RSA with SHA-1', identifier('1.2.840.113549.1.1.5', none), 'rsa', 'sha1'],
    ['RSA with SHA-224', identifier('1.2.840.113549.1.1.14', none), 'rsa', 'sha224'],
    ['ECDSA with SHA-1', identifier('1.2.840.10045.4.1'), 'ec', 'sha1'],
    ['an algorithm that nobody knows', identifier('1.2.3.4'), 'rsa', 'sha256'],
    ['RSA-PSS without parameters, which means SHA-1', pss(), 'rsa', 'sha1', true],
    ['RSA-PSS with empty parameters, which mean SHA-1', pss(sequence()), 'rsa', 'sha1', true],
    ['RSA-PSS with SHA-1', pssWith('sha1'), 'rsa', 'sha1', true],
    ['RSA-PSS with SHA-224', pssWith('sha224'), 'rsa', 'sha224', true],
    ['RSA-PSS with SHA-256 for the mask alone', pss(sequence(maskWith('sha256'))), 'rsa', 'sha1', true],
    [
      'RSA-PSS with SHA-1 first, and SHA-256 in what follows',
      pss(sequence(hashIn('sha1'), octets(sequence(hashIn('sha256'))))),
      'rsa',
      'sha1',
      true,
    ],
    ['RSA-PSS with parameters of another type', pss(octets(sequence(hashIn('sha256')))), 'rsa', 'sha1', true],
  ])('%s', ([, algorithm, kind, digest, isPss = false]) => {
    expect(isStrongSignature(algorithm)).toBe(false)
    const key: KeyObject = keys[kind].publicKey
    for (const each of [digest, 'sha256'] as const) {
      expect(isSignatureRight(algorithm, text, signatureOf(kind, each, isPss), key), each).toBe(false)
    }
  })
})
