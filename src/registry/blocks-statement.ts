import type { Statement } from './seal-tree.ts'

/**
 * Which workloads a holder of the key-encryption key blocked. One statement for all of them, because the trust table is read
 * as a whole: the tree cannot say which statements it has.
 *
 * A row that blocks takes away, so it needs no statement. A row that was deleted by hand is still in the statement, and
 * the workload stays blocked. Without a statement the rows count alone: a registry that was sealed by an earlier release
 * has none until something is blocked, or it is sealed again.
 */
export const blocksSubject = ['workload', 'blocked'] as const

/** Sorted, so that the same blocks have the same text. */
export function blocksStatement(workloadIds: readonly string[]): Statement {
  return [...blocksSubject, [...new Set(workloadIds)].toSorted()]
}

export function readBlocksStatement(statement: Statement | undefined): readonly string[] | undefined {
  return statement?.[2] as readonly string[] | undefined
}

export interface BelievedBlocks {
  readonly blocked: ReadonlySet<string>
  /** Workloads whose row was deleted, although no holder of the key unblocked them. */
  readonly unblocked: readonly string[]
}

export function believeBlocks(rows: readonly string[], statement: Statement | undefined): BelievedBlocks {
  const registered = readBlocksStatement(statement) ?? []
  const standing = new Set(rows)
  return {
    blocked: new Set([...rows, ...registered]),
    unblocked: registered.filter((workloadId) => !standing.has(workloadId)),
  }
}
