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

/** Makes records of the current notes. @returns how many changes it recorded. */
export async function settleHandChanges(database: Statements): Promise<number> {
  let count = 0
  for (;;) {
    const changes = await readHandChanges(database, changesPerChainMax)
    if (changes.length === 0) return count
    const head = { chain: await reserveChain(database), seq: 0, hash: randomBytes(32) }
    const { json } = link(head, changes.map(toRecord))
    const openedBy = `${hostname()} ${process.pid} mintmark/${release}`
    try {
      await recordHandChanges(database, changes, head, openedBy, json)
    } catch (error) {
      // Another process records them at this moment.
      if (errorCode(error) === '40001') return count
      throw error
    }
    count += changes.length
    if (changes.length < changesPerChainMax) return count
  }
}

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
    return typeof value === 'string' ? value : undefined
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
  const changed = [...columns].filter(
    (column) => JSON.stringify(before?.[column]) !== JSON.stringify(after?.[column]),
  )
  const side = (row: HandChange['before'], column: string) => bounded(row?.[column] ?? null)
  return Object.fromEntries([
    ...changed.map((column) => [column, { from: side(before, column), to: side(after, column) }]),
    ...hidden.map((column) => [column, 'not shown']),
  ])
}

/** A value that was written by hand may have any length. */
function bounded(value: unknown): unknown {
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  const most = limits.recordFieldCharactersMax
  return text.length > most ? `${text.slice(0, most)}…` : value
}
