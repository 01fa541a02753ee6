import { createHmac, createSecretKey, hkdfSync, type KeyObject, timingSafeEqual } from 'node:crypto'
import { DerivedKeys, type DerivedKeysOptions } from '../keys/derived-keys.ts'
import type { KeyEncryptionKey } from '../keys/seal.ts'
import { base64urlDecoded } from '../lib/base64url.ts'
import { limits } from '../limits.ts'

/**
 * Nonces for DPoP proofs (RFC 9449 §8). A nonce shows that a proof was made a short time ago, and not long before by
 * somebody who had the key for a moment. It is a time and a MAC over it:
 *
 *     K     = HKDF-SHA-256(key-encryption key, info "mintmark/dpop-nonce/v1")
 *     nonce = base64url(seconds since 1970 (6 bytes) ‖ HMAC-SHA-256(K, those 6 bytes), its first 16 bytes)
 *
 * Nothing is stored. Every replica has the key, so each accepts what another one gave. Many callers get the same nonce:
 * it is a time that nobody can forge in advance, not an identifier. Each proof has its own identifier, which counts
 * once.
 */
export type NonceState = 'right' | 'missing' | 'wrong' | 'expired'

const timeBytes = 6
const macBytes = 16

/** The key of nonces under a key-encryption key. */
export function nonceKey(key: KeyEncryptionKey): KeyObject {
  const derived = hkdfSync('sha256', key.bytes, Buffer.alloc(0), 'mintmark/dpop-nonce/v1', 32)
  return createSecretKey(Buffer.from(derived))
}

/** @param seconds since 1970. */
export function makeNonce(key: KeyObject, seconds: number): string {
  const time = Buffer.alloc(timeBytes)
  time.writeUIntBE(seconds, 0, timeBytes)
  return Buffer.concat([time, macOf(key, time)]).toString('base64url')
}

function macOf(key: KeyObject, time: Buffer): Buffer {
  return createHmac('sha256', key).update(time).digest().subarray(0, macBytes)
}

/** When a nonce was made under one of the keys; undefined if it was not. */
function nonceTime(keys: Iterable<KeyObject>, nonce: string): number | undefined {
  const bytes = base64urlDecoded(nonce)
  if (bytes?.length !== timeBytes + macBytes) return undefined
  const time = bytes.subarray(0, timeBytes)
  for (const key of keys) {
    if (timingSafeEqual(macOf(key, time), bytes.subarray(timeBytes))) return time.readUIntBE(0, timeBytes)
  }
  return undefined
}

export interface DpopNoncesOptions extends DerivedKeysOptions {
  /** Seconds since 1970. */
  readonly now: () => number
}

/** Nonces in a process that serves. */
export class DpopNonces {
  readonly #now: () => number
  readonly #keys: DerivedKeys
  #latest: { readonly seconds: number; readonly keyId: string; readonly text: string } | undefined

  constructor(options: DpopNoncesOptions) {
    this.#now = options.now
    this.#keys = new DerivedKeys(options, nonceKey)
  }

  /** @see DerivedKeys.load */
  async load(): Promise<void> {
    await this.#keys.load()
  }

  /** @see DerivedKeys.follow */
  async follow(): Promise<void> {
    await this.#keys.follow()
  }

  /** A nonce that is right from now on; undefined while no key-encryption key is at hand. */
  get current(): string | undefined {
    const newest = this.#keys.newest
    if (newest === undefined) return undefined
    const seconds = Math.floor(this.#now())
    if (this.#latest?.seconds !== seconds || this.#latest.keyId !== newest.id) {
      this.#latest = { seconds, keyId: newest.id, text: makeNonce(newest.key, seconds) }
    }
    return this.#latest.text
  }

  check(nonce: string | undefined): NonceState {
    if (nonce === undefined) return 'missing'
    const madeAt = nonceTime(this.#keys.all, nonce)
    // A nonce from the future comes from a replica whose clock is ahead.
    if (madeAt === undefined || madeAt > this.#now() + limits.dpopProofLeewaySeconds) return 'wrong'
    return madeAt <= this.#now() - limits.dpopNonceSeconds ? 'expired' : 'right'
  }
}
