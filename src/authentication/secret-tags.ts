import type { KeyObject } from 'node:crypto'
import type { KeyEncryptionKeySource } from '../keys/key-encryption-key.ts'
import type { RegisteredSecret } from '../registry/client.ts'
import { makeTag, type SecretTag, type TaggedSecret, tagKey, tagSays } from './secret-tag.ts'

/**
 * Tags in a process that serves: under which keys they are read, under which one they are made, and when they are
 * made again. Reading and making never wait. Where a key is not at hand there is no tag, and a hash decides.
 */
export interface SecretTagsOptions {
  readonly keyEncryptionKeys: KeyEncryptionKeySource
  /**
   * The key-encryption key that seals the newest signing key. Tags are made under it: as long as the keys are being
   * sealed anew, every replica has it.
   */
  readonly sealingKeyId: () => string | undefined
  /** Takes a tag that is to be kept. */
  readonly keep: (tagged: TaggedSecret, tag: SecretTag) => void
  readonly onFault: (error: unknown) => void
  /**
   * Called once for each secret whose tag nobody with the key made for its row: the tag or the hash was changed. The secret
   * is hashed, as without a tag.
   */
  readonly onSpoiled?: (secretId: string) => void
}

/** Secrets that are named. Whoever can write one tag can write all of them. */
const spoiledMax = 100

export class SecretTags {
  readonly #options: SecretTagsOptions
  /** Keys of tags, by the id of their key-encryption key. */
  #keys: ReadonlyMap<string, KeyObject> = new Map()
  #loading: Promise<void> | undefined
  readonly #spoiled = new Set<string>()

  constructor(options: SecretTagsOptions) {
    this.#options = options
  }

  /** Asks for the key-encryption keys: at the start, and when the signing keys are sealed with another one. */
  async load(): Promise<void> {
    this.#loading ??= this.#read().finally(() => {
      this.#loading = undefined
    })
    await this.#loading
  }

  async #read(): Promise<void> {
    try {
      const keys = await this.#options.keyEncryptionKeys()
      // A key that was replaced stays known here, so that its tags are read until they are made anew.
      const fresh = keys.filter(({ id }) => !this.#keys.has(id))
      this.#keys = new Map([...this.#keys, ...fresh.map((key) => [key.id, tagKey(key)] as const)])
    } catch (error) {
      // The keys at hand go on. Whoever needs a key to open a signing key says what is wrong.
      this.#options.onFault(error)
    }
  }

  /** Asks again if the signing keys are sealed with a key that is not at hand. */
  async follow(): Promise<void> {
    const id = this.#options.sealingKeyId()
    if (id !== undefined && !this.#keys.has(id)) await this.load()
  }

  /**
   * Whether a secret is right, by its tag.
   * @returns undefined when there is no tag that says so.
   */
  check(clientId: string, registered: RegisteredSecret, secret: string): 'right' | 'wrong' | undefined {
    const { tag } = registered
    const key = tag && this.#keys.get(tag.keyEncryptionKeyId)
    if (tag === undefined || key === undefined) return undefined
    const said = tagSays(key, tag, { clientId, ...registered }, secret)
    if (said === undefined) this.#noteSpoiled(registered.secretId)
    if (said === 'right' && tag.keyEncryptionKeyId !== this.#options.sealingKeyId()) {
      this.make(clientId, registered, secret)
    }
    return said
  }

  #noteSpoiled(secretId: string): void {
    if (this.#spoiled.size >= spoiledMax || this.#spoiled.has(secretId)) return
    this.#spoiled.add(secretId)
    this.#options.onSpoiled?.(secretId)
  }

  /** Makes the tag of a secret that was found to be right, and has it kept. */
  make(clientId: string, registered: RegisteredSecret, secret: string): void {
    const id = this.#options.sealingKeyId()
    const key = id === undefined ? undefined : this.#keys.get(id)
    if (id === undefined || key === undefined) return
    const tagged = { clientId, secretId: registered.secretId, hash: registered.hash }
    registered.tag = makeTag(key, id, tagged, secret)
    this.#options.keep(tagged, registered.tag)
  }
}
