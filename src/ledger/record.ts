import { plainText } from '../lib/plain-text.ts'
import { limits } from '../limits.ts'

/** Every type of record, with its outcomes. */
export const recordOutcomes = {
  token: ['issued', 'refused'],
  service: ['started', 'stopped', 'records lost'],
  client: ['created', 'changed', 'disabled', 'enabled', 'deleted', 'changed by hand'],
  secret: ['added', 'changed', 'ended', 'revoked', 'changed by hand'],
  client_key: ['added', 'changed', 'revoked', 'changed by hand'],
  resource: ['created', 'changed', 'deleted', 'changed by hand'],
  access: ['created', 'changed', 'deleted', 'changed by hand'],
  issuer: ['created', 'changed', 'disabled', 'enabled', 'deleted', 'changed by hand'],
  trust_rule: ['created', 'changed', 'deleted', 'changed by hand'],
  workload: ['blocked', 'unblocked', 'changed by hand'],
  registry: ['sealed'],
  key: [
    'created',
    'extended',
    'rotated',
    'rotated at once',
    'promoted',
    'revoked',
    'abandoned',
    'resealed',
    'restored',
    'vouched',
    'changed by hand',
  ],
} as const satisfies Readonly<Record<string, readonly string[]>>

export type RecordType = keyof typeof recordOutcomes
export type OutcomeOf<Type extends RecordType> = (typeof recordOutcomes)[Type][number]
export type RecordOutcome = OutcomeOf<RecordType>

/**
 * A record describes one event. Values that a caller chooses are bounded here, before the record is hashed
 * and sent, so that no caller can make a record too big to write. A record keeps the length and the hash of
 * each value that was cut, so that two different values stay distinguishable.
 */
export interface AuditRecord {
  /** Milliseconds since 1970. */
  readonly time: number
  readonly type: RecordType
  readonly outcome: RecordOutcome
  readonly error?: string | undefined
  readonly reason?: string | undefined
  readonly clientId?: string | undefined
  readonly authenticationMethod?: string | undefined
  readonly credentialId?: string | undefined
  readonly audience?: string | undefined
  readonly scope?: string | undefined
  readonly jti?: string | undefined
  readonly kid?: string | undefined
  /** Seconds since 1970. */
  readonly expiresAt?: number | undefined
  readonly address?: string | undefined
  readonly userAgent?: string | undefined
  readonly requestId?: string | undefined
  /** How many events the record stands for; absent means one. */
  readonly count?: number | undefined
  readonly detail?: Readonly<Record<string, unknown>> | undefined
}

/**
 * The column of each field. Records are hashed (chain.ts) and passed to `ledger_append` in this order, with
 * chain and number before these columns and the hash after them. A test compares this list with the database.
 */
export const recordColumns = {
  time: 'time',
  type: 'type',
  outcome: 'outcome',
  error: 'error',
  reason: 'reason',
  clientId: 'client_id',
  authenticationMethod: 'authentication_method',
  credentialId: 'credential_id',
  audience: 'audience',
  scope: 'scope',
  jti: 'jti',
  kid: 'kid',
  expiresAt: 'expires_at',
  address: 'address',
  userAgent: 'user_agent',
  requestId: 'request_id',
  count: 'count',
  detail: 'detail',
} as const satisfies Readonly<Record<keyof AuditRecord, string>>

/** Returns the SHA-256 of a text, in hex. */
export type Digest = (text: string) => string

interface Cut {
  readonly length: number
  readonly sha256: string
}

function bound(
  text: string,
  charactersMax: number,
  field: string,
  digest: Digest,
  cuts: Map<string, Cut>,
): string {
  const safe = plainText(text.length > charactersMax ? text.slice(0, charactersMax) : text)
  if (safe !== text) cuts.set(field, { length: text.length, sha256: digest(text) })
  return safe
}

/** Returns the record with every field within its bounds; the same object if nothing had to be cut. */
export function boundRecord(record: AuditRecord, digest: Digest): AuditRecord {
  const cuts = new Map<string, Cut>()
  const short = (field: string, text: string | undefined) =>
    text === undefined ? undefined : bound(text, limits.recordFieldCharactersMax, field, digest, cuts)
  const long = (field: string, text: string | undefined) =>
    text === undefined ? undefined : bound(text, limits.recordLongFieldCharactersMax, field, digest, cuts)
  const clientId = short('client_id', record.clientId)
  const credentialId = short('credential_id', record.credentialId)
  const userAgent = short('user_agent', record.userAgent)
  const address = short('address', record.address)
  const audience = long('audience', record.audience)
  const scope = long('scope', record.scope)
  const detail = record.detail === undefined ? undefined : boundDetail(record.detail, digest, cuts)
  if (cuts.size === 0) return record
  return {
    ...record,
    clientId,
    credentialId,
    userAgent,
    address,
    audience,
    scope,
    detail: { ...detail, cut: Object.fromEntries(cuts) },
  }
}

function boundDetail(detail: Readonly<Record<string, unknown>>, digest: Digest, cuts: Map<string, Cut>) {
  const bounded: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(detail)) {
    bounded[name] =
      typeof value === 'string' ? bound(value, limits.recordFieldCharactersMax, name, digest, cuts) : value
  }
  return bounded
}
