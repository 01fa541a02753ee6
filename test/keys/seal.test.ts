/** What was sealed opens with the same key and context, and in no other case whatever. */
import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { keyEncryptionKey, newestSealedWith, seal, unseal } from '../../src/keys/seal.ts'

const key = keyEncryptionKey(Buffer.alloc(32, 7))
const context = 'mintmark signing key abc ES256'
const plain = Buffer.from('a private key in PKCS #8')

describe('a sealed key', () => {
  test('opens again, whatever it is', () => {
    const bytes = fc.uint8Array({ minLength: 1, maxLength: 300 })
    fc.assert(
      fc.property(
        bytes,
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        fc.string(),
        (content, secret, about) => {
          const some = keyEncryptionKey(Buffer.from(secret))
          expect(unseal(some, seal(some, Buffer.from(content), about), about)).toEqual(Buffer.from(content))
        },
      ),
    )
  })

  test('has the form that is written down: version, nonce, tag, ciphertext', () => {
    const sealed = seal(key, plain, context)
    expect(sealed[0]).toBe(1)
    expect(sealed.length).toBe(1 + 12 + 16 + plain.length)
    expect(sealed.includes(plain)).toBe(false)
  })

  test('is another one every time: no nonce is used twice (NIST SP 800-38D §8)', () => {
    const nonces = Array.from({ length: 200 }, () => seal(key, plain, context).toString('hex', 1, 13))
    expect(new Set(nonces).size).toBe(nonces.length)
  })

  test('does not open with a single bit of it changed, wherever', () => {
    const sealed = seal(key, plain, context)
    for (let bit = 0; bit < sealed.length * 8; bit += 1) {
      const changed = Buffer.from(sealed)
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      expect(() => unseal(key, changed, context), `bit ${bit}`).toThrow()
    }
  })

  test('does not open when cut anywhere, or with something behind it', () => {
    const sealed = seal(key, plain, context)
    for (let length = 0; length < sealed.length; length += 1) {
      expect(() => unseal(key, sealed.subarray(0, length), context), `${length} bytes`).toThrow()
    }
    expect(() => unseal(key, Buffer.concat([sealed, Buffer.from([0])]), context)).toThrow()
  })

  test.each([
    'mintmark signing key abd ES256',
    'mintmark signing key abc ES25',
    'mintmark signing key abc ES256 ',
    '',
  ])('does not open in another row: %j', (other) => {
    expect(() => unseal(key, seal(key, plain, context), other)).toThrow()
  })

  test('does not open with a key that differs in a single bit', () => {
    const sealed = seal(key, plain, context)
    for (let bit = 0; bit < 256; bit += 1) {
      const bytes = Buffer.from(key.bytes)
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      expect(() => unseal(keyEncryptionKey(bytes), sealed, context), `bit ${bit}`).toThrow()
    }
  })

  test('of a later version is told apart from a damaged one', () => {
    const sealed = seal(key, plain, context)
    sealed[0] = 2
    expect(() => unseal(key, sealed, context)).toThrow('truncated or of an unknown version')
  })

  test('that is cut so far that nothing is sealed in it is told apart as well, and so is nothing at all', () => {
    const sealed = seal(key, plain, context)
    for (const cut of [seal(key, Buffer.alloc(0), context), sealed.subarray(0, 29), sealed.subarray(0, 1)])
      expect(() => unseal(key, cut, context)).toThrow('truncated or of an unknown version')
  })
})

describe('a key-encryption key', () => {
  test.each([0, 1, 16, 31, 33, 64])('has 32 bytes: %i are refused', (length) => {
    expect(() => keyEncryptionKey(Buffer.alloc(length))).toThrow(RangeError)
    expect(() => keyEncryptionKey(Buffer.alloc(length))).toThrow('has 32 bytes')
  })

  test('comes from the configuration, unless a file is named', () => {
    expect(keyEncryptionKey(Buffer.alloc(32)).source).toBe('configuration')
    expect(keyEncryptionKey(Buffer.alloc(32), '/data/key').source).toBe('/data/key')
  })

  test('has a name of its own that always stays the same', () => {
    // Written down: were it to change, every stored key would look sealed with another one.
    expect(keyEncryptionKey(Buffer.alloc(32)).id).toBe('6a85310babd31d48')
    const ids = Array.from({ length: 100 }, () => keyEncryptionKey(randomBytes(32)).id)
    expect(new Set(ids).size).toBe(ids.length)
  })

  test('is not revealed by its name', () => {
    const { id } = keyEncryptionKey(Buffer.alloc(32, 0xab))
    expect(id).toMatch(/^[0-9a-f]{16}$/)
    expect(id).not.toContain('abab')
  })
})

describe('what seals the newest signing key', () => {
  const published = (...moments: readonly (readonly [number, string])[]) =>
    newestSealedWith(
      moments.map(([publishedAt, keyEncryptionKeyId]) => ({ publishedAt, keyEncryptionKeyId })),
    )

  test('is found wherever it stands', () => {
    expect(published([1, 'a'], [3, 'c'], [2, 'b'])).toBe('c')
    expect(published([3, 'c'], [2, 'b'], [1, 'a'])).toBe('c')
    expect(published([1, 'a'], [2, 'b'], [3, 'c'])).toBe('c')
  })

  test('is that of the first one where several are as new: every replica takes the same', () => {
    expect(published([1, 'a'], [3, 'c'], [3, 'd'])).toBe('c')
  })

  test('is nothing where there is no signing key', () => {
    expect(published()).toBeUndefined()
  })
})
