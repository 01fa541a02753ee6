import { createCipheriv, createDecipheriv, hash, randomBytes } from 'node:crypto'

/**
 * Private keys are stored encrypted, with AES-256-GCM and the key-encryption key:
 *
 *     version (1 byte, 1) ‖ nonce (12 bytes, random) ‖ tag (16 bytes) ‖ ciphertext
 *
 * The `kid` and the algorithm are authenticated with the key. So a sealed key that was moved to another row
 * does not open.
 */
const version = 1
const nonceLength = 12
const tagLength = 16

export interface KeyEncryptionKey {
  /** Names the key and does not reveal it: 16 hex digits of a SHA-256 over a label and the key. */
  readonly id: string
  /** 32 bytes. */
  readonly bytes: Buffer
  /** Where the key came from: `configuration`, or the path of a file. */
  readonly source: string
}

export function keyEncryptionKey(bytes: Buffer, source = 'configuration'): KeyEncryptionKey {
  if (bytes.length !== 32) throw new RangeError('a key-encryption key has 32 bytes')
  return {
    id: hash('sha256', Buffer.concat([Buffer.from('mintmark-kek'), bytes]), 'hex').slice(0, 16),
    bytes,
    source,
  }
}

/** The key-encryption key that seals the newest signing key; undefined when there is none. */
export function newestSealedWith(
  keys: readonly { readonly publishedAt: number; readonly keyEncryptionKeyId: string }[],
): string | undefined {
  let newest = keys[0]
  for (const key of keys) if (newest !== undefined && key.publishedAt > newest.publishedAt) newest = key
  return newest?.keyEncryptionKeyId
}

export function seal(key: KeyEncryptionKey, plain: Buffer, context: string): Buffer {
  const nonce = randomBytes(nonceLength)
  const cipher = createCipheriv('aes-256-gcm', key.bytes, nonce)
  cipher.setAAD(Buffer.from(context))
  const sealed = Buffer.concat([cipher.update(plain), cipher.final()])
  return Buffer.concat([Buffer.from([version]), nonce, cipher.getAuthTag(), sealed])
}

/** @throws Error if the key is another one, or if one bit of the sealed bytes or of the context differs. */
export function unseal(key: KeyEncryptionKey, sealed: Buffer, context: string): Buffer {
  if (sealed[0] !== version || sealed.length <= 1 + nonceLength + tagLength) {
    throw new Error('the sealed key is truncated or of an unknown version')
  }
  const nonce = sealed.subarray(1, 1 + nonceLength)
  const tag = sealed.subarray(1 + nonceLength, 1 + nonceLength + tagLength)
  const decipher = createDecipheriv('aes-256-gcm', key.bytes, nonce, { authTagLength: tagLength })
  decipher.setAAD(Buffer.from(context))
  decipher.setAuthTag(tag)
  return Buffer.concat([decipher.update(sealed.subarray(1 + nonceLength + tagLength)), decipher.final()])
}
