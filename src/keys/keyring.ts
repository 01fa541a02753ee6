import type { KeyObject } from 'node:crypto'
import { BehindError, isBehind } from '../database/history.ts'
import type { Statements } from '../database/open.ts'
import { AdministrationError, OperatorError } from '../errors.ts'
import { algorithms } from './algorithms.ts'
import type { KeyEncryptionKeySource } from './key-encryption-key.ts'
import type { KeyProblem, Manifest } from './manifest.ts'
import { type LoadedKey, type LoadedKeys, loadKeys, recordedManifest } from './manifest-store.ts'
import { type SigningAlgorithm, type TokenTyp, tokenTyps } from './signing-algorithm.ts'
import { isOver, isPublished, type ScheduleSettings, signingKeyAt, tokensEndBy } from './state.ts'
import { type KeyDescription, listKeys } from './store.ts'

/** A key ready to sign. */
export interface Signer {
  readonly kid: string
  /** The latest end of a token of this key, in seconds since 1970. */
  readonly tokensEndBy: number
  /**
   * @param claims JSON text.
   * @param typ what the header says the token is.
   * @returns a signed token in JWS compact form (RFC 7515 §7.1).
   */
  readonly sign: (claims: string, typ: TokenTyp) => string
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
  /** Called when rows are found that were not written by a holder of the key-encryption key. */
  readonly onUnvouched: (problems: readonly KeyProblem[]) => void
}

/** What a process knows of the keys. */
export interface KnownKeys {
  /** Of the newest manifest that it has read. */
  readonly number: number
  readonly keys: readonly LoadedKey[]
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
  /** Of the manifest that was read last; undefined before the first one. Never goes back. */
  #number: number | undefined
  #needsVouching = false
  /** Whether the last read could not be believed. */
  #isBehind = false
  #lost: KnownKeys | undefined
  #problems: readonly KeyProblem[] = []

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
      signer:
        key.privateKey === undefined
          ? undefined
          : toSigner({ ...key, privateKey: key.privateKey }, tokensEndBy(key, this.#options.schedule)),
    }))
    this.#byAlgorithm = Map.groupBy(this.#entries, ({ algorithm }) => algorithm)
  }

  async #readStored(
    opened: ReadonlyMap<string, KeyObject>,
    knownVersion: number | undefined,
  ): Promise<readonly LoadedKey[]> {
    const { database, keyEncryptionKeys, onUnopened } = this.#options
    const isFirst = this.#number === undefined
    this.#lost = undefined
    try {
      const keys = await keyEncryptionKeys()
      const wanted = (key: KeyDescription): boolean => !this.#isOver(key)
      const loaded = await loadKeys(database, keys, wanted, opened, isFirst ? undefined : onUnopened)
      if (knownVersion !== undefined && isBehind(loaded.registryVersion, knownVersion))
        throw new BehindError('the signing keys were read from a database that is behind')
      if (isFirst) await this.#refuseOlder(loaded)
      const believed = this.#believe(loaded)
      this.#isBehind = false
      return believed
    } catch (error) {
      if (!(error instanceof OperatorError) || isFirst) throw error
      this.#isBehind = true
      onUnopened(error)
      return await this.#withRevocations()
    }
  }

  /** A process that starts remembers no number. The ledger does. */
  async #refuseOlder({ manifest }: LoadedKeys): Promise<void> {
    if (manifest === undefined) return
    const { number, chainBefore, contentHash } = manifest
    const recorded = await recordedManifest(this.#options.database, chainBefore)
    if (recorded.number > number)
      throw new AdministrationError('key_manifest_older', { number, recorded: recorded.number })
    // Two manifests with the same number: two different histories, as after a failover that lost changes of keys.
    if (recorded.number === number && recorded.hash !== undefined && recorded.hash !== contentHash)
      throw new AdministrationError('key_manifest_differs', { number })
  }

  #believe({ keys, manifest, newlyRevoked, problems }: LoadedKeys): readonly LoadedKey[] {
    if (manifest === undefined) {
      // At the first read: the keys are from a release without manifests, and the upkeep writes one. Later: somebody
      // removed the manifest.
      if (this.#number !== undefined)
        throw new AdministrationError('key_manifest_older', { number: 0, recorded: this.#number })
      this.#needsVouching = true
      return []
    }
    const { number } = manifest
    if (this.#number !== undefined && number < this.#number) {
      this.#lost = { number: this.#number, keys: this.#entries }
      throw new AdministrationError('key_manifest_older', { number, recorded: this.#number })
    }
    const { schedule, now } = this.#options
    const live = new Map(
      manifest.entries.flatMap((entry) =>
        isOver(entry, schedule, now()) ? [] : [[entry.kid, entry] as const],
      ),
    )
    // A key that has ended signs nothing, whatever its row says, except if the row hides a revocation.
    const told = problems.filter(
      ({ kid, problem }) => live.has(kid) || problem === 'key_unknown' || problem === 'key_revocation_undone',
    )
    const known = new Map(this.#entries.map((entry) => [entry.kid, entry]))
    const altered = told.flatMap(({ kid, problem }) => (problem === 'key_altered' ? [kid] : []))
    const unread = altered.find((kid) => !known.has(kid))
    if (unread !== undefined) throw new AdministrationError('signing_key_altered', { kid: unread })
    const forgotten = this.#forgotten(manifest)
    if (forgotten.length > 0) this.#lost = { number, keys: forgotten }
    this.#number = number
    this.#needsVouching = newlyRevoked.length > 0 || told.some(({ problem }) => problem === 'key_unknown')
    this.#noteProblems(told)
    // A key that was right when it was read stays in use, even if its row was altered since. A deleted row takes the
    // key away.
    return [...keys, ...altered.flatMap((kid) => known.get(kid) ?? []), ...forgotten]
  }

  /**
   * The keys in use that a manifest has never heard of. No manifest drops a key, so the database has lost its last changes
   * and has made others since. Their tokens are in use, so they stay.
   */
  #forgotten({ entries }: Manifest): readonly Entry[] {
    const kids = new Set(entries.map(({ kid }) => kid))
    return this.#entries.filter((key) => !kids.has(key.kid) && !this.#isOver(key))
  }

  /** Even if nothing new can be believed, rows can still take away. */
  async #withRevocations(): Promise<readonly LoadedKey[]> {
    const rows = new Map((await listKeys(this.#options.database)).map((row) => [row.kid, row]))
    return this.#entries.map((key) => ({ ...key, revokedAt: key.revokedAt ?? rows.get(key.kid)?.revokedAt }))
  }

  #noteProblems(problems: readonly KeyProblem[]): void {
    const before = JSON.stringify(this.#problems)
    this.#problems = problems
    if (problems.length > 0 && JSON.stringify(problems) !== before) this.#options.onUnvouched(problems)
  }

  /** What is wrong with rows: they differ from the manifest. A deleted row needs no attention. */
  get problems(): readonly KeyProblem[] {
    return this.#problems.filter(({ problem }) => problem !== 'key_missing')
  }

  /** Whether a holder of the key-encryption key should write the manifest again (vouching.ts). */
  get needsVouching(): boolean {
    return this.#needsVouching
  }

  /** What the database no longer knows of the keys, as after a failover; undefined if it knows everything. */
  get lost(): KnownKeys | undefined {
    return this.#lost
  }

  get keys(): readonly KeyDescription[] {
    return this.#entries
  }

  /** Whether a key could not be opened, or the manifest not be believed. Another read may succeed. */
  get incomplete(): boolean {
    return this.#isBehind || this.#entries.some((key) => key.signer === undefined && !this.#isOver(key))
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

/** The JWK Set of some keys, as it is published. */
export function publish(entries: readonly Pick<KeyDescription, 'kid' | 'publicJwk'>[]): PublishedKeys {
  return {
    kids: entries.map((key) => key.kid),
    body: JSON.stringify({ keys: entries.map((key) => key.publicJwk) }),
  }
}

/** Creates the signer of a key. */
export function toSigner(
  {
    algorithm,
    kid,
    privateKey,
  }: Pick<KeyDescription, 'algorithm' | 'kid'> & { readonly privateKey: KeyObject },
  tokensEndBy: number,
): Signer {
  // The JWS protected header (RFC 9068 §2.1). All tokens of a key have one of these two, made once.
  const headers = Object.fromEntries(
    tokenTyps.map((typ) => [
      typ,
      Buffer.from(JSON.stringify({ alg: algorithm, typ, kid })).toString('base64url'),
    ]),
  ) as Record<TokenTyp, string>
  const { sign } = algorithms[algorithm]
  return {
    kid,
    tokensEndBy,
    sign(claims, typ) {
      const input = `${headers[typ]}.${Buffer.from(claims).toString('base64url')}`
      return `${input}.${sign(Buffer.from(input, 'latin1'), privateKey).toString('base64url')}`
    },
  }
}
