import { clientJudges } from './came-back-clients.ts'
import { resourceFields, resourceJudges } from './came-back-resources.ts'
import type { CameBack, ChangeRecord, Question, RegisteredState } from './came-back-state.ts'
import { carryOutTrust, trustJudges, withoutRepeats } from './came-back-trust.ts'

/**
 * What came back with a restored registry. The changes in an export of the ledger are applied in memory, and the result
 * is compared with what is registered. Only what gives more than it should is reported: what was disabled, revoked,
 * removed or narrowed, and no longer is. Pure.
 */

/** The last word of the records about one field of one thing. */
interface Last {
  readonly record: ChangeRecord
  readonly value: unknown
}

/** The changes in the order in which they were in force, each once. */
export function inOrder(records: readonly ChangeRecord[]): ChangeRecord[] {
  const seen = new Set<string>()
  return records
    .filter(({ type, hash }) => {
      const isNew = hash === undefined || !seen.has(hash)
      if (hash !== undefined) seen.add(hash)
      return isNew && type !== 'token' && type !== 'service'
    })
    .map((record) => ({ record, key: momentKey(record.committed_at ?? record.time) }))
    .toSorted(
      (one, other) =>
        (one.key < other.key ? -1 : one.key > other.key ? 1 : 0) ||
        (one.record.chain ?? 0) - (other.record.chain ?? 0) ||
        (one.record.seq ?? 0) - (other.record.seq ?? 0),
    )
    .map(({ record }) => record)
}

/** Moments with and without fractions of a second, so that their texts can be compared. */
function momentKey(text: string): string {
  const [, whole = text, fraction = ''] = /^(.{19})(?:\.(\d+))?/.exec(text.replace(' ', 'T')) ?? []
  return `${whole}.${fraction.padEnd(6, '0')}`
}

/** @param now seconds since 1970. */
export function findCameBack(
  records: readonly ChangeRecord[],
  state: RegisteredState,
  now: number,
): CameBack[] {
  const last = new Map<string, Last>()
  for (const record of inOrder(records)) carryOut(record, last)
  const found = [...last].flatMap(([key, { record, value }]) => {
    const [about, ...names] = JSON.parse(key) as [keyof typeof judges, ...string[]]
    return judges[about]({ names, record, value, state, now })
  })
  // A deleted client loses its secrets and its access too.
  const deleted = new Set(found.flatMap((each) => (each.kind === 'client_undeleted' ? [each.clientId] : [])))
  // One that was revoked needs no end.
  const alive = new Set(found.flatMap((each) => (each.kind === 'secret_alive' ? [each.secretId] : [])))
  return withoutRepeats(found).filter(
    ({ kind, clientId, secretId }) =>
      (kind === 'client_undeleted' || !deleted.has(clientId)) &&
      !(kind === 'secret_expires_later' && alive.has(secretId)),
  )
}

function carryOut(record: ChangeRecord, last: Map<string, Last>): void {
  const { type, outcome, client_id: clientId, audience, kid, credential_id: secretId, detail } = record
  // Changes by hand are not compared, and they do not replace what a command took away.
  if (outcome === 'changed by hand') return
  const set = (value: unknown, ...key: (string | null | undefined)[]): void => {
    if (!key.every((name) => typeof name === 'string')) return
    const about = JSON.stringify(key)
    // To the end: a resource cannot lose a scope before the client loses it.
    last.delete(about)
    last.set(about, { record, value })
  }
  const changes = Object.entries(detail?.changes ?? {})
  if (type === 'client') {
    if (outcome === 'changed') for (const [field, { to }] of changes) set(to, 'client', clientId, field)
    else set(outcome, 'status', clientId)
  } else if (type === 'secret') {
    // A secret that is replaced, or no longer used, gets an end.
    if (outcome === 'changed' || outcome === 'ended') {
      for (const [field, { to }] of changes)
        if (field === 'expires_at') set(to, 'secret_end', secretId, clientId)
    } else set(outcome, 'secret', secretId, clientId)
  } else if (type === 'client_key') {
    set(outcome, 'client_key', secretId, clientId)
  } else if (type === 'access') {
    const scopes = detail?.changes?.['scopes']?.to ?? record.scope?.split(' ') ?? []
    // A list that was cut is not known.
    const isCut = detail?.cut?.['scope'] !== undefined && detail.changes?.['scopes'] === undefined
    set(outcome === 'deleted' ? undefined : isCut ? null : scopes, 'access', clientId, audience)
  } else if (type === 'resource') {
    set(outcome, 'existence', audience)
    // A new resource with the same name starts again, with what it was given.
    if (outcome === 'deleted' || outcome === 'created')
      for (const field of resourceFields) last.delete(JSON.stringify(['resource', audience, field]))
    const given = outcome === 'created' ? Object.entries(detail?.given ?? {}) : []
    for (const [field, value] of given) set(value, 'resource', audience, field)
    for (const [field, { to }] of changes) set(to, 'resource', audience, field)
  } else if (type === 'key') {
    if (outcome === 'revoked' || outcome === 'abandoned') set(outcome, 'key', kid)
  } else carryOutTrust(record, set, (...key) => last.delete(JSON.stringify(key)))
}

/** What to say of each kind of last word. */
const judges = {
  ...clientJudges,
  ...resourceJudges,

  key({ names: [kid = ''], record, state }: Question): CameBack[] {
    if (!state.liveKeys.has(kid)) return []
    return [{ kind: 'key_unrevoked', kid, takenAt: record.time }]
  },

  ...trustJudges,
} as const
