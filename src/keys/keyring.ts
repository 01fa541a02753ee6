import { hash } from 'node:crypto'
import type { Queryable } from '../database/open.ts'
import type { SigningAlgorithm } from '../signing-algorithm.ts'
import { algorithms } from './algorithms.ts'
import type { KeyEncryptionKeySource } from './key-encryption-key.ts'
import { isPublished, type ScheduleSettings, signingKeyAt } from './schedule.ts'
import { loadKeys, type StoredKey } from './store.ts'

/** A key ready to sign. */
export interface Signer {
  readonly kid: string
  /** A signed token in JWS compact form (RFC 7515 §7.1). `claims` is JSON text. */
  readonly sign: (claims: string) => string
}

/** The public keys as they are served. */
export interface PublishedKeys {
  readonly kids: readonly string[]
  readonly body: string
  /** Strong, quoted (RFC 9110 §8.8.3). */
  readonly etag: string
}

export interface KeyringOptions {
  readonly database: Queryable
  readonly keyEncryptionKeys: KeyEncryptionKeySource
  readonly schedule: ScheduleSettings
}

interface Entry extends StoredKey {
  readonly signer: Signer
}

/** The signing keys in memory. Reloaded when the registry says that one changed; what time changes, now decides. */
export class Keyring {
  readonly #options: KeyringOptions
  #entries: readonly Entry[] = []
  #byAlgorithm = new Map<SigningAlgorithm, Entry[]>()
  #published: PublishedKeys = publish([])
  #loading: Promise<void> = Promise.resolve()

  constructor(options: KeyringOptions) {
    this.#options = options
  }

  /**
   * Reads all keys. One reading at a time: an older one must not overwrite what a newer one found.
   * @throws OperatorError when one does not open.
   */
  async load(): Promise<void> {
    this.#loading = this.#loading.catch(() => {}).then(() => this.#read())
    await this.#loading
  }

  async #read(): Promise<void> {
    const opened = new Map(this.#entries.map(({ kid, privateKey }) => [kid, privateKey]))
    const { database, keyEncryptionKeys } = this.#options
    const stored = await loadKeys(database, keyEncryptionKeys, opened)
    this.#entries = stored.map((key) => ({ ...key, signer: toSigner(key) }))
    this.#byAlgorithm = Map.groupBy(this.#entries, ({ algorithm }) => algorithm)
  }

  get keys(): readonly StoredKey[] {
    return this.#entries
  }

  /** The key of an algorithm that signs now; undefined when none may. */
  signer(algorithm: SigningAlgorithm, now: number): Signer | undefined {
    return signingKeyAt(this.#byAlgorithm.get(algorithm) ?? [], this.#options.schedule, now)?.signer
  }

  /** The JWK Set of this moment (RFC 7517 §5), made once for each set of keys. */
  published(now: number): PublishedKeys {
    const entries = this.#entries.filter((key) => isPublished(key, now))
    const { kids } = this.#published
    const same = kids.length === entries.length && entries.every((key, index) => key.kid === kids[index])
    if (!same) this.#published = publish(entries)
    return this.#published
  }
}

function publish(entries: readonly StoredKey[]): PublishedKeys {
  const body = JSON.stringify({ keys: entries.map((key) => key.publicJwk) })
  return {
    kids: entries.map((key) => key.kid),
    body,
    etag: `"${hash('sha256', body, 'base64url').slice(0, 27)}"`,
  }
}

/** What signs with a key. */
export function toSigner({
  algorithm,
  kid,
  privateKey,
}: Pick<StoredKey, 'algorithm' | 'kid' | 'privateKey'>): Signer {
  // The JWS protected header of an access token (RFC 9068 §2.1): the same for every token of a key.
  const header = Buffer.from(JSON.stringify({ alg: algorithm, typ: 'at+jwt', kid })).toString('base64url')
  const { sign } = algorithms[algorithm]
  return {
    kid,
    sign(claims) {
      const input = `${header}.${Buffer.from(claims).toString('base64url')}`
      return `${input}.${sign(Buffer.from(input, 'latin1'), privateKey).toString('base64url')}`
    },
  }
}
