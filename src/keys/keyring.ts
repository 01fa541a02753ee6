import type { KeyObject } from 'node:crypto'
import type { Statements } from '../database/open.ts'
import { OperatorError } from '../errors.ts'
import { algorithms } from './algorithms.ts'
import type { KeyEncryptionKeySource } from './key-encryption-key.ts'
import type { SigningAlgorithm } from './signing-algorithm.ts'
import { isOver, isPublished, type ScheduleSettings, signingKeyAt } from './state.ts'
import { type KeyDescription, type LoadedKey, listKeys, loadKeys } from './store.ts'

/** A key ready to sign. */
export interface Signer {
  readonly kid: string
  /** @param claims JSON text. @returns a signed token in JWS compact form (RFC 7515 §7.1). */
  readonly sign: (claims: string) => string
}

/** The public keys in the form that the service returns. */
export interface PublishedKeys {
  readonly kids: readonly string[]
  /** The JWK Set as JSON text. */
  readonly body: string
}

export interface KeyringOptions {
  readonly database: Statements
  readonly keyEncryptionKeys: KeyEncryptionKeySource
  readonly schedule: ScheduleSettings
  /** Seconds since 1970. */
  readonly now: () => number
  /** Called when a running service finds a key that it cannot open. */
  readonly onUnopened: (error: OperatorError) => void
}

interface Entry extends LoadedKey {
  /** Undefined if the key was not opened. Then no other key signs in its turn. */
  readonly signer: Signer | undefined
}

/**
 * The signing keys in memory. They are reloaded when the registry says that a key changed. The state of a key
 * depends on time too, so each call computes it from the current time.
 */
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
   * Reads all keys. Reads run one after another, so that an older read cannot overwrite the result of a newer
   * one.
   *
   * A key that does not open stops the start of a service. A running service continues without it: newly
   * published and revoked keys must reach the JWK Set, and for that no private key is needed.
   * @param knownVersion a version of the registry that the keys must not be older than.
   * @throws OperatorError when a key does not open at the first read.
   */
  async load(knownVersion?: number): Promise<void> {
    this.#loading = this.#loading.catch(() => {}).then(() => this.#read(knownVersion))
    await this.#loading
  }

  async #read(knownVersion: number | undefined): Promise<void> {
    const opened = new Map<string, KeyObject>()
    for (const { kid, privateKey } of this.#entries) if (privateKey !== undefined) opened.set(kid, privateKey)
    const stored = await this.#readStored(opened, knownVersion)
    this.#entries = stored.map((key) => ({
      ...key,
      signer: key.privateKey === undefined ? undefined : toSigner({ ...key, privateKey: key.privateKey }),
    }))
    this.#byAlgorithm = Map.groupBy(this.#entries, ({ algorithm }) => algorithm)
  }

  async #readStored(
    opened: ReadonlyMap<string, KeyObject>,
    knownVersion: number | undefined,
  ): Promise<readonly LoadedKey[]> {
    const { database, keyEncryptionKeys, onUnopened } = this.#options
    try {
      return await loadKeys(database, keyEncryptionKeys, (key) => !this.#isOver(key), opened, knownVersion)
    } catch (error) {
      if (!(error instanceof OperatorError) || this.#entries.length === 0) throw error
      onUnopened(error)
      return (await listKeys(database)).map((key) => ({ ...key, privateKey: opened.get(key.kid) }))
    }
  }

  get keys(): readonly KeyDescription[] {
    return this.#entries
  }

  /** Whether a key could not be opened. Another read may succeed. */
  get incomplete(): boolean {
    return this.#entries.some((key) => key.signer === undefined && !this.#isOver(key))
  }

  #isOver(key: KeyDescription): boolean {
    return isOver(key, this.#options.schedule, this.#options.now())
  }

  /** The key of an algorithm that signs now; undefined if no key may sign. */
  signer(algorithm: SigningAlgorithm, now: number): Signer | undefined {
    return signingKeyAt(this.#byAlgorithm.get(algorithm) ?? [], this.#options.schedule, now)?.signer
  }

  /** The JWK Set at this time (RFC 7517 §5). Its text is created once for each set of keys. */
  published(now: number): PublishedKeys {
    const entries = this.#entries.filter((key) => isPublished(key, now))
    const { kids } = this.#published
    const same = kids.length === entries.length && entries.every((key, index) => key.kid === kids[index])
    if (!same) this.#published = publish(entries)
    return this.#published
  }
}

function publish(entries: readonly KeyDescription[]): PublishedKeys {
  return {
    kids: entries.map((key) => key.kid),
    body: JSON.stringify({ keys: entries.map((key) => key.publicJwk) }),
  }
}

/** Creates the signer of a key. */
export function toSigner({
  algorithm,
  kid,
  privateKey,
}: Pick<KeyDescription, 'algorithm' | 'kid'> & { readonly privateKey: KeyObject }): Signer {
  // The JWS protected header of an access token (RFC 9068 §2.1). All tokens of a key have the same one.
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
