import type { KeyObject } from 'node:crypto'
import type { KeyEncryptionKeySource } from './key-encryption-key.ts'
import type { KeyEncryptionKey } from './seal.ts'

export interface DerivedKeysOptions {
  readonly keyEncryptionKeys: KeyEncryptionKeySource
  /**
   * The key-encryption key that seals the newest signing key: while the keys are being sealed again, every replica has
   * it.
   */
  readonly sealingKeyId: () => string | undefined
  readonly onFault: (error: unknown) => void
}

/**
 * Keys that are derived from the key-encryption keys, for one purpose. Reading them never waits: they are asked for at the
 * start, and when the signing keys are sealed with another key.
 */
export class DerivedKeys {
  readonly #options: DerivedKeysOptions
  readonly #derive: (key: KeyEncryptionKey) => KeyObject
  /** By the id of their key-encryption key. */
  #keys: ReadonlyMap<string, KeyObject> = new Map()
  #loading: Promise<void> | undefined

  constructor(options: DerivedKeysOptions, derive: (key: KeyEncryptionKey) => KeyObject) {
    this.#options = options
    this.#derive = derive
  }

  async load(): Promise<void> {
    this.#loading ??= this.#read().finally(() => {
      this.#loading = undefined
    })
    await this.#loading
  }

  async #read(): Promise<void> {
    try {
      const keys = await this.#options.keyEncryptionKeys()
      // A key that was replaced stays known here, so that what was made under it is still read.
      const fresh = keys.filter(({ id }) => !this.#keys.has(id))
      this.#keys = new Map([...this.#keys, ...fresh.map((key) => [key.id, this.#derive(key)] as const)])
    } catch (error) {
      // The keys in memory stay in use. Code that needs a key to open a signing key reports what is wrong.
      this.#options.onFault(error)
    }
  }

  /** Asks again if the signing keys are sealed with a key that is not at hand. */
  async follow(): Promise<void> {
    const id = this.#options.sealingKeyId()
    if (id !== undefined && !this.#keys.has(id)) await this.load()
  }

  get(keyEncryptionKeyId: string): KeyObject | undefined {
    return this.#keys.get(keyEncryptionKeyId)
  }

  /** The key to use for something that every replica must be able to read. */
  get newest(): { readonly id: string; readonly key: KeyObject } | undefined {
    const id = this.#options.sealingKeyId()
    if (id === undefined) return undefined
    const key = this.#keys.get(id)
    return key === undefined ? undefined : { id, key }
  }

  get all(): Iterable<KeyObject> {
    return this.#keys.values()
  }
}
