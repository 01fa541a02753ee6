import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { errorCode } from '../database/faults.ts'
import type { Statements } from '../database/open.ts'
import { type Repeated, repeat } from '../lib/repeated.ts'
import { limits } from '../limits.ts'
import { release } from '../release.ts'
import { link } from './chain.ts'
import { type HandChange, readHandChanges, recordHandChanges, reserveChain } from './hand-change-store.ts'
import type { AuditRecord, RecordType } from './record.ts'

/**
 * Changes of the registry and the keys that somebody makes with SQL. Triggers note them in the same transaction. Here
 * the notes become records: each process that serves looks once a second, and so does a command that shows the ledger.
 */

/** Milliseconds between two looks. */
const lookEveryMilliseconds = 1_000

/** Notes that become records in one transaction. */
const changesPerChainMax = 500

export function openHandChanges(database: Statements, onFault: (error: unknown) => void): Repeated {
  return repeat(lookEveryMilliseconds, () => settleHandChanges(database), onFault)
}

/**
 * Makes records of the current notes. A note that cannot become a record keeps no other one from it.
 * @returns how many changes it recorded.
 * @throws what the database said of a note that is left, after all others were recorded.
 */
export async function settleHandChanges(database: Statements): Promise<number> {
  const settling: Settling = { database, count: 0, isElsewhere: false, failure: undefined }
  for (;;) {
    const changes = await readHandChanges(database, changesPerChainMax)
    const before = settling.count
    if (changes.length > 0) await record(settling, changes, toRecord)
    const isDone = settling.isElsewhere || settling.count === before
    if (isDone || changes.length < changesPerChainMax) break
  }
  if (settling.failure !== undefined) throw settling.failure
  return settling.count
}

interface Settling {
  readonly database: Statements
  count: number
  /** Another process records the notes at this moment. */
  isElsewhere: boolean
  failure: unknown
}

async function record(
  settling: Settling,
  changes: readonly HandChange[],
  make: (change: HandChange) => AuditRecord,
): Promise<void> {
  if (settling.isElsewhere) return
  const { database } = settling
  const head = { chain: await reserveChain(database), seq: 0, hash: randomBytes(32) }
  const { json } = link(head, changes.map(make))
  const openedBy = `${hostname()} ${process.pid} mintmark/${release}`
  try {
    await recordHandChanges(database, changes, head, openedBy, json)
    settling.count += changes.length
  } catch (error) {
    const code = errorCode(error) ?? ''
    settling.isElsewhere = code === '40001'
    if (settling.isElsewhere) return
    if (!isAboutValues(code)) throw error
    const middle = Math.ceil(changes.length / 2)
    if (changes.length > 1) {
      await record(settling, changes.slice(0, middle), toRecord)
      await record(settling, changes.slice(middle), toRecord)
    } else if (make === toRecord) await record(settling, changes, toBareRecord)
    else settling.failure ??= error
  }
}

/** Whether the database refuses a value, and not only now: a data exception, a constraint or a limit of its own. */
const isAboutValues = (code: string): boolean => /^(?:22|23|54)/.test(code)

/** Without the row: that something was changed, where and by whom. */
const toBareRecord = (change: HandChange): AuditRecord => toRecord({ ...change, before: null, after: null })

const typeOfTable: Readonly<Record<string, RecordType>> = {
  client: 'client',
  client_secret: 'secret',
  client_key: 'client_key',
  access: 'access',
  resource: 'resource',
  trusted_issuer: 'issuer',
  trust_rule: 'trust_rule',
  blocked_workload: 'workload',
  signing_key: 'key',
  signing_key_manifest: 'key',
}

function toRecord(change: HandChange): AuditRecord {
  const { tableName, operation, databaseUser, role, application, address } = change
  const row = change.after ?? change.before ?? {}
  const text = (column: string): string | undefined => {
    const value = row[column]
    return typeof value === 'string' ? value.slice(0, limits.recordLongFieldCharactersMax) : undefined
  }
  return {
    time: change.time,
    type: typeOfTable[tableName] ?? 'client',
    outcome: 'changed by hand',
    clientId: text('client_id') ?? text('workload_id'),
    credentialId: text('secret_id') ?? text('thumbprint') ?? text('rule') ?? text('issuer'),
    audience: text('audience'),
    // The kid of a client's key is not the kid of a signing key.
    kid: tableName === 'client_key' ? undefined : text('kid'),
    address: address ?? undefined,
    detail: {
      by: databaseUser,
      ...(role === databaseUser ? {} : { role }),
      application,
      operation,
      table: tableName,
      changes: changesOf(change),
    },
  } as AuditRecord
}

function changesOf({ before, after, hidden }: HandChange): Record<string, unknown> {
  const columns = new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])
  const changed = [...columns].filter((column) => !isSame(before?.[column], after?.[column]))
  const side = (row: HandChange['before'], column: string) => bounded(row?.[column] ?? null)
  return Object.fromEntries([
    ...changed.map((column) => [column, { from: side(before, column), to: side(after, column) }]),
    ...hidden.map((column) => [column, 'not shown']),
  ])
}

/** Values that are nested too deeply to be compared count as different. */
function isSame(one: unknown, other: unknown): boolean {
  const [text, otherText] = [textOf(one), textOf(other)]
  return text === otherText && text !== tooDeep
}

const tooDeep = 'nested too deeply to be shown'

function textOf(value: unknown): string | undefined {
  try {
    return JSON.stringify(value)
  } catch {
    return tooDeep
  }
}

/** A value that was written by hand may have any length, and be nested to any depth. */
function bounded(value: unknown): unknown {
  const text = (typeof value === 'string' ? value : textOf(value)) ?? ''
  if (text === tooDeep) return text
  const most = limits.recordFieldCharactersMax
  return text.length > most ? `${text.slice(0, most)}…` : value
}
