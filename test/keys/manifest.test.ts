/** The manifest of the signing keys: only a holder of the key-encryption key makes one, and rows take away alone. */
import { describe, expect, test } from 'vitest'
import {
  contentHash,
  judgeRows,
  type Manifest,
  type ManifestEntry,
  openManifest,
  publicKeyHash,
  sealedKeyHash,
  sealManifest,
} from '../../src/keys/manifest.ts'
import { keyEncryptionKey } from '../../src/keys/seal.ts'
import { sealText } from '../../src/keys/sealed-text.ts'

const key = keyEncryptionKey(Buffer.alloc(32, 1), '/data/key')
const otherKey = keyEncryptionKey(Buffer.alloc(32, 2))

const entry: ManifestEntry = {
  kid: 'one',
  algorithm: 'ES256',
  generation: 1,
  publicKeyHash: 'aa',
  keyEncryptionKeyId: key.id,
  sealedKeyHash: 'bb',
  publishedAt: 100,
  signsFrom: 200,
  signsUntil: 300,
  publishedUntil: 400,
  revokedAt: undefined,
}
const revoked: ManifestEntry = { ...entry, kid: 'other', generation: 2, revokedAt: 250 }
const manifest: Manifest = { number: 7, chainBefore: 3, entries: [entry, revoked] }

describe('a manifest in the database', () => {
  const sealed = sealManifest(key, manifest)

  test('is read as it was written, whatever order its keys came in', () => {
    const hash = contentHash(sealed.content)
    expect(openManifest(sealed, [otherKey, key])).toEqual({ ...manifest, contentHash: hash })
    const third = { ...entry, kid: 'a third' }
    const inOrder = sealManifest(key, { ...manifest, entries: [third, entry, revoked] })
    for (const entries of [
      [revoked, entry, third],
      [entry, revoked, third],
    ])
      expect(sealManifest(key, { ...manifest, entries })).toEqual(inOrder)
    expect(openManifest(inOrder, [key]).entries).toEqual([third, entry, revoked])
  })

  test('has the form that earlier releases read', () => {
    expect(sealed).toMatchObject({ number: 7, keyEncryptionKeyId: key.id })
    const moments = [100, 200, 300, 400]
    expect(JSON.parse(sealed.content)).toEqual([
      1,
      7,
      3,
      [
        ['one', 'ES256', 1, 'aa', key.id, 'bb', ...moments, null],
        ['other', 'ES256', 2, 'aa', key.id, 'bb', ...moments, 250],
      ],
    ])
    expect(sealed.mac.toString('hex')).toBe(
      'c79a1dbdacb5a57163cd695a351b66aa7b5e8f44d3767b88875813a1998f7727',
    )
    expect(contentHash(sealed.content)).toBe(
      'd145185fb6bc0c8dc5353bcd5171cca608bb4bf87eb391613ba930ef014d0de9',
    )
  })

  test.each([
    ['another number', { ...sealed, content: sealed.content.replace('[1,7,', '[1,8,') }],
    ['a longer life', { ...sealed, content: sealed.content.replace('400', '900') }],
    ['no revocation', { ...sealed, content: sealed.content.replace('250', 'null') }],
    ['a MAC that is cut', { ...sealed, mac: sealed.mac.subarray(1) }],
    ['a MAC of another key', { ...sealManifest(otherKey, manifest), keyEncryptionKeyId: key.id }],
    [
      'a text that was sealed for another purpose',
      { number: 7, ...sealText(key, 'mintmark/registry-seal/v1', sealed.content) },
    ],
  ])('is refused with %s', (_, damaged) => {
    expect(() => openManifest(damaged, [key])).toThrow(
      expect.objectContaining({ code: 'key_manifest_damaged' }),
    )
  })

  test.each([
    [[otherKey], 'configuration'],
    [[keyEncryptionKey(Buffer.alloc(32, 3), '/data/other'), otherKey], '/data/other'],
    [[], 'configuration'],
  ])('whose key is not at hand names those that are, and where they come from: %#', (keys, source) => {
    const atHand = keys.map(({ id }) => id)
    const fields = { kid: undefined, keyEncryptionKeyId: key.id, atHand, source }
    expect(() => openManifest(sealed, keys)).toThrow(
      expect.objectContaining({ code: 'key_encryption_key_differs', fields }),
    )
  })
})

describe('what rows say beside it', () => {
  const judged = (...rows: readonly ManifestEntry[]) => {
    const { vouched, newlyRevoked, problems } = judgeRows(manifest, rows)
    return { vouched: [...vouched.values()], newlyRevoked, problems }
  }
  const none = { newlyRevoked: [], problems: [] }
  const other = { ...entry, revokedAt: 111 }

  test('is believed where it is the same', () => {
    expect(judged(entry, revoked)).toEqual({ ...none, vouched: [entry, revoked] })
  })

  test('takes away: a row that is gone, and one that is revoked', () => {
    expect(judged(revoked)).toEqual({
      ...none,
      vouched: [revoked],
      problems: [{ kid: 'one', problem: 'key_missing' }],
    })
    expect(judged(other, revoked)).toEqual({ ...none, vouched: [other, revoked], newlyRevoked: ['one'] })
  })

  test('gives no key back that was revoked, and no other moment of it', () => {
    expect(judged(entry, { ...revoked, revokedAt: undefined })).toEqual({
      ...none,
      vouched: [entry, revoked],
      problems: [{ kid: 'other', problem: 'key_revocation_undone' }],
    })
    expect(judged(entry, { ...revoked, revokedAt: 999 })).toEqual({ ...none, vouched: [entry, revoked] })
  })

  test('is nothing of a key that nobody vouched for', () => {
    expect(judged(entry, revoked, { ...entry, kid: 'evil' })).toEqual({
      ...none,
      vouched: [entry, revoked],
      problems: [{ kid: 'evil', problem: 'key_unknown' }],
    })
  })

  test('counts once: a second row of a key is one that nobody vouched for', () => {
    expect(judged(entry, entry, revoked).problems).toEqual([{ kid: 'one', problem: 'key_unknown' }])
  })

  test.each<[keyof ManifestEntry, ManifestEntry[keyof ManifestEntry]]>([
    ['algorithm', 'RS256'],
    ['generation', 2],
    ['publicKeyHash', 'cc'],
    ['keyEncryptionKeyId', otherKey.id],
    ['sealedKeyHash', 'cc'],
    ['publishedAt', 99],
    ['signsFrom', 199],
    ['signsUntil', 301],
    ['publishedUntil', 401],
  ])('is nothing of a key with another %s, even if it says that it is revoked', (name, value) => {
    for (const revokedAt of [undefined, 111])
      expect(judged({ ...entry, [name]: value, revokedAt }, revoked)).toEqual({
        ...none,
        vouched: [revoked],
        problems: [{ kid: 'one', problem: 'key_altered' }],
      })
  })
})

describe('the hash of a public key', () => {
  const jwk = { kty: 'EC', crv: 'P-256', x: 'AQ', y: 'Ag' }

  test('is the same whatever order the database gives the members in, and is always the same', () => {
    expect(publicKeyHash(jwk)).toBe('ebbe5ce0978b35e80d9251584b75cff6336e55d238ee3867fa2add272ca5e916')
    expect(publicKeyHash({ y: 'Ag', x: 'AQ', kty: 'EC', crv: 'P-256' })).toBe(publicKeyHash(jwk))
    expect(publicKeyHash({ x: 'AQ', kty: 'EC', y: 'Ag', crv: 'P-256' })).toBe(publicKeyHash(jwk))
  })

  test('is another one for whatever else somebody wrote in its place', () => {
    const written = [
      jwk,
      { ...jwk, y: 'Aw' },
      { ...jwk, use: 'sig' },
      {},
      null,
      'text',
      ['t', 'e', 'x', 't'],
      5,
      true,
    ]
    const hashes = written.map(publicKeyHash)
    expect(new Set(hashes).size).toBe(written.length)
    for (const hash of hashes) expect(hash).toMatch(/^[0-9a-f]{64}$/)
  })
})

test('the hash of a sealed private key is always the same', () => {
  expect(sealedKeyHash(Buffer.from('sealed'))).toBe(
    'c9d0036bed6744bcdf692fc980d8717d7e5f5a4f4e8266b4a84982602fb1cd09',
  )
})
