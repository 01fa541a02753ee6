import { createCipheriv, createDecipheriv, hash, randomBytes } from 'node:crypto'

/**
 * Private keys at rest: AES-256-GCM under the key-encryption key.
 *
 *     version (1 byte, 1) ‖ nonce (12 bytes, random) ‖ tag (16 bytes) ‖ ciphertext
 *
 * The key's `kid` and algorithm are authenticated with it, so a sealed key moved to another row does not open.
 */
const version = 1
const nonceLength = 12
const tagLength = 16

export interface KeyEncryptionKey {
  /** Names the key without revealing it: the first half of its SHA-256, in hex. */
  readonly id: string
  /** 32 bytes. */
  readonly bytes: Buffer
  /** Where it came from: `configuration`, or the path of a file. */
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

export function seal(key: KeyEncryptionKey, plain: Buffer, context: string): Buffer {
  const nonce = randomBytes(nonceLength)
  const cipher = createCipheriv('aes-256-gcm', key.bytes, nonce)
  cipher.setAAD(Buffer.from(context))
  const sealed = Buffer.concat([cipher.update(plain), cipher.final()])
  return Buffer.concat([Buffer.from([version]), nonce, cipher.getAuthTag(), sealed])
}

/** @throws Error when the key is another one, or a single bit of the sealed bytes or the context differs. */
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
