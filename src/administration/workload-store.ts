import type { Queryable } from '../database/open.ts'
import { changeSealed, type RegistryContext } from './sealing.ts'

/** Workloads that got a token by a rule without a client, and workloads that are blocked. */

export interface StoredWorkload {
  readonly workloadId: string
  /** Undefined if it never got a token. */
  readonly issuer: string | undefined
  readonly subject: string | undefined
  readonly rule: string | undefined
  /** Who answers for the issuer of the rule. */
  readonly owner: string | undefined
  /** Seconds since 1970. The first two are true to about a minute. */
  readonly firstSeenAt: number | undefined
  readonly lastUsedAt: number | undefined
  readonly isBlocked: boolean
  /** Undefined if it is not blocked, and where somebody deleted the row: then what is sealed blocks it. */
  readonly blockedAt: number | undefined
}

const seconds = (moment: Date): number => Math.floor(moment.getTime() / 1000)

/**
 * Those used last come first.
 * @param limit how many at most. Blocked ones are all there.
 * @param sealed those that are blocked by what is sealed, also without a row.
 */
export async function listWorkloads(
  database: Queryable,
  limit: number,
  sealed: ReadonlySet<string> = new Set(),
): Promise<StoredWorkload[]> {
  const blocked = await database.blockedWorkload.findMany({ orderBy: { blockedAt: 'desc' } })
  const blockedAt = new Map(blocked.map((row) => [row.workloadId, seconds(row.blockedAt)]))
  const seen = await database.workload.findMany({ orderBy: { lastUsedAt: 'desc' }, take: limit })
  const allBlocked = new Set([...blockedAt.keys(), ...sealed])
  const missing = [...allBlocked].filter((id) => !seen.some(({ workloadId }) => workloadId === id))
  const others = await database.workload.findMany({ where: { workloadId: { in: missing } } })
  const rules = await database.trustRule.findMany({
    select: { rule: true, trustedIssuer: { select: { owner: true } } },
  })
  const owners = new Map(rules.map(({ rule, trustedIssuer }) => [rule, trustedIssuer.owner ?? undefined]))
  const workloads = [...seen, ...others].map((row) => ({
    workloadId: row.workloadId,
    issuer: row.issuer,
    subject: row.subject,
    rule: row.rule,
    owner: owners.get(row.rule),
    firstSeenAt: seconds(row.firstSeenAt),
    lastUsedAt: seconds(row.lastUsedAt),
    isBlocked: allBlocked.has(row.workloadId),
    blockedAt: blockedAt.get(row.workloadId),
  }))
  const known = new Set(workloads.map(({ workloadId }) => workloadId))
  const never = [...allBlocked].filter((workloadId) => !known.has(workloadId))
  const nothing = {
    issuer: undefined,
    subject: undefined,
    rule: undefined,
    owner: undefined,
    firstSeenAt: undefined,
    lastUsedAt: undefined,
  }
  const unseen = never.map((workloadId) => {
    return { workloadId, ...nothing, isBlocked: true, blockedAt: blockedAt.get(workloadId) }
  })
  return [...workloads, ...unseen]
}

/**
 * In force when this returns. It may be one that was never seen.
 * @returns whether that is anything new: with a sealed registry, whether a row or what is sealed said otherwise.
 */
export async function blockWorkload(context: RegistryContext, workloadId: string): Promise<boolean> {
  return await changeSealed(context, async (transaction, records, seals) => {
    const rows = await blockedWorkloads(transaction)
    await seals.read(transaction, { blocks: true })
    const { count } = await transaction.blockedWorkload.createMany({
      data: [{ workloadId }],
      skipDuplicates: true,
    })
    const isNew = seals.setBlocked(workloadId, true, rows)
    const isChanged = count === 1 || isNew
    if (isChanged) records.add('workload', 'blocked', { clientId: workloadId })
    return isChanged
  })
}

/** Its row may be deleted already: the seal blocks too. @returns whether it was blocked. */
export async function unblockWorkload(context: RegistryContext, workloadId: string): Promise<boolean> {
  return await changeSealed(context, async (transaction, records, seals) => {
    const rows = await blockedWorkloads(transaction)
    await seals.read(transaction, { blocks: true })
    const { count } = await transaction.blockedWorkload.deleteMany({ where: { workloadId } })
    const isNew = seals.setBlocked(workloadId, false, rows)
    const isChanged = count === 1 || isNew
    if (isChanged) records.add('workload', 'unblocked', { clientId: workloadId })
    return isChanged
  })
}

/** As the rows say. */
export async function blockedWorkloads(database: Queryable): Promise<string[]> {
  const rows = await database.blockedWorkload.findMany({ select: { workloadId: true } })
  return rows.map(({ workloadId }) => workloadId)
}
