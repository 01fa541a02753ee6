import { readMoment } from '../lib/moment.ts'
import { type CertificateFieldName, certificateFieldNames } from '../registry/client.ts'
import { claimsText } from '../registry/fixed-claims.ts'
import { carryOutTrust, type RegisteredTrustState, trustJudges, withoutRepeats } from './came-back-trust.ts'

/**
 * What came back with a restored registry: the changes of a ledger's export, carried out on paper and laid beside what
 * is registered. Only what gives more than it should is told: what was disabled, revoked, removed or narrowed, and is
 * not any more. Pure.
 *
 * Long because every kind of change that can come back is judged in one table.
 */

/** A record of a change, in the form of an export. Other members are of no matter. */
export interface ChangeRecord {
  readonly type: string
  readonly outcome: string
  readonly time: string
  readonly committed_at?: string | null
  readonly chain?: number
  readonly seq?: number
  readonly hash?: string
  readonly client_id?: string | null
  readonly credential_id?: string | null
  readonly audience?: string | null
  readonly scope?: string | null
  readonly kid?: string | null
  readonly detail?: {
    readonly changes?: Readonly<Record<string, { readonly to?: unknown }>>
    readonly cut?: Readonly<Record<string, unknown>>
    /** What a new rule says. */
    readonly given?: Readonly<Record<string, unknown>>
  } | null
}

/** What is registered, as far as the records name it. */
export interface RegisteredState {
  readonly clients: ReadonlyMap<string, RegisteredClientState>
  /** The secrets that are neither revoked nor expired, and when they end; undefined: never. */
  readonly liveSecrets: ReadonlyMap<string, number | undefined>
  /** Keys of clients that are not revoked, by `accessKey` of client and thumbprint. */
  readonly liveClientKeys: ReadonlySet<string>
  /** By `accessKey`. */
  readonly access: ReadonlyMap<string, readonly string[]>
  readonly resources: ReadonlyMap<string, RegisteredResourceState>
  /** The keys that are neither revoked nor removed. */
  readonly liveKeys: ReadonlySet<string>
  readonly trust: RegisteredTrustState
}

export interface RegisteredClientState {
  readonly status: string
  readonly method: string | undefined
  readonly networks: readonly string[]
  readonly expiresAt: number | undefined
  readonly assertionAudience: string
  /** What names it in its certificate, and the field and value of one that it must bring, as in the records. */
  readonly certificateField?: string | undefined
  readonly certificateValue?: string | undefined
  readonly requiredCertificate?: string | undefined
  readonly certificateBoundTokens?: boolean
  readonly dpopBoundTokens: boolean
  readonly fapi?: boolean
  readonly jwksUri?: string | undefined
  readonly claims?: object | undefined
}

export interface RegisteredResourceState {
  readonly scopes: readonly string[]
  readonly tokenLifetimeSeconds: number
  readonly signingAlgorithm: string
  readonly tokenTyp: string
  readonly external?: boolean
  readonly subjectForm?: string | undefined
  readonly claims?: object | undefined
}

export const accessKey = (clientId: string, audience: string): string => JSON.stringify([clientId, audience])

export type CameBackKind =
  | 'client_enabled'
  | 'client_undeleted'
  | 'client_networks_widened'
  | 'client_expires_later'
  | 'client_method_changed'
  | 'client_audience_widened'
  | 'client_keys_elsewhere'
  | 'client_certificate_changed'
  | 'client_certificate_not_required'
  | 'client_tokens_unbound'
  | 'client_dpop_unbound'
  | 'client_not_fapi'
  | 'secret_alive'
  | 'secret_expires_later'
  | 'client_key_alive'
  | 'access_back'
  | 'access_widened'
  | 'resource_undeleted'
  | 'resource_scopes_back'
  | 'resource_lifetime_longer'
  | 'resource_changed'
  | 'key_unrevoked'
  | 'client_claims_changed'
  | 'resource_claims_changed'
  | 'issuer_undeleted'
  | 'issuer_enabled'
  | 'issuer_keys_back'
  | 'rule_undeleted'
  | 'rule_changed'
  | 'workload_unblocked'

export interface CameBack {
  readonly kind: CameBackKind
  readonly clientId?: string
  readonly audience?: string
  readonly secretId?: string
  readonly kid?: string
  readonly thumbprint?: string
  readonly issuer?: string
  readonly rule?: string
  readonly workloadId?: string
  /** When it was taken away: the time of the record. */
  readonly takenAt: string
  /** What it was set to: networks, an end, a method, a lifetime, an algorithm or a typ. */
  readonly setTo?: readonly string[]
  /** What there is beyond that: scopes, names of claims, or fields of a rule. */
  readonly surplus?: readonly string[]
  /** What of a resource was changed, the field of a certificate, or that the end of a client has passed. */
  readonly detail?:
    | 'signing_algorithm'
    | 'token_typ'
    | 'external'
    | 'subject_form'
    | 'passed'
    | CertificateFieldName
}

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
  // Who deletes a client takes its secrets and its access with it.
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
  // What hands change is not compared, and is no last word about what a command took away.
  if (outcome === 'changed by hand') return
  const set = (value: unknown, ...key: (string | null | undefined)[]): void => {
    if (key.every((name) => typeof name === 'string')) last.set(JSON.stringify(key), { record, value })
  }
  const changes = Object.entries(detail?.changes ?? {})
  if (type === 'client') {
    if (outcome === 'changed') for (const [field, { to }] of changes) set(to, 'client', clientId, field)
    else set(outcome, 'status', clientId)
  } else if (type === 'secret') {
    // Whoever replaces a secret, or leaves it unused, gives it an end.
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
    for (const [field, { to }] of changes) set(to, 'resource', audience, field)
    // A new resource of the same name begins anew.
    if (outcome === 'deleted' || outcome === 'created')
      for (const field of resourceFields) last.delete(JSON.stringify(['resource', audience, field]))
  } else if (type === 'key') {
    if (outcome === 'revoked' || outcome === 'abandoned') set(outcome, 'key', kid)
  } else carryOutTrust(record, set, (...key) => last.delete(JSON.stringify(key)))
}

const resourceFields = [
  'scopes',
  'token_lifetime',
  'signing_algorithm',
  'token_typ',
  'external',
  'subject_form',
  'claims',
]

export interface Question {
  readonly names: readonly string[]
  readonly record: ChangeRecord
  readonly value: unknown
  readonly state: RegisteredState
  readonly now: number
}

/** What to say of each kind of last word. */
const judges = {
  status({ names: [clientId = ''], record, value, state }: Question): CameBack[] {
    const client = state.clients.get(clientId)
    const common = { clientId, takenAt: record.time }
    if (value === 'deleted' && client !== undefined && client.status !== 'deleted')
      return [{ ...common, kind: 'client_undeleted' }]
    if (value === 'disabled' && client?.status === 'active') return [{ ...common, kind: 'client_enabled' }]
    return []
  },

  client({ names: [clientId = '', field = ''], record, value, state, now }: Question): CameBack[] {
    const client = state.clients.get(clientId)
    if (client === undefined || client.status === 'deleted') return []
    const told = (kind: CameBackKind, setTo: readonly string[]): CameBack[] => [
      { kind, clientId, takenAt: record.time, setTo },
    ]
    if (field === 'allowed_networks' && isTexts(value) && value.length > 0) {
      const isWider = client.networks.length === 0 || client.networks.some((each) => !value.includes(each))
      return isWider ? told('client_networks_widened', value) : []
    }
    if (field === 'expires_at' && typeof value === 'string') {
      const end = readMoment(value)
      if (end === undefined || (client.expiresAt ?? Number.POSITIVE_INFINITY) <= end) return []
      const found = told('client_expires_later', [value])
      // An end that has passed cannot be set any more. Who is disabled gets nothing either.
      if (end > now) return found
      return client.status === 'active' ? found.map((each) => ({ ...each, detail: 'passed' })) : []
    }
    if (field === 'token_endpoint_auth_method' && typeof value === 'string' && client.method !== value)
      return told('client_method_changed', [value])
    if (field === 'assertion_audience' && value === 'issuer' && client.assertionAudience !== value)
      return told('client_audience_widened', [value])
    if (field === 'jwks_uri' && client.jwksUri !== undefined && client.jwksUri !== value)
      return told('client_keys_elsewhere', typeof value === 'string' ? [value] : [])
    const named = certificateFieldNames.find((name) => name === field)
    if (named !== undefined) return certificateCameBack(client, named, value, told)
    if (field === 'require_certificate' && typeof value === 'string' && client.requiredCertificate !== value)
      return told('client_certificate_not_required', [value])
    if (
      field === 'tls_client_certificate_bound_access_tokens' &&
      value === true &&
      !client.certificateBoundTokens
    )
      return told('client_tokens_unbound', [])
    if (field === 'dpop_bound_access_tokens' && value === true && !client.dpopBoundTokens)
      return told('client_dpop_unbound', ['yes'])
    if (field === 'fapi' && value === true && client.fapi !== true) return told('client_not_fapi', ['yes'])
    if (field === 'claims' && (claimsText(client.claims) ?? null) !== value)
      return told('client_claims_changed', typeof value === 'string' ? [value] : []).map((each) => ({
        ...each,
        surplus: claimsBeyond(client.claims, value),
      }))
    return []
  },

  client_key({ names: [thumbprint = '', clientId = ''], record, value, state }: Question): CameBack[] {
    if (value !== 'revoked' || !state.liveClientKeys.has(accessKey(clientId, thumbprint))) return []
    return [{ kind: 'client_key_alive', clientId, thumbprint, takenAt: record.time }]
  },

  secret({ names: [secretId = '', clientId = ''], record, value, state }: Question): CameBack[] {
    if (value !== 'revoked' || !state.liveSecrets.has(secretId)) return []
    return [{ kind: 'secret_alive', clientId, secretId, takenAt: record.time }]
  },

  secret_end({ names: [secretId = '', clientId = ''], record, value, state }: Question): CameBack[] {
    const end = typeof value === 'string' ? readMoment(value) : undefined
    if (end === undefined || !state.liveSecrets.has(secretId)) return []
    if ((state.liveSecrets.get(secretId) ?? Number.POSITIVE_INFINITY) <= end) return []
    return [
      { kind: 'secret_expires_later', clientId, secretId, takenAt: record.time, setTo: [String(value)] },
    ]
  },

  access({ names: [clientId = '', audience = ''], record, value, state }: Question): CameBack[] {
    const scopes = state.access.get(accessKey(clientId, audience))
    if (scopes === undefined || value === null) return []
    const common = { clientId, audience, takenAt: record.time }
    if (value === undefined) return [{ ...common, kind: 'access_back' }]
    const surplus = isTexts(value) ? scopes.filter((scope) => !value.includes(scope)) : []
    return surplus.length === 0 ? [] : [{ ...common, kind: 'access_widened', surplus }]
  },

  existence({ names: [audience = ''], record, value, state }: Question): CameBack[] {
    if (value !== 'deleted' || !state.resources.has(audience)) return []
    return [{ kind: 'resource_undeleted', audience, takenAt: record.time }]
  },

  resource({ names: [audience = '', field = ''], record, value, state }: Question): CameBack[] {
    const resource = state.resources.get(audience)
    if (resource === undefined) return []
    const common = { audience, takenAt: record.time }
    if (field === 'scopes' && isTexts(value)) {
      const surplus = resource.scopes.filter((scope) => !value.includes(scope))
      return surplus.length === 0 ? [] : [{ ...common, kind: 'resource_scopes_back', surplus }]
    }
    const setTo = [String(value)]
    if (field === 'token_lifetime' && typeof value === 'number' && resource.tokenLifetimeSeconds > value)
      return [{ ...common, kind: 'resource_lifetime_longer', setTo }]
    if (field === 'signing_algorithm' && typeof value === 'string' && resource.signingAlgorithm !== value)
      return [{ ...common, kind: 'resource_changed', setTo, detail: field }]
    if (field === 'token_typ' && typeof value === 'string' && resource.tokenTyp !== value)
      return [{ ...common, kind: 'resource_changed', setTo, detail: field }]
    if (field === 'external' && typeof value === 'boolean' && (resource.external === true) !== value)
      return [{ ...common, kind: 'resource_changed', setTo: [value ? 'yes' : 'no'], detail: field }]
    if (field === 'subject_form' && (resource.subjectForm ?? null) !== value)
      return [{ ...common, kind: 'resource_changed', setTo: value === null ? [] : setTo, detail: field }]
    if (field === 'claims' && (claimsText(resource.claims) ?? null) !== value) {
      const surplus = claimsBeyond(resource.claims, value)
      return [{ ...common, kind: 'resource_claims_changed', setTo: value === null ? [] : setTo, surplus }]
    }
    return []
  },

  key({ names: [kid = ''], record, state }: Question): CameBack[] {
    if (!state.liveKeys.has(kid)) return []
    return [{ kind: 'key_unrevoked', kid, takenAt: record.time }]
  },

  ...trustJudges,
} as const

/** The names of claims that there are, and that were not to be. */
function claimsBeyond(claims: object | undefined, text: unknown): string[] {
  const wanted = typeof text === 'string' ? (JSON.parse(text) as object) : {}
  return Object.keys(claims ?? {}).filter((name) => !Object.hasOwn(wanted, name))
}

function certificateCameBack(
  client: RegisteredClientState,
  field: CertificateFieldName,
  value: unknown,
  told: (kind: CameBackKind, setTo: readonly string[]) => CameBack[],
): CameBack[] {
  const has = client.certificateField === field ? client.certificateValue : undefined
  // A client that authenticates by a certificate is known by another field then, which has its own record.
  if (typeof value !== 'string' && (has === undefined || client.method === 'tls_client_auth')) return []
  if (has === value) return []
  const setTo = typeof value === 'string' ? [value] : []
  return told('client_certificate_changed', setTo).map((each) => ({ ...each, detail: field }))
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((each) => typeof each === 'string')
}
