import { BehindError, isBehind } from '../database/history.ts'
import { withDeadline } from '../lib/deadline.ts'
import { limits } from '../limits.ts'
import { OAuthError } from '../refusals.ts'
import {
  type CertificatePresence,
  type CertifiedClient,
  readCertificatePresences,
} from './certificate-store.ts'
import type { RegisteredClient, RegisteredKey } from './client.ts'
import { ClientLoads } from './client-loads.ts'
import { isWorkloadId, type TrustTable } from './issuer.ts'
import { readKeyPresences } from './key-store.ts'
import { Look, type LookOptions } from './look.ts'
import { type KeyPresence, LookUp, type Presence } from './look-up.ts'
import { RegistryMemory, type View } from './memory.ts'
import type { SealGuard } from './seal-guard.ts'
import { type LoadedClients, loadClients, readPresences } from './store.ts'
import { TrustMemory } from './trust-memory.ts'
import { loadTrust } from './trust-store.ts'

export interface RegistryOptions extends LookOptions {
  /** Calls back after so many milliseconds. */
  readonly wait: (milliseconds: number, then: () => void) => void
  /** Clients held in memory at most. */
  readonly clientsMax: number
  /** Awaited before the version moves on to this one, when a signing key changed. */
  readonly onKeysChanged: (version: number) => Promise<void>
  /** With a sealed registry: what of the rows may be believed. */
  readonly seals?: SealGuard | undefined
  readonly onFault: (error: unknown) => void
  /** Told when the database answers again after a fault. */
  readonly onRecovered: () => void
}

/**
 * The registry as a process knows it: what is in memory (memory.ts), and the version that memory is at. What is missing is
 * read when it is asked for. When the version moves, what changed is forgotten, at the cost of the change and not of the
 * registry. Nothing here is trusted for longer than a commit: the ledger's commit checks the version, so a replica that
 * has not heard of a change cannot issue on what it remembers.
 *
 * What was read is adopted in the same turn in which versions are compared, with no await between: the registry may move
 * on in any turn.
 *
 * Long because every read is compared with the version, and may move it.
 */
export class Registry {
  readonly #options: RegistryOptions
  readonly #lookUp: LookUp<Presence>
  readonly #keyLookUp: LookUp<KeyPresence>
  readonly #certificateLookUp: LookUp<CertificatePresence>
  readonly #look: Look
  readonly #loads: ClientLoads
  readonly #trust = new TrustMemory((adopt) => this.#readTrust(adopt))
  readonly #memory: RegistryMemory
  #version = 0
  #refreshing: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  #healthy = true

  constructor(options: RegistryOptions) {
    this.#options = options
    this.#memory = new RegistryMemory(options.clientsMax, this.#trust)
    this.#look = new Look(options)
    const watched = {
      ...options,
      onAnswer: () => this.#noteAnswer(),
      onFault: (error: unknown) => {
        this.#healthy = false
        options.onFault(error)
      },
    }
    this.#loads = new ClientLoads({ ...watched, load: (clientIds) => this.#adopt(clientIds) })
    this.#lookUp = new LookUp({ ...watched, read: readPresences })
    this.#keyLookUp = new LookUp({ ...watched, read: readKeyPresences })
    this.#certificateLookUp = new LookUp({ ...watched, read: readCertificatePresences })
  }

  get version(): number {
    return this.#version
  }

  /** Whether the database answered the last read, and is the one that takes changes. */
  get healthy(): boolean {
    return this.#healthy && this.#look.isTrusted
  }

  /** Reads the version and keeps reading it, so that a process without traffic also hears of changes. */
  async open(): Promise<void> {
    this.#version = await this.#look.first()
    this.#timer = setInterval(() => {
      this.refresh().catch(this.#options.onFault)
    }, limits.registryPollMilliseconds).unref()
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    const reads = [this.#loads, this.#lookUp, this.#keyLookUp, this.#certificateLookUp, this.#trust]
    await Promise.allSettled([this.#refreshing, ...reads.map((each) => each.idle())])
  }

  /** Whether memory has this client with a secret of this id. */
  knows(clientId: string, secretId: string): boolean {
    return this.#memory.client(clientId)?.secrets.has(secretId) ?? false
  }

  /**
   * Whether the database has this client with a secret of this id. If it has and memory has not, memory is brought to
   * that version, so that `view` reads the client again.
   * @throws OAuthError `registry_unavailable` when the database does not answer.
   */
  async lookUp(clientId: string, secretId: string): Promise<Presence> {
    const presence = await this.#lookUp.ask([clientId, secretId])
    if (presence.hasSecret) await this.#refreshTo(presence.version, false)
    return presence
  }

  /** The keys of a client in memory. */
  keysNow(clientId: string): readonly RegisteredKey[] | undefined {
    return this.#memory.client(clientId)?.keys
  }

  /** As `lookUp`, for the keys of a client. @param kid the name of one of them; undefined: all. */
  async lookUpKeys(clientId: string, kid: string | undefined): Promise<KeyPresence> {
    const presence = await this.#keyLookUp.ask([clientId, kid ?? ''])
    const hasAny = presence.keys.length > 0 || presence.client?.jwksUri !== undefined
    if (hasAny) await this.#refreshTo(presence.version, false)
    return presence
  }

  /** A client in memory. */
  clientNow(clientId: string): RegisteredClient | undefined {
    return this.#memory.client(clientId)
  }

  /** As `lookUp`, for a certificate. @param isRight whether it is one of the client's. */
  async lookUpCertified(
    clientId: string,
    isRight: (client: CertifiedClient) => boolean,
  ): Promise<CertifiedClient | undefined> {
    const { version, client } = await this.#certificateLookUp.ask([clientId, ''])
    if (client !== undefined && isRight(client)) await this.#refreshTo(version, false)
    return client
  }

  /** The version that the database is at, read after this was asked. Those who ask together share one read. */
  async versionNow(): Promise<number> {
    return (await this.#lookUp.ask(['', ''])).version
  }

  /**
   * What is known of a client, and of the one resource that matters, from memory alone.
   * @param target the audience asked for; without it, the client's only one.
   * @returns undefined when something has to be read first.
   */
  viewNow(clientId: string, target: string | undefined): View | undefined {
    return this.#memory.view(clientId, target, this.#version)
  }

  /** The trust table in memory. */
  trustNow(): TrustTable | undefined {
    return this.#trust.now
  }

  /** The same, read if it is not there. @throws OAuthError `registry_unavailable` when the database does not answer. */
  trust(): Promise<TrustTable> {
    return this.#trust.get()
  }

  /**
   * The trust table as the database has it, read after this was asked. Those who ask together share one read.
   * @throws OAuthError `registry_unavailable` when the database does not answer.
   */
  async lookUpTrust(): Promise<TrustTable> {
    await this.#refreshTo(await this.versionNow(), false)
    return await this.trust()
  }

  async #readTrust(adopt: (table: TrustTable) => void): Promise<void> {
    const { pool, seals, onFault } = this.#options
    try {
      const loaded = seals === undefined ? await loadTrust(pool) : await seals.readTrust()
      if (isBehind(loaded.version, this.#version)) this.#look.replaceReaders('behind')
      if (loaded.version !== this.#version) await this.#refreshTo(loaded.version, false)
      this.#noteAnswer()
      // The registry has moved on again: those who wait will ask again.
      if (loaded.version !== this.#version) return
      adopt('believe' in loaded ? loaded.believe() : loaded.trust)
    } catch (error) {
      this.#healthy = false
      onFault(error)
      throw new OAuthError('registry_unavailable', { cause: error })
    }
  }

  /**
   * As `viewNow`, with the trust table.
   * @param clientId a client, or a workload, of which nothing else is registered.
   */
  trustingViewNow(clientId: string, target: string | undefined): View | undefined {
    const trust = this.#trust.now
    if (trust === undefined) return undefined
    if (isWorkloadId(clientId))
      return { version: this.#version, client: undefined, resource: undefined, trust }
    const view = this.viewNow(clientId, target)
    return view && { ...view, trust }
  }

  /** The same, read where needed. @throws OAuthError as `view` and `trust`. */
  async trustingView(clientId: string, target: string | undefined): Promise<View> {
    for (let attempt = 0; attempt < limits.decisionsPerRequestMax; attempt += 1) {
      await this.trust()
      if (!isWorkloadId(clientId)) await this.view(clientId, target)
      const view = this.trustingViewNow(clientId, target)
      if (view !== undefined) return view
    }
    throw new OAuthError('registry_unsettled')
  }

  /**
   * The same, read where needed. Reads that are wanted at the same time share one query.
   * @throws OAuthError `registry_unavailable` when the database does not answer.
   */
  async view(clientId: string, target: string | undefined): Promise<View> {
    for (let attempt = 0; attempt < limits.decisionsPerRequestMax; attempt += 1) {
      const view = this.viewNow(clientId, target)
      if (view !== undefined) return view
      await withDeadline(
        this.#loads.load(clientId),
        limits.databaseReadTimeoutMilliseconds,
        () => new OAuthError('registry_unavailable'),
      )
    }
    throw new OAuthError('registry_unsettled')
  }

  async #adopt(clientIds: readonly string[]): Promise<void> {
    await this.#read(clientIds, (loaded) => this.#memory.adopt(loaded, clientIds))
  }

  /** @param take is called if what was read belongs to the version that memory is at. */
  async #read(clientIds: readonly string[], take: (loaded: LoadedClients) => void): Promise<void> {
    const { pool, seals } = this.#options
    const before = this.#version
    const rows = seals === undefined ? await loadClients(pool, clientIds) : await seals.read(clientIds)
    if (isBehind(rows.version, before)) this.#look.replaceReaders('behind')
    if (rows.version !== this.#version) await this.#refreshTo(rows.version, false)
    // The registry has moved on again: those who wait will ask again.
    if (rows.version !== this.#version) return
    if (!('believe' in rows)) return take(rows)
    const loaded = rows.believe()
    // Somebody changed the registry and kept its version from moving.
    if (loaded.isOtherHead) this.#memory.forgetEverything()
    take(loaded)
  }

  /**
   * With a sealed registry: reads clients so that whatever is wrong with their rows is noted. It keeps none of them, except
   * those that were refused for it and are right now.
   */
  async inspect(clientIds: readonly string[]): Promise<void> {
    await this.#read(clientIds, (loaded) => this.#memory.replaceUnsealed(loaded))
  }

  /**
   * For answers that come from memory alone: waits for a look at the registry if the last one is too old, as in a
   * process that was stopped for a while. If the database does not answer, memory is used as it is.
   */
  async catchUp(): Promise<void> {
    // Twice: a look that was under way when the process was stopped saw what was true before.
    for (let attempt = 0; attempt < 2; attempt += 1) {
      if (this.#options.monotonicMilliseconds() - this.#look.lookedAt <= limits.registryLookOldMilliseconds)
        return
      await this.refresh().catch(() => {})
    }
  }

  /**
   * Brings memory to the version the database is at. Concurrent calls share the work.
   * @param version one that a commit has answered with: if memory is already there, nothing happens.
   */
  async refresh(version?: number): Promise<void> {
    await this.#refreshTo(version, true)
  }

  /** @param isCommitted whether a commit has answered with the version, and not a read. */
  async #refreshTo(version: number | undefined, isCommitted: boolean): Promise<void> {
    // A refresh that is under way may have read before the given version existed.
    while (this.#refreshing !== undefined) {
      await this.#refreshing
      if (version === undefined || this.#version === version) return
    }
    if (this.#version === version) return
    this.#refreshing = this.#refreshNow(isCommitted ? version : undefined).finally(() => {
      this.#refreshing = undefined
    })
    await this.#refreshing
  }

  async #refreshNow(committedVersion: number | undefined): Promise<void> {
    try {
      const { version, changes } = await this.#look.since(this.#version, committedVersion)
      if (changes === undefined || changes.some(([subject]) => subject === 'signing_key')) {
        const tooLate = () => new Error('the signing keys could not be read in time')
        await withDeadline(
          this.#options.onKeysChanged(version),
          limits.databaseReadTimeoutMilliseconds,
          tooLate,
        )
      }
      if (changes === undefined) this.#memory.forgetEverything()
      else for (const [subject, subjectId] of changes) this.#memory.forget(subject, subjectId)
      this.#version = version
      this.#noteAnswer()
    } catch (error) {
      if (error instanceof BehindError) this.#look.replaceReaders('behind')
      this.#healthy = false
      throw new OAuthError('registry_unavailable', { cause: error })
    }
  }

  #noteAnswer(): void {
    // A database answers, but it is not the one that commits.
    if (!this.#look.isTrusted) return
    if (!this.#healthy) this.#options.onRecovered()
    this.#healthy = true
  }
}
