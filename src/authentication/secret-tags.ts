import { DerivedKeys, type DerivedKeysOptions } from '../keys/derived-keys.ts'
import type { RegisteredSecret } from '../registry/client.ts'
import { makeTag, type SecretTag, type TaggedSecret, tagKey, tagSays } from './secret-tag.ts'

/**
 * Tags in a process that serves: under which keys they are read, under which one they are made, and when they are
 * made again. Reading and making never wait. If a key is missing there is no tag, and a hash decides.
 */
export interface SecretTagsOptions extends DerivedKeysOptions {
  /** Takes a tag that is to be kept. */
  readonly keep: (tagged: TaggedSecret, tag: SecretTag) => void
  /**
   * Called once for each secret whose tag does not fit its row: somebody without the key changed the tag or the hash.
   * The secret is hashed, as without a tag.
   */
  readonly onSpoiled?: (secretId: string) => void
}

/** How many secrets are reported at most. Somebody who can write one tag can write all of them. */
const spoiledMax = 100

export class SecretTags {
  readonly #options: SecretTagsOptions
  readonly #keys: DerivedKeys
  readonly #spoiled = new Set<string>()

  constructor(options: SecretTagsOptions) {
    this.#options = options
    this.#keys = new DerivedKeys(options, tagKey)
  }

  /** @see DerivedKeys.load */
  async load(): Promise<void> {
    await this.#keys.load()
  }

  /** @see DerivedKeys.follow */
  async follow(): Promise<void> {
    await this.#keys.follow()
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
    const newest = this.#keys.newest
    if (newest === undefined) return
    const tagged = { clientId, secretId: registered.secretId, hash: registered.hash }
    registered.tag = makeTag(newest.key, newest.id, tagged, secret)
    this.#options.keep(tagged, registered.tag)
  }
}
