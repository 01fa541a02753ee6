import type { Queryable, Statements } from '../database/open.ts'
import { AdministrationError } from '../errors.ts'
import type { KeyEncryptionKey } from '../keys/seal.ts'
import { changeRegistry } from '../ledger/change-store.ts'
import { believeBlocks, blocksStatement, blocksSubject } from '../registry/blocks-statement.ts'
import type { TrustedIssuer } from '../registry/issuer.ts'
import { believeIssuer, issuerStatement } from '../registry/issuer-statement.ts'
import { reviewedNumber, type SealHead } from '../registry/seal-head.ts'
import type { SealProblem } from '../registry/seal-problems.ts'
import { currentHead, lastChain, noteChanges, readNodes, writeSeal } from '../registry/seal-store.ts'
import {
  SealTree,
  type Statement,
  type Subject,
  type TreeChange,
  TreeDamaged,
} from '../registry/seal-tree.ts'
import {
  believeClient,
  believeKeys,
  believeResource,
  believeSecrets,
  type Difference,
  secretHashOf,
} from '../registry/statement.ts'
import {
  clientStatement,
  readClientStatement,
  readResourceStatement,
  resourceStatement,
} from '../registry/statement-text.ts'
import { type HeadProblem, headProblemOf, latestNumber, readableHead } from './head-problem.ts'
import {
  allNodes,
  clientIdsAfter,
  type RegisteredResourceRow,
  type RegisteredRow,
  registeredClients,
  registeredResources,
} from './seal-registry-store.ts'
import { type RegistryContext, type Sealing, sealingKeys } from './sealing.ts'
import { keyForHead, recordSeal } from './seals.ts'
import { readIssuers } from './trust-store.ts'
import { blockedWorkloads } from './workload-store.ts'

/**
 * Reads the whole registry, and seals it as it is: once at the beginning, and again when rows were changed by hand and
 * are right. Nothing else makes rows valid that were written without the key.
 */
export interface Review {
  readonly counts: {
    readonly clients: number
    readonly resources: number
    /** Those that are not revoked. */
    readonly secrets: number
    readonly access: number
  }
  /** What sealing would give. */
  readonly problems: readonly SealProblem[]
  /** How many clients and resources have less than was registered. */
  readonly lessened: number
  /** What is wrong with the head; undefined if it exists and is right. */
  readonly headProblem: HeadProblem | undefined
}

export interface ReviewOptions {
  /** Told how many clients have been looked at. */
  readonly onProgress?: (clients: number) => void
}

interface WholeReview extends Review {
  /** The tree that sealing would write. */
  readonly change: TreeChange
}

/** Milliseconds for the transaction: a hundred thousand clients take half a minute. */
const transactionTimeoutMilliseconds = 15 * 60_000

/** Problems that the record of a seal names. */
const problemsRecordedMax = 50

/** @throws AdministrationError when the key-encryption key is not at hand, or not the right one. */
export async function reviewRegistry(
  context: RegistryContext & { readonly sealing: Sealing },
  options: ReviewOptions = {},
): Promise<Review> {
  return await review(context.database.prisma, await sealingKeys(context.sealing), options)
}

/**
 * Seals what an operator has looked at.
 * @throws AdministrationError `registry_changed_meanwhile` if the registry is different now.
 */
export async function sealRegistry(
  context: RegistryContext & { readonly sealing: Sealing },
  reviewed: Review,
  options: ReviewOptions = {},
): Promise<Review> {
  const keys = await sealingKeys(context.sealing)
  return await changeRegistry(
    context,
    async (transaction, records) => {
      const now = await review(transaction, keys, options)
      if (now.change.root !== (reviewed as WholeReview).change.root)
        throw new AdministrationError('registry_changed_meanwhile', {})
      const number = reviewedNumber(await latestNumber(transaction, keys))
      const chainBefore = await lastChain(transaction)
      const head: SealHead = { number, chainBefore, reviewed: number, root: now.change.root }
      await writeSeal(transaction, await keyForHead(transaction, keys), head, now.change, true)
      await noteChanges(transaction, [['client', '*']])
      const { clients, resources, secrets, access } = now.counts
      const problems = now.problems.map(problemText)
      records.add('registry', 'sealed', {}, [], {
        clients,
        resources,
        secrets,
        access,
        differed: problems.length,
        differences: problems.slice(0, problemsRecordedMax),
      })
      recordSeal(records, head)
      return now
    },
    { timeoutMilliseconds: transactionTimeoutMilliseconds },
  )
}

/** For example `client billing: status, access https://orders.example.com`. */
export function problemText({ subject, id, differences }: SealProblem): string {
  return `${subject} ${id}: ${differences.join(', ')}`
}

async function review(
  database: Queryable,
  keys: readonly KeyEncryptionKey[],
  { onProgress }: ReviewOptions,
): Promise<WholeReview> {
  const headProblem = await headProblemOf(database, keys)
  const before = new SealTree((await readableHead(database, keys))?.root, await allNodes(database))
  const after = new SealTree(undefined, new Map())
  const problems: SealProblem[] = []
  const counts = { clients: 0, resources: 0, secrets: 0, access: 0 }
  let lessened = 0
  const compare = ({ statement, problem, isLess }: Comparison): void => {
    after.set(statement[0], statement[1], statement)
    if (problem !== undefined) problems.push(problem)
    if (isLess) lessened += 1
  }
  for (const resource of await registeredResources(database)) {
    counts.resources += 1
    compare(compareResource(before, resource))
  }
  for (const issuer of (await readIssuers(database)).values()) compare(compareIssuer(before, issuer))
  const blocks = compareBlocks(before, await blockedWorkloads(database))
  if (blocks.statement !== undefined) after.set(...blocksSubject, blocks.statement)
  problems.push(...blocks.problems)
  if (blocks.isLess) lessened += 1
  for (let ids = await clientIdsAfter(database, ''); ids.length > 0; ) {
    for (const row of await registeredClients(database, ids)) {
      counts.clients += 1
      counts.secrets += row.secrets.filter(({ revokedAt }) => revokedAt === undefined).length
      counts.access += row.access.length
      compare(compareClient(before, row))
    }
    onProgress?.(counts.clients)
    ids = await clientIdsAfter(database, ids.at(-1) ?? '')
  }
  return { counts, problems, lessened, headProblem, change: after.change() }
}

/** Checks some clients, for a command that shows them. */
export class SealCheck {
  readonly #database: Statements
  readonly #root: string | undefined

  constructor(database: Statements, head: SealHead | undefined) {
    this.#database = database
    this.#root = head?.root
  }

  /** @throws AdministrationError when there is no key, or no head that may be believed. */
  static async open(context: RegistryContext & { readonly sealing: Sealing }): Promise<SealCheck> {
    const database = context.database.prisma
    return new SealCheck(database, await currentHead(database, await sealingKeys(context.sealing)))
  }

  async problemsOf(clientIds: readonly string[]): Promise<SealProblem[]> {
    const nodes = await readNodes(
      this.#database,
      clientIds.map((id) => ['client', id] as const),
    )
    const tree = new SealTree(this.#root, nodes)
    const rows = await registeredClients(this.#database, clientIds)
    return rows.flatMap((row) => compareClient(tree, row).problem ?? [])
  }
}

interface Comparison {
  /** What the rows say. */
  readonly statement: Statement
  readonly problem: SealProblem | undefined
  /** The rows say less than was registered. */
  readonly isLess: boolean
}

function compareResource(before: SealTree, row: RegisteredResourceRow): Comparison {
  const { audience } = row
  return compareWith(before, resourceStatement(audience, row), (known) => {
    return believeResource(row, readResourceStatement(known)).differences
  })
}

function compareIssuer(before: SealTree, row: TrustedIssuer): Comparison {
  return compareWith(before, issuerStatement(row), (known) => believeIssuer(row, known).differences)
}

/** Each workload that sealing would unblock is a problem of its own. */
function compareBlocks(before: SealTree, rows: readonly string[]) {
  const known = knownIn(before, ...blocksSubject)
  const statement = known === undefined && rows.length === 0 ? undefined : blocksStatement(rows)
  if (known === 'damaged') {
    const [subject, id] = blocksSubject
    return { statement, problems: [{ subject, id, differences: ['tree_damaged'] }], isLess: false }
  }
  const problems = believeBlocks(rows, known).unblocked.map((id) => {
    return { subject: 'workload' as const, id, differences: ['unblocked'] }
  })
  const isLess =
    problems.length === 0 && known !== undefined && JSON.stringify(known) !== JSON.stringify(statement)
  return { statement, problems, isLess }
}

function compareClient(before: SealTree, row: RegisteredRow): Comparison {
  const secrets = row.secrets
    .filter(({ revokedAt }) => revokedAt === undefined)
    .map(({ secretId, hash, expiresAt }) => ({ secretId, hash: secretHashOf(hash), expiresAt }))
  const keys = row.keys.filter(({ revokedAt }) => revokedAt === undefined)
  return compareWith(before, clientStatement(row.clientId, { ...row, secrets, keys }), (known) => {
    const registered = readClientStatement(known)
    const { differences } = believeClient(row, registered)
    if (registered === undefined) return differences
    const ofSecrets = believeSecrets(row.secrets, registered).differences
    return [...differences, ...ofSecrets, ...believeKeys(row.keys, registered).differences]
  })
}

function compareWith(
  before: SealTree,
  statement: Statement,
  judge: (known: Statement | undefined) => readonly Difference[],
): Comparison {
  const [subject, id] = statement
  const known = knownIn(before, subject, id)
  const differences = known === 'damaged' ? ['tree_damaged'] : judge(known)
  const problem = differences.length === 0 ? undefined : { subject, id, differences }
  const isLess =
    problem === undefined && known !== undefined && JSON.stringify(known) !== JSON.stringify(statement)
  return { statement, problem, isLess }
}

function knownIn(tree: SealTree, subject: Subject, id: string): Statement | 'damaged' | undefined {
  try {
    return tree.statementOf(subject, id)
  } catch (error) {
    if (!(error instanceof TreeDamaged)) throw error
    return 'damaged'
  }
}
