/** A sealed registry without a database: rows, tree and head, as a process that serves reads them. */
import { type KeyEncryptionKey, keyEncryptionKey } from '../../src/keys/seal.ts'
import type { SealedText } from '../../src/keys/sealed-text.ts'
import { blocksStatement, blocksSubject } from '../../src/registry/blocks-statement.ts'
import { type IssuerRow, type RuleRow, toIssuer } from '../../src/registry/issuer.ts'
import { issuerStatement } from '../../src/registry/issuer-statement.ts'
import type { ResourceRow } from '../../src/registry/resource-store.ts'
import { SealGuard } from '../../src/registry/seal-guard.ts'
import { openHead, type SealHead, sealHead } from '../../src/registry/seal-head.ts'
import { SealProblems } from '../../src/registry/seal-problems.ts'
import type { SealReads } from '../../src/registry/seal-store.ts'
import { leafOf, SealTree, type Statement, type Subject, wayTo } from '../../src/registry/seal-tree.ts'
import { type ClientStatement, type ResourceFacts, secretHashOf } from '../../src/registry/statement.ts'
import { clientStatement, resourceStatement } from '../../src/registry/statement-text.ts'
import type { ClientRow, SecretRow } from '../../src/registry/store.ts'

export const key = keyEncryptionKey(Buffer.alloc(32, 1))

/** What a database can be put back to. */
export interface Seal {
  readonly head: SealedText | undefined
  readonly nodes: ReadonlyMap<string, string>
}

/**
 * `register` is what a holder of the key-encryption key does. Everything else is public, because whoever writes to the
 * database changes what he likes.
 */
export class SealedRows {
  version = 1
  clients: readonly ClientRow[] = []
  resources: readonly ResourceRow[] = []
  issuers: readonly IssuerRow[] = []
  blocked: readonly string[] = []
  head: SealedText | undefined
  nodes: ReadonlyMap<string, string> = new Map()
  readonly #key: KeyEncryptionKey
  #number = 0

  constructor(sealingKey: KeyEncryptionKey = key) {
    this.#key = sealingKey
  }

  /** Puts statements into the tree, and makes the next head. */
  register(...statements: readonly Statement[]): this {
    const tree = new SealTree(this.#root, this.nodes)
    for (const statement of statements) tree.set(statement[0], statement[1], statement)
    const { root, nodes } = tree.change()
    const written = new Map(this.nodes)
    for (const [node, content] of nodes) written.set(node, content ?? '')
    this.nodes = written
    this.#number += 1
    this.head = sealHead(this.#key, this.#next(root))
    return this
  }

  #next(root: string | undefined): SealHead {
    return { number: this.#number, chainBefore: 0, reviewed: 0, root }
  }

  get #root(): string | undefined {
    return this.head === undefined ? undefined : openHead(this.head, [this.#key]).root
  }

  get seal(): Seal {
    return { head: this.head, nodes: this.nodes }
  }

  putBack({ head, nodes }: Seal): void {
    this.head = head
    this.nodes = nodes
  }

  /** Spoils what the tree says of a subject. */
  spoil(subject: Subject, id: string): void {
    this.nodes = new Map(this.nodes).set(leafOf(subject, id), '[]')
  }

  /** Only the nodes that a read of the database brings: those on the way to these subjects. */
  #nodesOf(subjects: readonly (readonly [Subject, string])[]): ReadonlyMap<string, string> {
    const ways = new Set(subjects.flatMap(([subject, id]) => wayTo(leafOf(subject, id))))
    return new Map([...this.nodes].filter(([node]) => ways.has(node)))
  }

  readonly reads: SealReads = {
    currentHead: async (keys) => (this.head === undefined ? undefined : openHead(this.head, keys)),
    hasRegistrations: async () => this.clients.length + this.resources.length + this.issuers.length > 0,
    clientRows: async (clientIds) => {
      const { version, head } = this
      const clients = this.clients.filter((row) => clientIds.includes(row.client_id))
      const named = new Set(clients.flatMap(({ access }) => access ?? []).map(({ audience }) => audience))
      const nodes = this.#nodesOf([
        ...clientIds.map((id) => ['client', id] as const),
        ...[...named].map((audience) => ['resource', audience] as const),
      ])
      return { version, clients, resources: this.#resourcesIn(named), head, nodes }
    },
    trustRows: async () => {
      const { version, head, issuers, blocked } = this
      const named = new Set(issuers.flatMap(({ rules }) => rules ?? []).flatMap(audiencesOf))
      const nodes = this.#nodesOf([
        ...issuers.map(({ issuer }) => ['issuer', issuer] as const),
        ...[...named].map((audience) => ['resource', audience] as const),
        blocksSubject,
      ])
      return { version, issuers, blocked, resources: this.#resourcesIn(named), head, nodes }
    },
    clientIdsAfter: async (clientId, count) =>
      this.clients
        .map(({ client_id: id }) => id)
        .filter((id) => id > clientId)
        .toSorted()
        .slice(0, count),
  }

  #resourcesIn(audiences: ReadonlySet<string>): readonly ResourceRow[] {
    return this.resources.filter(({ audience }) => audiences.has(audience))
  }
}

function audiencesOf({ access }: { readonly access: unknown }): readonly string[] {
  return ((access ?? []) as readonly { audience: string }[]).map(({ audience }) => audience)
}

/** A process that has just started on this registry. */
export async function guarding(
  rows: SealedRows,
  keys: () => Promise<readonly [KeyEncryptionKey, ...KeyEncryptionKey[]]> = async () => [key],
) {
  const told: string[] = []
  const problems = new SealProblems((found) => {
    told.push(...found.map(({ subject, id, differences }) => `${subject} ${id}: ${differences.join(', ')}`))
  })
  const guard = new SealGuard({ reads: rows.reads, keyEncryptionKeys: keys, problems })
  await guard.open()
  const readClients = async (...ids: readonly string[]) => (await guard.read(ids)).believe()
  const readTrust = async () => (await guard.readTrust()).believe()
  /** What is wrong now. */
  const wrong = () =>
    problems.all.map(({ subject, id, differences }) => `${subject} ${id}: ${differences.join(', ')}`)
  return { guard, readClients, readTrust, wrong, told }
}

// ── Rows, and what was registered of them ────────────────────────────────────────────────────────────────────────────

/** A client that has nothing but its id, as the columns are without a value. */
export function clientRow(clientId: string, more: Partial<ClientRow> = {}): ClientRow {
  return {
    client_id: clientId,
    status: 'active',
    method: null,
    networks: [],
    expires_at: null,
    secrets: null,
    keys: null,
    assertion_audience: 'issuer',
    dpop_bound_access_tokens: false,
    access: null,
    ...more,
  }
}

export function secretRow(secretId: string, more: Partial<SecretRow> = {}): SecretRow {
  const hash = `$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$${secretId}`
  return { secret_id: secretId, hash, expires_at: null, revoked_at: null, tag_key: null, tag: null, ...more }
}

/** The statement that the creation of this row would have sealed. */
export function sealedClient(row: ClientRow): Statement {
  const field = ([name, value]: NonNullable<ClientRow['certificate']> = [null, null]) =>
    name === null || value === null ? undefined : { name, value }
  const statement: ClientStatement = {
    status: row.status,
    tokenEndpointAuthMethod: row.method ?? undefined,
    allowedNetworks: row.networks,
    expiresAt: row.expires_at ?? undefined,
    access: row.access ?? [],
    assertionAudience: row.assertion_audience,
    certificateField: field(row.certificate),
    requiredCertificate: field(row.required_certificate),
    certificateBoundTokens: row.certificate_bound === true,
    dpopBoundTokens: row.dpop_bound_access_tokens,
    fapi: row.fapi === true,
    jwksUri: row.jwks_uri ?? undefined,
    claims: (row.claims ?? undefined) as object | undefined,
    secrets: (row.secrets ?? []).map(({ secret_id: secretId, hash, expires_at: expiresAt }) => ({
      secretId,
      hash: secretHashOf(hash),
      expiresAt: expiresAt ?? undefined,
    })),
    keys: (row.keys ?? []).map(({ thumbprint, algorithm, expires_at: expiresAt }) => ({
      thumbprint,
      algorithm,
      expiresAt: expiresAt ?? undefined,
    })),
  }
  return stored(clientStatement(row.client_id, statement))
}

export function resourceRow(audience: string, more: Partial<ResourceRow> = {}): ResourceRow {
  return { audience, scopes: ['read', 'write'], lifetime: 300, algorithm: 'ES256', typ: 'at+jwt', ...more }
}

export function sealedResource(row: ResourceRow): Statement {
  const facts: ResourceFacts = {
    scopes: row.scopes,
    tokenLifetimeSeconds: row.lifetime,
    signingAlgorithm: row.algorithm,
    tokenTyp: row.typ,
  }
  return stored(resourceStatement(row.audience, facts))
}

export const sealedIssuer = (row: IssuerRow): Statement => stored(issuerStatement(toIssuer(row)))

export const sealedBlocks = (workloadIds: readonly string[]): Statement =>
  stored(blocksStatement(workloadIds))

/** As it comes back from the database. */
const stored = (statement: Statement): Statement => JSON.parse(JSON.stringify(statement)) as Statement

export const ruleRow = (name: string, more: Partial<RuleRow>): RuleRow => ({
  rule: name,
  conditions: [{ claim: 'sub', prefix: 'system:serviceaccount:billing:' }],
  client_id: null,
  access: null,
  assertion_audience: 'issuer',
  max_age: 300,
  use: 'once',
  lifetime: null,
  allow_default: false,
  any_subject: false,
  ...more,
})
export const forClient = ruleRow('for a client', { client_id: 'billing' })
export const forWorkloads = ruleRow('for workloads', { access: [{ audience: 'urn:a', scopes: ['read'] }] })
const issuerRow = (issuer: string, more: Partial<IssuerRow> = {}): IssuerRow => ({
  issuer,
  status: 'active',
  source: 'jwks_uri',
  url: 'https://idp.test/keys',
  jwks: null,
  owner: null,
  rules: [forClient, forWorkloads],
  ...more,
})
export const idp = issuerRow('https://idp.test')
export const cluster = issuerRow('https://cluster.test', { rules: [] })
export const target = resourceRow('urn:a')
