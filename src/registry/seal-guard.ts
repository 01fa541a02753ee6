import { AdministrationError } from '../errors.ts'
import type { KeyEncryptionKeySource } from '../keys/key-encryption-key.ts'
import type { KeyEncryptionKey } from '../keys/seal.ts'
import type { SealedText } from '../keys/sealed-text.ts'
import { believeBlocks, blocksSubject } from './blocks-statement.ts'
import type { RegisteredClient, RegisteredResource } from './client.ts'
import { type TrustedIssuer, type TrustTable, toIssuer } from './issuer.ts'
import { believeIssuer } from './issuer-statement.ts'
import { type ResourceRow, toResource } from './resource-store.ts'
import { openHead, type SealHead, SealMemory } from './seal-head.ts'
import type { SealProblem, SealProblems } from './seal-problems.ts'
import type { SealedRows, SealReads } from './seal-store.ts'
import { SealTree, type Statement, type Subject, TreeDamaged } from './seal-tree.ts'
import {
  believeClient,
  believeKeys,
  believeResource,
  believeSecrets,
  type ClientFacts,
  type Difference,
} from './statement.ts'
import { readClientStatement, readResourceStatement } from './statement-text.ts'
import { type ClientRow, type LoadedClients, toClient, toField } from './store.ts'
import type { SealedTrustRows } from './trust-store.ts'

/**
 * What a process that serves believes of rows, with a sealed registry. Everything that is needed to judge a client comes
 * with the client's rows, from one moment. So nothing is believed first and checked later.
 */
export interface SealGuardOptions {
  readonly reads: Omit<SealReads, 'clientIdsAfter'>
  readonly keyEncryptionKeys: KeyEncryptionKeySource
  readonly problems: SealProblems
}

export interface ReadRows {
  readonly version: number
  /** Call it only when the version can be relied on: the number of the head is remembered. */
  readonly believe: () => BelievedClients
}

export interface BelievedClients extends LoadedClients {
  readonly unsealedResources: readonly string[]
  /**
   * The version is that of the last read, and the head is another one, or is believed again. What was read before may not
   * be what it says.
   */
  readonly isOtherHead: boolean
}

/** The same for the trust table. */
export interface ReadTrust {
  readonly version: number
  readonly believe: () => TrustTable
}

export class SealGuard {
  readonly #options: SealGuardOptions
  readonly #memory = new SealMemory()
  #keys: readonly KeyEncryptionKey[] = []
  /** The text that was opened last, so that each is opened once. */
  #opened: { readonly stored: SealedText; readonly head: SealHead } | undefined
  /** What was read last. */
  #seen: { readonly version: number; readonly number: number; readonly isBelieved: boolean } | undefined

  constructor(options: SealGuardOptions) {
    this.#options = options
  }

  /** @throws AdministrationError if nothing could be believed. */
  async open(): Promise<void> {
    const { reads, keyEncryptionKeys } = this.#options
    this.#keys = await keyEncryptionKeys()
    const head = await reads.currentHead(this.#keys)
    if (head !== undefined) this.#memory.believe(head)
    else if (await reads.hasRegistrations()) throw new AdministrationError('registry_seal_missing', {})
  }

  async read(clientIds: readonly string[]): Promise<ReadRows> {
    const rows = await this.#options.reads.clientRows(clientIds)
    await this.#findKeyOf(rows.head)
    return { version: rows.version, believe: () => this.#believe(rows) }
  }

  async readTrust(): Promise<ReadTrust> {
    const rows = await this.#options.reads.trustRows()
    await this.#findKeyOf(rows.head)
    return { version: rows.version, believe: () => this.#believeTrust(rows) }
  }

  /**
   * A rewrap may have put the head under a key that was not there before. Asked before anything is believed, because from
   * the look at the version to the memory of the head nothing may wait: another read could come first.
   */
  async #findKeyOf(head: SealedText | undefined): Promise<void> {
    const id = head?.keyEncryptionKeyId
    if (id === undefined || this.#keys.some((key) => key.id === id)) return
    this.#keys = await this.#options.keyEncryptionKeys().catch(() => this.#keys)
  }

  #believeTrust(rows: SealedTrustRows): TrustTable {
    const tree = this.#treeOf(rows)
    const problems: SealProblem[] = []
    const note = (subject: Subject, id: string, differences: readonly Difference[]): void => {
      if (differences.length > 0) problems.push({ subject, id, differences })
    }
    const believed = rows.issuers.flatMap((row) => {
      const read = readFrom(tree, 'issuer', row.issuer)
      const { issuer, differences } = believeIssuer(toIssuer(row), read.statement)
      note('issuer', row.issuer, read.problem ?? differences)
      return issuer ?? []
    })
    const read = readFrom(tree, ...blocksSubject)
    const { blocked, unblocked } = believeBlocks(rows.blocked, read.statement)
    note(...blocksSubject, read.problem ?? [])
    for (const workloadId of unblocked) note('workload', workloadId, ['unblocked'])
    // It is unknown which workloads are blocked, so no workload gets a token.
    const issuers = read.problem === undefined ? believed : believed.map(withoutWorkloads)
    const resources = rows.resources.flatMap((row) => this.#resource(row, tree) ?? [])
    this.#options.problems.noteTrust(problems)
    this.#options.problems.tell()
    return {
      issuers: new Map(issuers.map((issuer) => [issuer.issuer, issuer])),
      blocked,
      resources: new Map(resources.map((resource) => [resource.audience, resource])),
    }
  }

  #believe(rows: SealedRows): BelievedClients {
    const tree = this.#treeOf(rows)
    const resources: RegisteredResource[] = []
    const unsealedResources: string[] = []
    for (const row of rows.resources) {
      const resource = this.#resource(row, tree)
      if (resource === undefined) unsealedResources.push(row.audience)
      else resources.push(resource)
    }
    const clients = rows.clients.map((row) => this.#client(row, tree))
    this.#options.problems.tell()
    const number = this.#memory.latest?.number ?? 0
    const seen = this.#seen
    const isBelieved = tree !== undefined
    const isOtherHead =
      seen?.version === rows.version && (seen.number !== number || (isBelieved && !seen.isBelieved))
    this.#seen = { version: rows.version, number, isBelieved }
    return { version: rows.version, clients, resources, unsealedResources, isOtherHead }
  }

  /** Undefined when there is no head to believe: then no row is believed either. */
  #treeOf({ head: stored, nodes }: Pick<SealedRows, 'head' | 'nodes'>): SealTree | undefined {
    const { problems } = this.#options
    try {
      const head = this.#headOf(stored)
      problems.note('registry', '', [])
      return new SealTree(head?.root, nodes)
    } catch (error) {
      if (!(error instanceof AdministrationError)) throw error
      problems.note('registry', '', [error.code])
      return undefined
    }
  }

  #headOf(stored: SealedText | undefined): SealHead | undefined {
    if (stored === undefined) {
      this.#memory.missing()
      return undefined
    }
    if (this.#opened === undefined || !isSame(this.#opened.stored, stored)) {
      this.#opened = { stored, head: openHead(stored, this.#keys) }
    }
    return this.#memory.believe(this.#opened.head)
  }

  #client(row: ClientRow, tree: SealTree | undefined): RegisteredClient {
    const client = toClient(row)
    const { clientId } = client
    if (client.status === 'unreadable') return client
    const read = readFrom(tree, 'client', clientId)
    const statement = readClientStatement(read.statement)
    const { facts, differences } = believeClient(factsOf(row), statement)
    const { secrets, differences: ofSecrets } = believeSecrets([...client.secrets.values()], statement)
    const { keys, differences: ofKeys } = believeKeys(client.keys, statement)
    this.#options.problems.note('client', clientId, read.problem ?? [...differences, ...ofSecrets, ...ofKeys])
    const believed = new Map(secrets.map((secret) => [secret.secretId, secret]))
    if (facts === undefined) {
      // If a row takes something away, that is the reason of the refusal.
      return {
        ...client,
        status: client.status === 'active' ? 'unsealed' : client.status,
        secrets: believed,
        keys,
      }
    }
    const narrowed = differences.length === 0 ? client : toClient({ ...row, ...columnsOf(facts) })
    return { ...narrowed, secrets: believed, keys }
  }

  #resource(row: ResourceRow, tree: SealTree | undefined): RegisteredResource | undefined {
    const resource = toResource(row)
    const read = readFrom(tree, 'resource', row.audience)
    const statement = readResourceStatement(read.statement)
    const { facts, differences } = believeResource({ ...resource, scopes: [...resource.scopes] }, statement)
    this.#options.problems.note('resource', row.audience, read.problem ?? differences)
    if (facts === undefined) return undefined
    const { scopes, tokenLifetimeSeconds } = facts
    return { ...resource, scopes: new Set(scopes), tokenLifetimeSeconds }
  }
}

interface ReadStatement {
  readonly statement: Statement | undefined
  readonly problem?: readonly Difference[]
}

function readFrom(tree: SealTree | undefined, subject: Subject, id: string): ReadStatement {
  // The problem is in the head, and is reported there.
  if (tree === undefined) return { statement: undefined, problem: [] }
  try {
    return { statement: tree.statementOf(subject, id) }
  } catch (error) {
    if (!(error instanceof TreeDamaged)) throw error
    return { statement: undefined, problem: ['tree_damaged'] }
  }
}

/** Rules that name a client stay: blocks are not about clients. */
function withoutWorkloads(issuer: TrustedIssuer): TrustedIssuer {
  return { ...issuer, rules: issuer.rules.filter(({ clientId }) => clientId !== undefined) }
}

function isSame(one: SealedText, other: SealedText): boolean {
  return one.content === other.content && one.mac.equals(other.mac)
}

function factsOf(row: ClientRow): ClientFacts {
  return {
    status: row.status,
    tokenEndpointAuthMethod: row.method ?? undefined,
    allowedNetworks: row.networks,
    expiresAt: row.expires_at ?? undefined,
    access: row.access ?? [],
    assertionAudience: row.assertion_audience,
    certificateField: toField(row.certificate),
    requiredCertificate: toField(row.required_certificate),
    certificateBoundTokens: row.certificate_bound ?? false,
    dpopBoundTokens: row.dpop_bound_access_tokens,
    fapi: row.fapi ?? false,
    jwksUri: row.jwks_uri ?? undefined,
    claims: (row.claims ?? undefined) as object | undefined,
  }
}

function columnsOf(facts: ClientFacts): Partial<ClientRow> {
  const { certificateField: own, requiredCertificate: asked } = facts
  return {
    certificate: [own?.name ?? null, own?.value ?? null],
    required_certificate: [asked?.name ?? null, asked?.value ?? null],
    certificate_bound: facts.certificateBoundTokens === true,
    status: facts.status,
    method: facts.tokenEndpointAuthMethod ?? null,
    networks: [...facts.allowedNetworks],
    expires_at: facts.expiresAt ?? null,
    access: facts.access.map(({ audience, scopes }) => ({ audience, scopes: [...scopes] })),
    assertion_audience: facts.assertionAudience ?? ('issuer' as const),
    dpop_bound_access_tokens: facts.dpopBoundTokens === true,
    fapi: facts.fapi === true,
    jwks_uri: facts.jwksUri ?? null,
    claims: facts.claims ?? null,
  }
}
