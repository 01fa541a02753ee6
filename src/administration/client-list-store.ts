import type { Queryable } from '../database/open.ts'
import { alsoRead, readKeys, readLastUses, toStored } from './client-store.ts'
import type { StoredClient } from './definition.ts'

/** Clients read for a list: all of them, or those that a filter chooses. */

const clientsPerPage = 500

/** Which clients a list shows. Moments in seconds since 1970. A condition that is undefined excludes no client. */
export interface ClientFilter {
  readonly statuses: readonly string[]
  /** Null: those without an owner. */
  readonly owner?: string | null | undefined
  /** A part of it, in capitals or not. */
  readonly purpose?: string | undefined
  readonly kind?: string | undefined
  readonly createdBy?: string | undefined
  readonly createdSince?: number | undefined
  readonly isNeverUsed?: boolean
  /** Those that were not used since then, and existed before. */
  readonly unusedSince?: number | undefined
  /** Those that get no more tokens from a moment on that lies between now and this one. */
  readonly endsBefore?: number | undefined
}

/** As a pattern that means the text itself. */
const pattern = (text: string): string => text.replace(/[\\%_]/g, '\\$&')

function conditionsOf(filter: ClientFilter) {
  const { owner, purpose, kind, createdBy, createdSince, unusedSince } = filter
  const dateOf = (moment: number): Date => new Date(moment * 1000)
  const unused = unusedSince === undefined ? undefined : dateOf(unusedSince)
  return {
    status: { in: [...filter.statuses] },
    ...(owner === undefined ? {} : { owner }),
    ...(purpose === undefined
      ? {}
      : { purpose: { contains: pattern(purpose), mode: 'insensitive' as const } }),
    ...(kind === undefined ? {} : { kind }),
    ...(createdBy === undefined ? {} : { createdBy }),
    AND: [
      ...(createdSince === undefined ? [] : [{ createdAt: { gte: dateOf(createdSince) } }]),
      ...(filter.isNeverUsed === true ? [{ use: null }] : []),
      ...(unused === undefined
        ? []
        : [{ createdAt: { lt: unused }, OR: [{ use: null }, { use: { lastUsedAt: { lt: unused } } }] }]),
    ],
  }
}

/** Clients by id, a page at a time. A page may be empty. */
export async function* clientPages(
  database: Queryable,
  filter: ClientFilter,
  nowMilliseconds: number,
): AsyncGenerator<readonly StoredClient[]> {
  const conditions = conditionsOf(filter)
  const { endsBefore } = filter
  const isListed = ({ endsAt }: StoredClient): boolean =>
    endsBefore === undefined ||
    (endsAt !== undefined && endsAt * 1000 > nowMilliseconds && endsAt <= endsBefore)
  let after = ''
  for (;;) {
    const rows = await database.client.findMany({
      where: { clientId: { gt: after }, ...conditions },
      orderBy: { clientId: 'asc' },
      take: clientsPerPage,
      // Not _count, which adds up the whole table for each page.
      include: alsoRead,
    })
    const last = rows.at(-1)
    if (last === undefined) return
    const ids = rows.map(({ clientId }) => clientId)
    const keys = await readKeys(database, ids, nowMilliseconds)
    const lastUses = await readLastUses(database, ids)
    yield rows
      .map((row) => toStored(row, keys.get(row.clientId) ?? [], nowMilliseconds, lastUses.get(row.clientId)))
      .filter(isListed)
    if (rows.length < clientsPerPage) return
    after = last.clientId
  }
}
