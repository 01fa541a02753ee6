import { PrismaPg } from '@prisma/adapter-pg'
import pg from 'pg'
import { PrismaClient } from '../generated/client.ts'
import { lastMilliseconds } from '../lib/moment.ts'
import { DatabaseClient } from './client.ts'
import type { Settings } from './pooled.ts'

/**
 * Prisma's client on connections of ours. Its adapter writes a moment as UTC without saying so, and takes a moment
 * that it reads for UTC whatever zone is written there. Both are right only in a session in UTC. Our sessions are,
 * but a pool between us and the server may forget it. So moments are sent and read with their zone.
 */
export function openPrisma(pool: pg.Pool, schema: string): PrismaClient {
  return new PrismaClient({ adapter: new ZonedAdapter(pool, { schema }) })
}

type Adapter = Awaited<ReturnType<PrismaPg['connect']>>
type SqlQuery = Parameters<Adapter['queryRaw']>[0]

class ZonedAdapter extends PrismaPg {
  override async connect() {
    const adapter = await super.connect()
    sendZones(adapter)
    const startTransaction = adapter.startTransaction.bind(adapter)
    adapter.startTransaction = async (isolationLevel) => {
      const transaction = await startTransaction(isolationLevel)
      sendZones(transaction)
      return transaction
    }
    return adapter
  }
}

function sendZones(queryable: Pick<Adapter, 'queryRaw' | 'executeRaw'>): void {
  const queryRaw = queryable.queryRaw.bind(queryable)
  const executeRaw = queryable.executeRaw.bind(queryable)
  queryable.queryRaw = (query) => queryRaw(withZones(query))
  queryable.executeRaw = (query) => executeRaw(withZones(query))
}

function withZones(query: SqlQuery): SqlQuery {
  if (!query.argTypes.some(({ scalarType }) => scalarType === 'datetime')) return query
  const isMoment = query.argTypes.map(({ scalarType }) => scalarType === 'datetime')
  return {
    ...query,
    args: query.args.map((value, index) => (isMoment[index] ? withZone(value) : value)),
    // As text, which the adapter does not touch.
    argTypes: query.argTypes.map((type, index) =>
      isMoment[index] ? { scalarType: 'string', arity: type.arity } : type,
    ),
  }
}

function withZone(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withZone)
  if (!(value instanceof Date) && typeof value !== 'string') return value
  // A year of five digits has a sign, which PostgreSQL does not read.
  return new Date(value).toISOString().replace(/^\+0*/, '')
}

/** A client of the driver for the adapter: it reads moments with their zone. */
export class PrismaSessionClient extends DatabaseClient {
  override async start(settings: Settings, queryMillisecondsMax?: number): Promise<boolean> {
    const isPooled = await super.start(settings, queryMillisecondsMax)
    const query = this.query.bind(this) as (...given: unknown[]) => unknown
    Object.assign(this, { query: (sent: unknown, ...rest: unknown[]) => query(readingZones(sent), ...rest) })
    return isPooled
  }
}

/** The adapter alone asks for rows as arrays, with readers of its own. */
function readingZones(query: unknown): unknown {
  const { rowMode, types } = query as { rowMode?: string; types?: pg.CustomTypesConfig }
  return rowMode === 'array' && types !== undefined
    ? { ...(query as object), types: momentTypes(types) }
    : query
}

function momentTypes(types: pg.CustomTypesConfig): pg.CustomTypesConfig {
  return {
    getTypeParser: ((oid: number, format: 'text') =>
      oid === pg.types.builtins.TIMESTAMPTZ && format === 'text'
        ? toUtc
        : types.getTypeParser(oid, format)) as pg.CustomTypesConfig['getTypeParser'],
  }
}

const parseMoment = pg.types.getTypeParser(pg.types.builtins.TIMESTAMPTZ, 'text') as (text: string) => unknown

/** To UTC, in the form in which Prisma takes it. */
function toUtc(text: string): string {
  const moment = parseMoment(text)
  // Infinity, or a year that no Date has. Only a hand can have written it, and it must not fail the read of others.
  const isLate = typeof moment === 'number' ? moment > 0 : !text.endsWith('BC')
  const lies = new Date(isLate ? lastMilliseconds : -lastMilliseconds)
  if (typeof moment === 'number') return lies.toISOString()
  if (moment instanceof Date && Number.isFinite(moment.getTime())) return moment.toISOString()
  if (/^\d{5,}-\d\d-\d\d /.test(text)) return lies.toISOString()
  throw new Error(`the database wrote a moment as ${JSON.stringify(text)}, and not in ISO 8601`)
}
