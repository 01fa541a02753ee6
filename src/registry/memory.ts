import type { LRUCache } from 'lru-cache'
import { boundedCache } from '../lib/bounded-cache.ts'
import { limits } from '../limits.ts'
import { onlyAudience, type RegisteredClient, type RegisteredResource } from './client.ts'
import type { TrustTable } from './issuer.ts'
import type { LoadedClients } from './store.ts'
import type { TrustMemory } from './trust-memory.ts'

/** What a request is decided on: a part of the registry, as of one version. */
export interface View {
  readonly version: number
  /** Undefined when there is none of that id. */
  readonly client: RegisteredClient | undefined
  /** The resource asked for, if the client has access to it. */
  readonly resource: RegisteredResource | undefined
  /** Which other issuers are trusted. Undefined unless it was asked for. */
  readonly trust?: TrustTable | undefined
}

/** Stands for a resource that was not registered by a holder of the key-encryption key. */
const unsealed = 'unsealed'

/**
 * The clients and resources in memory: a bounded part of the registry, all of it as of one version. It only remembers and
 * forgets; the registry (registry.ts) reads, and knows the version. Nothing here waits, so what is adopted belongs to the
 * version that was compared just before.
 */
export class RegistryMemory {
  readonly #clients: LRUCache<string, RegisteredClient>
  /** Ids of which the database said that there is no such client. */
  readonly #unknown = boundedCache<string, true>(limits.registryUnknownClientsMax)
  readonly #resources = boundedCache<string, RegisteredResource | typeof unsealed>(
    limits.registryResourcesMax,
  )
  /** It is forgotten together with the rest. */
  readonly #trust: TrustMemory

  constructor(clientsMax: number, trust: TrustMemory) {
    this.#clients = boundedCache(clientsMax)
    this.#trust = trust
  }

  client(clientId: string): RegisteredClient | undefined {
    return this.#clients.get(clientId)
  }

  /**
   * What is known of a client, and of the one resource that matters.
   * @param target the audience asked for; without it, the client's only one.
   * @param version the version that memory is at.
   * @returns undefined when something has to be read first.
   */
  view(clientId: string, target: string | undefined, version: number): View | undefined {
    // Too long to be registered: nothing to read, and nothing that is worth remembering.
    if (clientId.length > limits.clientIdCharactersMax) {
      return { version, client: undefined, resource: undefined }
    }
    const client = this.#clients.get(clientId)
    if (client === undefined) {
      return this.#unknown.get(clientId) === true ? { version, client, resource: client } : undefined
    }
    const audience = target ?? onlyAudience(client)
    if (audience === undefined || !client.access.has(audience)) {
      return { version, client, resource: undefined }
    }
    const resource = this.#resources.get(audience)
    if (resource === undefined) return undefined
    return { version, client, resource: resource === unsealed ? undefined : resource }
  }

  /** Takes in what was read. @param clientIds those that were asked for. */
  adopt(loaded: LoadedClients, clientIds: readonly string[]): void {
    for (const resource of loaded.resources) this.#resources.set(resource.audience, resource)
    for (const audience of loaded.unsealedResources ?? []) this.#resources.set(audience, unsealed)
    const found = new Set<string>()
    for (const client of loaded.clients) {
      found.add(client.clientId)
      this.#unknown.delete(client.clientId)
      this.#clients.set(client.clientId, client)
    }
    for (const clientId of clientIds) if (!found.has(clientId)) this.#unknown.set(clientId, true)
  }

  /** Takes in only what memory has as unsealed. */
  replaceUnsealed(loaded: LoadedClients): void {
    for (const client of loaded.clients) {
      if (this.#clients.peek(client.clientId)?.status === 'unsealed')
        this.#clients.set(client.clientId, client)
    }
    for (const resource of loaded.resources) {
      if (this.#resources.peek(resource.audience) === unsealed)
        this.#resources.set(resource.audience, resource)
    }
  }

  /** Forgets what a change was about. */
  forget(subject: string, subjectId: string): void {
    if (subjectId === '*') this.forgetEverything()
    else if (subject === 'resource') {
      this.#resources.delete(subjectId)
      // Also if the resource was not in memory: a rule may name it.
      this.#trust.forget()
    } else if (subject === 'issuer' || subject === 'workload') this.#trust.forget()
    else if (subject === 'client') {
      this.#clients.delete(subjectId)
      this.#unknown.delete(subjectId)
    }
  }

  forgetEverything(): void {
    this.#clients.clear()
    this.#unknown.clear()
    this.#resources.clear()
    this.#trust.forget()
  }
}
