import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto'
import type { KeyEncryptionKey } from './seal.ts'

/** The kinds of text under a MAC. Each kind has its own key, so that one is never taken for another. */
export type Purpose = 'mintmark/key-manifest/v1' | 'mintmark/registry-seal/v1'

/** A text under a MAC of the key-encryption key, as it is in the database. */
export interface SealedText {
  readonly keyEncryptionKeyId: string
  readonly content: string
  readonly mac: Buffer
}

export function sealText(key: KeyEncryptionKey, purpose: Purpose, content: string): SealedText {
  return { keyEncryptionKeyId: key.id, content, mac: macOf(key, purpose, content) }
}

/** Whether a holder of this key wrote the text, for this purpose. */
export function isSealedWith(key: KeyEncryptionKey, purpose: Purpose, sealed: SealedText): boolean {
  const mac = macOf(key, purpose, sealed.content)
  return mac.length === sealed.mac.length && timingSafeEqual(mac, sealed.mac)
}

function macOf(key: KeyEncryptionKey, purpose: Purpose, content: string): Buffer {
  const derived = hkdfSync('sha256', key.bytes, Buffer.alloc(0), purpose, 32)
  return createHmac('sha256', Buffer.from(derived)).update(content).digest()
}
