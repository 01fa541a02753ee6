import { setTimeout as sleep } from 'node:timers/promises'
import { databaseFault } from '../../database/faults.ts'
import { OperatorError } from '../../errors.ts'
import {
  type RecordPlace,
  readRecordCursor,
  readTailCursor,
  recordCursor,
  tailCursor,
} from '../../ledger/cursor.ts'
import { LedgerTail } from '../../ledger/follow.ts'
import { settleHandChanges } from '../../ledger/hand-changes.ts'
import type { AuditEntry, AuditFilter } from '../../ledger/query.ts'
import { type RecordOutcome, type RecordType, recordOutcomes } from '../../ledger/record.ts'
import { findRecords, withPreviousHashes } from '../../ledger/record-store.ts'
import { millisecondsText } from '../../lib/moment.ts'
import { didYouMean } from '../../lib/suggest.ts'
import { isOutputClosed } from '../../process/standard-output.ts'
import { pastMoment } from '../terminal/arguments.ts'
import { entryFields } from '../terminal/audit-entry.ts'
import { defineCommand, usageError } from '../terminal/command.ts'
import { type Connection, withDatabase } from '../terminal/connect.ts'
import { Interrupted } from '../terminal/interrupted.ts'
import { json, jsonLine, note, OutputClosed, print } from '../terminal/output.ts'
import { Table } from '../terminal/table.ts'

const recordTypes = Object.keys(recordOutcomes) as RecordType[]
const outcomesOf = (type: RecordType): readonly RecordOutcome[] => recordOutcomes[type]

const followMilliseconds = 500
const limitDefault = 50
const limitMax = 10_000

export const auditList = defineCommand({
  path: ['audit', 'list'],
  summary: 'show issued tokens, refusals and changes, the newest last',
  details:
    'Every token, every refusal and every change of the registry has a record. REASON is more precise than the answer to\n' +
    'the caller. With --follow the command runs until you press Ctrl-C. It continues after a restart of the database.\n\n' +
    'A cursor says where a listing stopped. It is printed when there are more records, and with --json every record has\n' +
    'one. A cursor that --follow printed, at its end or in the last record of each part of --json, is for --follow\n' +
    '--after: the command goes on there, and shows every record once.',
  options: {
    client: { type: 'string', value: 'CLIENT', description: 'only this client id' },
    outcome: {
      type: 'string',
      value: 'OUTCOME',
      description: 'only issued, refused, created, changed, disabled, …; a wrong value lists them all',
    },
    type: {
      type: 'string',
      value: 'TYPE',
      description: 'only token, client, secret, access, key, …; a wrong value lists them all',
    },
    since: { type: 'string', value: 'MOMENT', description: 'from 2h ago, or from 2027-01-31T00:00:00Z on' },
    until: { type: 'string', value: 'MOMENT', description: 'before that moment' },
    jti: { type: 'string', value: 'UUID', description: 'the record of one token' },
    before: { type: 'string', value: 'CURSOR', description: 'only what is listed before this record' },
    after: {
      type: 'string',
      value: 'CURSOR',
      description: 'the first records after this one; with --follow: go on where it stopped',
    },
    limit: {
      type: 'string',
      value: 'NUMBER',
      description: `show at most the newest NUMBER (default ${limitDefault}, at most ${limitMax})`,
    },
    follow: { type: 'boolean', description: 'then show new records when they are written' },
    json: { type: 'boolean', description: 'print a JSON array; with --follow one JSON object per line' },
  },
  examples: [
    ['bin/mintmark audit list --outcome refused --since 2h', 'recent refusals and their reasons'],
    ['bin/mintmark audit list --client billing --follow', 'watch one client'],
    ['bin/mintmark audit list --jti 01998f3c-7a53-7d0e-9d3c-5b8f1f0a6c2d', 'where a token came from'],
    ['bin/mintmark audit list --type client --since 30d --json', 'who changed which clients this month'],
    [
      'bin/mintmark audit list --limit 10000 --before 1798761599999-12-345',
      'the ten thousand records before that one',
    ],
  ],
  async run(options) {
    await withDatabase(async (connection) => {
      const now = connection.clock.nowMilliseconds()
      const filter = readFilter(options, now)
      const limit = readLimit(options.limit)
      await showHandChanges(connection)
      if (options.follow) return await follow(connection, filter, limit, options)
      const found = await findRecords(connection.database.prisma, filter, limit + 1, now)
      // One more than asked for tells whether there is more. It is at the far end.
      const forward = filter.afterPlace !== undefined
      const entries = forward ? found.slice(0, limit) : found.slice(-limit)
      if (options.json) {
        const linked = await withPreviousHashes(connection.database.prisma, entries)
        print(`${json(linked.map(entryFields))}\n`)
      } else if (entries.length === 0) note('No records match.')
      else print(entryTable().render(entries.map(entryRow)))
      const [first, last] = [entries[0], entries.at(-1)]
      if (found.length <= limit || first === undefined || last === undefined) return
      note(
        forward
          ? `There are newer records. To see them: --after ${recordCursor(last)}`
          : `Only the newest ${limit} are shown. To see older ones: --before ${recordCursor(first)}`,
      )
    }).catch((error: unknown) => {
      // Ctrl-C is the normal way to end --follow, so it is not an error.
      if (options.follow && error instanceof Interrupted && error.message === 'SIGINT') return
      throw error
    })
  },
})

/** Changes by hand become records here too, where no service runs that would do it. */
async function showHandChanges({ database }: Connection): Promise<void> {
  try {
    await settleHandChanges(database.statements)
  } catch (error) {
    const fault = databaseFault(error)
    if (fault === undefined || fault.isAbsence) throw error
    note(`Changes that were made with SQL in the last second may be missing (${fault.message}).`)
  }
}

async function follow(
  connection: Connection,
  filter: AuditFilter,
  limit: number,
  { json: asJson, after }: { readonly json: boolean; readonly after: string | undefined },
): Promise<void> {
  const { database, clock, signal } = connection
  const tail = new LedgerTail()
  const table = entryTable()
  const show = (entries: readonly AuditEntry[]): void => {
    if (isOutputClosed()) throw new OutputClosed()
    // A record has no place of its own in a tail. With the last one of a part, everything before was shown.
    const cursor = (index: number): string | null =>
      index === entries.length - 1 ? tailCursor(tail.place) : null
    if (asJson)
      print(
        entries.map((entry, at) => `${jsonLine({ ...entryFields(entry), cursor: cursor(at) })}\n`).join(''),
      )
    else print(table.render(entries.map(entryRow)))
  }
  let isUnreachable = false
  if (after === undefined) {
    const latest = await tail.start(database, filter, limit, clock.nowMilliseconds())
    show(await withPreviousHashes(database.prisma, latest))
  } else await resume(tail, connection, after)
  signal.addEventListener('abort', () => {
    if (!isOutputClosed()) note(`To go on from here: --follow --after ${tailCursor(tail.place)}`)
  })
  while (!signal.aborted && !isOutputClosed()) {
    try {
      for await (const entries of tail.read(database.prisma, filter, clock.nowMilliseconds())) show(entries)
      if (isUnreachable) note('The database answers again.')
      isUnreachable = false
    } catch (error) {
      const fault = databaseFault(error)
      if (fault?.isAbsence !== true) throw error
      // The tail remembers how far it has read. So it shows every new record once after the database is back.
      if (!isUnreachable) note(`The database cannot be reached (${fault.message}). Waiting for it.`)
      isUnreachable = true
    }
    await sleep(followMilliseconds, undefined, { signal })
  }
}

async function resume(tail: LedgerTail, { database, clock }: Connection, cursor: string): Promise<void> {
  const place = readTailCursor(cursor)
  if (place === undefined) {
    throw usageError(`--after: with --follow it must be a cursor that --follow printed, like tail-…`)
  }
  if (await tail.resume(database.prisma, place, clock.nowMilliseconds())) return
  throw new OperatorError(
    '--after: this ledger ends before the cursor. It is another database, or one that was restored from ' +
      'a backup. Use --since instead.',
  )
}

interface FilterOptions {
  readonly follow: boolean
  readonly client: string | undefined
  readonly outcome: string | undefined
  readonly type: string | undefined
  readonly since: string | undefined
  readonly until: string | undefined
  readonly jti: string | undefined
  readonly before: string | undefined
  readonly after: string | undefined
}

function readFilter(options: FilterOptions, now: number): AuditFilter {
  const { client, outcome, type, since, until, jti, before, after } = options
  if (options.follow && before !== undefined) throw usageError('--before: not with --follow.')
  const knownType = type === undefined ? undefined : oneOf('type', type, recordTypes)
  const possible = new Set((knownType === undefined ? recordTypes : [knownType]).flatMap(outcomesOf))
  const knownOutcome = outcome === undefined ? undefined : oneOf('outcome', outcome, [...possible])
  if (jti !== undefined && !/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(jti)) {
    throw usageError('--jti: must be a UUID, as in the claim "jti" of a token.')
  }
  const [from, to] = [
    since === undefined ? undefined : pastMoment('since', since, now),
    until === undefined ? undefined : pastMoment('until', until, now),
  ]
  if (from !== undefined && to !== undefined && from >= to) {
    throw usageError(`--since: ${shownTime(from)} is not before --until, ${shownTime(to)}.`)
  }
  if (options.follow && to !== undefined && to <= now) {
    throw usageError(
      `--until: ${shownTime(to)} has passed, and --follow shows new records. Omit one of the two.`,
    )
  }
  return {
    type: knownType,
    outcome: knownOutcome,
    clientId: client,
    jti: jti?.toLowerCase(),
    since: from,
    until: to,
    beforePlace: before === undefined ? undefined : readPlace('before', before),
    afterPlace: after === undefined || options.follow ? undefined : readPlace('after', after),
  }
}

function readPlace(option: string, text: string): RecordPlace {
  const place = readRecordCursor(text)
  if (place !== undefined) return place
  const hint = text.startsWith('tail-') ? ' This one is for --follow --after.' : ''
  throw usageError(`--${option}: must be a cursor, like 1798761599999-12-345.${hint}`)
}

function oneOf<Word extends string>(option: string, word: string, known: readonly Word[]): Word {
  const found = known.find((each) => each === word)
  if (found !== undefined) return found
  throw usageError(`--${option}: must be one of ${known.join(', ')}.${didYouMean(word, known)}`)
}

function readLimit(text: string | undefined): number {
  if (text === undefined) return limitDefault
  const limit = /^\d{1,9}$/.test(text) ? Number(text) : 0
  if (limit >= 1 && limit <= limitMax) return limit
  throw usageError(
    `--limit: must be a whole number from 1 to ${limitMax}. To see more, use the cursor that is printed.`,
  )
}

function entryTable(): Table {
  return new Table([
    { title: 'TIME' },
    { title: 'OUTCOME' },
    { title: 'CLIENT', shrinks: true },
    { title: 'AUDIENCE', shrinks: true },
    { title: 'SCOPE', shrinks: true },
    { title: 'REASON', shrinks: true },
    { title: 'ADDRESS' },
    { title: 'CREDENTIAL' },
    { title: 'JTI' },
  ])
}

function entryRow(entry: AuditEntry): string[] {
  const outcome = entry.type === 'token' ? entry.outcome : `${entry.type} ${entry.outcome}`
  return [
    shownTime(entry.time),
    (entry.count ?? 1) > 1 ? `${outcome} ×${entry.count}` : outcome,
    entry.clientId ?? '-',
    entry.audience ?? '-',
    entry.scope ?? '-',
    entry.reason ?? describeDetail(entry.detail),
    entry.address ?? '-',
    entry.credentialId ?? (entry.type === 'key' ? (entry.kid ?? '-') : '-'),
    entry.jti ?? '-',
  ]
}

/** For example `2027-01-31 23:59:59.999Z`. In quotation marks, --since and --until accept this form. */
const shownTime = (milliseconds: number): string => millisecondsText(milliseconds).replace('T', ' ')

/** The text in the REASON column for a change: who changed which fields. */
function describeDetail(detail: AuditEntry['detail']): string {
  if (typeof detail?.['by'] !== 'string') return '-'
  const changes = detail['changes']
  const fields =
    typeof changes === 'object' && changes !== null ? ` (${Object.keys(changes).join(', ')})` : ''
  return `by ${detail['by']}${fields}`
}
