import { hash, type KeyObject, sign } from 'node:crypto'
import type { Clock } from '../clock.ts'
import type { Queryable } from '../database/open.ts'
import { isPublished, signingKeyAt } from './schedule.ts'
import type { KeyEncryptionKey } from './seal.ts'
import { createKey, loadKeys, type StoredKey } from './store.ts'

/** A key ready to sign, with what every token of it begins with. */
export interface Signer {
  readonly kid: string
  /** The JWS protected header of its access tokens (RFC 9068 §2.1), encoded. */
  readonly encodedHeader: string
  readonly privateKey: KeyObject
}

/** The public keys as they are served. */
export interface PublishedKeys {
  readonly body: string
  /** Strong, quoted (RFC 9110 §8.8.3). */
  readonly etag: string
}

export interface KeyringOptions {
  readonly database: Queryable
  readonly keyEncryptionKey: KeyEncryptionKey
  readonly clock: Clock
}

interface Entry extends StoredKey {
  readonly signer: Signer
}

/** The signing keys in memory. Reloaded when the registry says that one changed. */
export class Keyring {
  readonly #options: KeyringOptions
  #entries: readonly Entry[] = []
  #published: { readonly kids: string; readonly keys: PublishedKeys } | undefined

  constructor(options: KeyringOptions) {
    this.#options = options
  }

  /** Reads all keys. @throws OperatorError when one does not open. */
  async load(): Promise<void> {
    const stored = await loadKeys(this.#options.database, this.#options.keyEncryptionKey)
    this.#entries = stored.map((key) => ({ ...key, signer: toSigner(key) }))
    this.#published = undefined
  }

  /** Makes the very first key where there is none. @returns whether it did. */
  async ensureFirstKey(): Promise<boolean> {
    if (this.#entries.length > 0) return false
    const { database, keyEncryptionKey, clock } = this.#options
    const made = await createKey(database, keyEncryptionKey, 1, clock.nowMilliseconds())
    await this.load()
    return made
  }

  /** The key that signs now; undefined when none may. */
  signer(now: number): Signer | undefined {
    return signingKeyAt(this.#entries, now)?.signer
  }

  /** The JWK Set of this moment (RFC 7517 §5), made once for each set of keys. */
  published(now: number): PublishedKeys {
    const entries = this.#entries.filter((key) => isPublished(key, now))
    const kids = entries.map((key) => key.kid).join(' ')
    if (this.#published?.kids === kids) return this.#published.keys
    const body = JSON.stringify({ keys: entries.map((key) => key.publicJwk) })
    const keys = { body, etag: `"${hash('sha256', body, 'base64url').slice(0, 27)}"` }
    this.#published = { kids, keys }
    return keys
  }
}

function toSigner(key: StoredKey): Signer {
  const header = JSON.stringify({ alg: key.algorithm, typ: 'at+jwt', kid: key.kid })
  return {
    kid: key.kid,
    encodedHeader: Buffer.from(header).toString('base64url'),
    privateKey: key.privateKey,
  }
}

/** A signed token in JWS compact form (RFC 7515 §7.1, RFC 7518 §3.4). `claims` is JSON text. */
export function signToken(signer: Signer, claims: string): string {
  const input = `${signer.encodedHeader}.${Buffer.from(claims).toString('base64url')}`
  // DER and a conversion here: asking OpenSSL for the raw form costs twice as much as the signature.
  const der = sign('sha256', Buffer.from(input, 'latin1'), signer.privateKey)
  return `${input}.${rawSignature(der).toString('base64url')}`
}

/** ECDSA signature from DER (SEQUENCE of two INTEGERs) to the two 32-byte numbers that JWS wants. */
export function rawSignature(der: Buffer): Buffer {
  const raw = Buffer.alloc(64)
  const firstLength = der.readUInt8(3)
  copyInteger(der.subarray(4, 4 + firstLength), raw, 32)
  const secondAt = 4 + firstLength
  copyInteger(der.subarray(secondAt + 2, secondAt + 2 + der.readUInt8(secondAt + 1)), raw, 64)
  return raw
}

/** A DER integer is as short as it can be and has a leading zero where its first bit is set. */
function copyInteger(integer: Buffer, target: Buffer, end: number): void {
  const digits = integer.length > 32 ? integer.subarray(integer.length - 32) : integer
  digits.copy(target, end - digits.length)
}
