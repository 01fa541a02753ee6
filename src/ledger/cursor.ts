import type { AuditEntry } from './query.ts'

/**
 * Where a reader of the ledger stopped. There are two kinds, because there are two orders. A listing is in the order
 * of time, so one record says where it stopped. A tail reads each chain in the order of its numbers, so it must say
 * how far it has read each of them.
 */

/** The place of a record in a listing: by time, then by chain and number. */
export interface RecordPlace {
  /** In milliseconds since 1970. */
  readonly time: number
  readonly chain: number
  readonly seq: number
}

/** For example `1798761599999-12-345`. */
export function recordCursor({ time, chain, seq }: AuditEntry): string {
  return `${time}-${chain}-${seq}`
}

export function readRecordCursor(text: string): RecordPlace | undefined {
  const [, time, chain, seq] = /^(\d{1,15})-(\d{1,9})-(\d{1,15})$/.exec(text) ?? []
  return seq === undefined ? undefined : { time: Number(time), chain: Number(chain), seq: Number(seq) }
}

/** How far a tail has read. */
export interface TailPlace {
  /** The highest number of a chain that it has seen. */
  readonly highest: number
  /** Lower numbers that it has not seen yet. */
  readonly gaps: readonly number[]
  /** Chains that may grow, with the number of the last record read. Whether it is a service's: unknown is null. */
  readonly open: readonly (readonly [chain: number, seq: number, isService: boolean | null])[]
}

const tailPrefix = 'tail-'

export function tailCursor(place: TailPlace): string {
  return tailPrefix + Buffer.from(JSON.stringify(place)).toString('base64url')
}

export function readTailCursor(text: string): TailPlace | undefined {
  if (!text.startsWith(tailPrefix)) return undefined
  try {
    const place: unknown = JSON.parse(Buffer.from(text.slice(tailPrefix.length), 'base64url').toString())
    return isTailPlace(place) ? place : undefined
  } catch {
    return undefined
  }
}

const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && Number(value) >= 0

function isTailPlace(value: unknown): value is TailPlace {
  const { highest, gaps, open } = (value ?? {}) as Record<string, unknown>
  return (
    isCount(highest) &&
    Array.isArray(gaps) &&
    gaps.every(isCount) &&
    Array.isArray(open) &&
    open.every(
      (each: unknown) =>
        Array.isArray(each) &&
        isCount(each[0]) &&
        isCount(each[1]) &&
        [true, false, null].includes(each[2] as boolean | null),
    )
  )
}
