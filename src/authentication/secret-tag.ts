import { createHmac, createSecretKey, hkdfSync, type KeyObject, timingSafeEqual } from 'node:crypto'
import type { KeyEncryptionKey } from '../keys/seal.ts'

/**
 * A verified secret leaves a tag, so that no process has to hash it again:
 *
 *     K    = HKDF-SHA-256(key-encryption key, info "mintmark/secret-tag/v1")
 *     tag  = HMAC-SHA-256(K, "tag" ‖ client id ‖ secret id ‖ argon2 hash ‖ secret)
 *     seal = HMAC-SHA-256(K, "row" ‖ client id ‖ secret id ‖ argon2 hash ‖ tag)
 *
 * with each field behind its length. What argon2id protects is a secret that a person chose. Ours have 256 random
 * bits, so an HMAC under a key that is not in the database protects them as well (RFC 5869, RFC 2104).
 *
 * A stolen copy of the database has no K, so a tag says nothing about the secret. Somebody who can write to the
 * database has no K either: a tag that was changed, or that belongs to another client, another secret or an older hash,
 * has the wrong seal. It counts as no tag, and argon2 decides.
 */
export interface SecretTag {
  readonly keyEncryptionKeyId: string
  /** The 32 bytes of the tag and the 32 bytes of the seal, a character of Latin-1 each. Small in memory. */
  readonly bytes: string
}

/** What a tag is made for: one secret of one client, and the hash that it was verified against. */
export interface TaggedSecret {
  readonly clientId: string
  readonly secretId: string
  readonly hash: string
}

const macBytes = 32

/** The key of tags under a key-encryption key. */
export function tagKey(key: KeyEncryptionKey): KeyObject {
  const derived = hkdfSync('sha256', key.bytes, Buffer.alloc(0), 'mintmark/secret-tag/v1', 32)
  return createSecretKey(Buffer.from(derived))
}

export function makeTag(
  key: KeyObject,
  keyEncryptionKeyId: string,
  tagged: TaggedSecret,
  secret: string,
): SecretTag {
  const tag = tagOf(key, tagged, secret)
  const bytes = Buffer.concat([tag, sealOf(key, tagged, tag)]).toString('latin1')
  return { keyEncryptionKeyId, bytes }
}

/**
 * What a stored tag says about a secret.
 * @returns undefined when it says nothing: it was not made under this key, or not for this secret and hash.
 */
export function tagSays(
  key: KeyObject,
  { bytes }: SecretTag,
  tagged: TaggedSecret,
  secret: string,
): 'right' | 'wrong' | undefined {
  const stored = Buffer.from(bytes, 'latin1')
  if (stored.length !== 2 * macBytes) return undefined
  const tag = stored.subarray(0, macBytes)
  if (!timingSafeEqual(stored.subarray(macBytes), sealOf(key, tagged, tag))) return undefined
  return timingSafeEqual(tag, tagOf(key, tagged, secret)) ? 'right' : 'wrong'
}

function tagOf(key: KeyObject, { clientId, secretId, hash }: TaggedSecret, secret: string): Buffer {
  return mac(key, ['tag', clientId, secretId, hash, secret])
}

function sealOf(key: KeyObject, { clientId, secretId, hash }: TaggedSecret, tag: Buffer): Buffer {
  return mac(key, ['row', clientId, secretId, hash, tag])
}

/** Each field stands behind its length, so that no two lists of fields give the same bytes. */
function mac(key: KeyObject, fields: readonly (string | Buffer)[]): Buffer {
  const hmac = createHmac('sha256', key)
  for (const field of fields) {
    const bytes = Buffer.from(field as string)
    const length = Buffer.alloc(4)
    length.writeUInt32BE(bytes.length)
    hmac.update(length).update(bytes)
  }
  return hmac.digest()
}
