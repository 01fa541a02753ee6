import type { Queryable } from '../database/open.ts'
import { AdministrationError } from '../errors.ts'
import type { KeyEncryptionKeys } from '../keys/key-encryption-key.ts'
import { type KeyEncryptionKey, newestSealedWith } from '../keys/seal.ts'
import { listKeys } from '../keys/store.ts'
import type { ChangeRecords } from '../ledger/change-records.ts'
import { blocksStatement, blocksSubject, readBlocksStatement } from '../registry/blocks-statement.ts'
import type { TrustedIssuer } from '../registry/issuer.ts'
import { believeIssuer, issuerStatement } from '../registry/issuer-statement.ts'
import type { SealHead } from '../registry/seal-head.ts'
import { lastChain, noteChanges, readNodes, writeSeal } from '../registry/seal-store.ts'
import { SealTree, type Statement, type Subject, TreeDamaged } from '../registry/seal-tree.ts'
import {
  believeClient,
  believeResource,
  type ClientStatement,
  type KeyFacts,
  type SecretFacts,
  secretHashOf,
} from '../registry/statement.ts'
import {
  clientStatement,
  readClientStatement,
  readResourceStatement,
  resourceStatement,
} from '../registry/statement-text.ts'
import type { ClientDefinition, Registration, ResourceDefinition, StoredClient } from './definition.ts'
import type { Plan } from './plan.ts'
import type { SecretToWrite } from './plan-store.ts'

interface OpenSeals {
  readonly head: SealHead | undefined
  readonly keys: KeyEncryptionKeys
}

/**
 * What the tree of statements (registry/seal-tree.ts) says is registered, for the length of a change. Where the registry is
 * not sealed, it does nothing.
 *
 * Rows are not trusted here either. Somebody who can write to the database can change a row before and after it is read,
 * for instance with a trigger. So what goes into the tree comes from the tree and from what the caller wants, never from
 * a row alone.
 */
export class Seals {
  readonly #open: OpenSeals | undefined
  readonly #nodes = new Map<string, string>()
  readonly #tree: SealTree
  /** By subject and id: a change may say several things about one. */
  readonly #changed = new Map<string, readonly [Subject, string]>()

  constructor(open?: OpenSeals) {
    this.#open = open
    this.#tree = new SealTree(open?.head?.root, this.#nodes)
  }

  /** Reads what is registered about these subjects. Call it before anything else is asked or said about them. */
  async read(
    transaction: Queryable,
    subjects: {
      readonly clientIds?: readonly string[]
      readonly audiences?: readonly string[]
      readonly issuers?: readonly string[]
      readonly blocks?: boolean
    },
  ): Promise<void> {
    if (this.#open === undefined) return
    const { clientIds = [], audiences = [], issuers = [], blocks = false } = subjects
    const wanted = [
      ...clientIds.map((id) => ['client', id] as const),
      ...audiences.map((id) => ['resource', id] as const),
      ...issuers.map((id) => ['issuer', id] as const),
      ...(blocks ? [blocksSubject] : []),
    ]
    for (const [node, content] of await readNodes(transaction, wanted)) this.#nodes.set(node, content)
  }

  /**
   * What of a client's row was registered.
   * @throws AdministrationError when nothing was.
   */
  believedClient<Client extends StoredClient>(stored: Client): Client {
    if (this.#open === undefined) return stored
    const statement = this.#requireClient(stored.clientId)
    const { tokenEndpointAuthMethod, allowedNetworks, claims } = statement
    const known = { tokenEndpointAuthMethod, allowedNetworks, claims }
    const facts =
      believeClient(stored, statement).facts ?? believeClient({ ...stored, ...known }, statement).facts
    return { ...stored, ...facts } as Client
  }

  /** The same for a resource. */
  believedResource(stored: ResourceDefinition): ResourceDefinition {
    if (this.#open === undefined) return stored
    const statement = readResourceStatement(this.#statement('resource', stored.audience))
    if (statement === undefined) {
      throw new AdministrationError('registration_unsealed', { subject: 'resource', id: stored.audience })
    }
    const { signingAlgorithm, tokenTyp, external, subjectForm, claims } = statement
    const known = { signingAlgorithm, tokenTyp, external, subjectForm, claims }
    const { facts } = believeResource({ ...stored, ...known }, statement)
    return { ...stored, ...facts } as ResourceDefinition
  }

  /** The same for an issuer: the keys and the rules that were registered. */
  believedIssuer(stored: TrustedIssuer): TrustedIssuer {
    if (this.#open === undefined) return stored
    const { issuer } = believeIssuer(stored, this.#statement('issuer', stored.issuer))
    if (issuer !== undefined) return issuer
    throw new AdministrationError('registration_unsealed', { subject: 'issuer', id: stored.issuer })
  }

  /** A client without a status in the registration keeps its status. Its row alone cannot enable a disabled client. */
  withStatuses(registration: Registration): Registration {
    if (this.#open === undefined) return registration
    const clients = registration.clients.map((client) => {
      const isDisabled = this.#client(client.clientId)?.status === 'disabled'
      return client.status === undefined && isDisabled ? { ...client, status: 'disabled' as const } : client
    })
    const issuers = (registration.issuers ?? []).map((issuer) => {
      const isDisabled = this.#statement('issuer', issuer.issuer)?.[2] === 'disabled'
      return issuer.status === undefined && isDisabled ? { ...issuer, status: 'disabled' as const } : issuer
    })
    return { ...registration, clients, issuers }
  }

  /** Says what a plan comes to. @param secrets the new ones, by client id. */
  setPlan(plan: Plan, secrets: ReadonlyMap<string, SecretToWrite>): void {
    if (this.#open === undefined) return
    for (const { definition } of plan.resources) {
      const { audience } = definition
      this.#set('resource', audience, resourceStatement(audience, definition))
    }
    for (const { definition, status, finalStatus } of plan.clients) {
      const { clientId } = definition
      const before = this.#client(clientId)
      // Its row may say otherwise, or be gone.
      if (before?.status === 'deleted') throw new AdministrationError('client_deleted', { clientId })
      const kept = status === 'created' ? [] : (before?.secrets ?? [])
      const made = secrets.get(clientId)
      const next = {
        ...definition,
        status: finalStatus,
        secrets: made === undefined ? kept : [...kept, secretFacts(made)],
        keys: plannedKeys(definition, status === 'created' ? [] : (before?.keys ?? [])),
      }
      this.#set('client', clientId, clientStatement(clientId, next))
    }
    for (const { definition, finalStatus } of plan.issuers) {
      this.#set('issuer', definition.issuer, issuerStatement({ ...definition, status: finalStatus }))
    }
  }

  /**
   * Says something that gives.
   * @returns whether that is anything new.
   * @throws AdministrationError if the client was not registered.
   */
  give(clientId: string, change: (client: ClientStatement) => ClientStatement): boolean {
    if (this.#open === undefined) return false
    const next = change(this.#requireClient(clientId))
    return this.#set('client', clientId, clientStatement(clientId, next))
  }

  addSecret(clientId: string, secret: SecretFacts): void {
    this.give(clientId, (client) => ({ ...client, secrets: [...client.secrets, secretFacts(secret)] }))
  }

  addKeys(clientId: string, keys: readonly KeyFacts[]): void {
    this.give(clientId, (client) => ({ ...client, keys: [...(client.keys ?? []), ...keys.map(keyFacts)] }))
  }

  /**
   * Says something that takes away. Where nothing was registered there is nothing to take, and a client that was deleted
   * stays so: its row may say otherwise.
   */
  take(clientId: string, change: (client: ClientStatement) => ClientStatement): boolean {
    const before = this.#open === undefined ? undefined : this.#client(clientId)
    if (before === undefined || before.status === 'deleted') return false
    return this.#set('client', clientId, clientStatement(clientId, change(before)))
  }

  removeResource(audience: string): void {
    if (this.#open !== undefined) this.#set('resource', audience, undefined)
  }

  removeIssuer(issuer: string): void {
    if (this.#open !== undefined) this.#set('issuer', issuer, undefined)
  }

  /** @returns whether that is anything new. */
  setIssuer(issuer: TrustedIssuer): boolean {
    return this.#open !== undefined && this.#set('issuer', issuer.issuer, issuerStatement(issuer))
  }

  /** Says that an issuer has less. What of its rows was not registered is not said either. */
  takeFromIssuer(stored: TrustedIssuer, change: (before: TrustedIssuer) => TrustedIssuer): boolean {
    if (this.#open === undefined) return false
    const { issuer } = believeIssuer(stored, this.#statement('issuer', stored.issuer))
    return issuer !== undefined && this.setIssuer(change(issuer))
  }

  /**
   * Says that a workload is blocked, or no longer blocked.
   * @param rows those that were blocked before. Where no statement has said so yet, all of them are sealed with it: they
   * count already, and give nobody anything.
   * @returns whether the tree said otherwise.
   */
  setBlocked(workloadId: string, isBlocked: boolean, rows: readonly string[]): boolean {
    if (this.#open === undefined) return false
    const known = readBlocksStatement(this.#statement(...blocksSubject))
    const before = known ?? rows
    const others = before.filter((id) => id !== workloadId)
    const next = isBlocked ? [...others, workloadId] : others
    if (known !== undefined || next.length > 0) this.#set(...blocksSubject, blocksStatement(next))
    return known !== undefined && known.includes(workloadId) !== isBlocked
  }

  async write(transaction: Queryable, records: ChangeRecords): Promise<void> {
    if (this.#open === undefined || !this.#tree.isChanged) return
    const { head, keys } = this.#open
    const change = this.#orDamaged(() => this.#tree.change())
    const next: SealHead = {
      number: (head?.number ?? 0) + 1,
      chainBefore: await lastChain(transaction),
      reviewed: head?.reviewed ?? 0,
      root: change.root,
    }
    await writeSeal(transaction, await keyForHead(transaction, keys), next, change)
    // The rows may not have changed, or somebody may have switched off the triggers.
    await noteChanges(transaction, [...this.#changed.values()])
    if (records.all.length === 0) records.add('registry', 'sealed', {})
    recordSeal(records, next)
  }

  #requireClient(clientId: string): ClientStatement {
    const statement = this.#client(clientId)
    if (statement === undefined)
      throw new AdministrationError('registration_unsealed', { subject: 'client', id: clientId })
    if (statement.status === 'deleted') throw new AdministrationError('client_deleted', { clientId })
    return statement
  }

  #client(clientId: string): ClientStatement | undefined {
    return readClientStatement(this.#statement('client', clientId))
  }

  #statement(subject: Subject, id: string): Statement | undefined {
    return this.#orDamaged(() => this.#tree.statementOf(subject, id))
  }

  /** @returns whether that is anything new. */
  #set(subject: Subject, id: string, statement: Statement | undefined): boolean {
    if (JSON.stringify(this.#statement(subject, id)) === JSON.stringify(statement)) return false
    this.#tree.set(subject, id, statement)
    this.#changed.set(`${subject} ${id}`, [subject, id])
    return true
  }

  #orDamaged<Result>(read: () => Result): Result {
    try {
      return read()
    } catch (error) {
      if (!(error instanceof TreeDamaged)) throw error
      throw new AdministrationError('registry_seal_damaged', {}, { cause: error })
    }
  }
}

/** What the ledger keeps of a head, in the first record of the change (`recordedSeal`). */
export function recordSeal(records: ChangeRecords, { number, root }: SealHead): void {
  records.addToFirst({ sealed: number, sealed_root: root ?? null })
}

function secretFacts({ secretId, hash, expiresAt }: SecretToWrite | SecretFacts): SecretFacts {
  return { secretId, hash: secretHashOf(hash), expiresAt }
}

const keyFacts = ({ thumbprint, algorithm, expiresAt }: KeyFacts): KeyFacts => ({
  thumbprint,
  algorithm,
  expiresAt,
})

/** What is listed, each with the end that it had; or what there was, where nothing is listed. */
function plannedKeys({ keys }: ClientDefinition, before: readonly KeyFacts[]): readonly KeyFacts[] {
  if (keys === undefined) return before
  return keys.map(({ thumbprint, algorithm }) => {
    const expiresAt = before.find((key) => key.thumbprint === thumbprint)?.expiresAt
    return { thumbprint, algorithm, expiresAt }
  })
}

/** Under which key a head is written: every process that serves has the one that seals the newest signing key. */
export async function keyForHead(transaction: Queryable, keys: KeyEncryptionKeys): Promise<KeyEncryptionKey> {
  const id = newestSealedWith(await listKeys(transaction))
  return keys.find((key) => key.id === id) ?? keys[0]
}
