import type { CameBack, ChangeRecord, Question } from './came-back-state.ts'
import { keysOfWords } from './trust-definition.ts'
import { keysShown, ruleFields } from './trust-plan.ts'
import type { RuleInput } from './trust-registration.ts'

/** What came back of trusted issuers and their rules (came-back.ts). Pure. */

export interface RegisteredTrustState {
  /** The issuers that are trusted: their status, and their keys as records of changes have them. */
  readonly issuers: ReadonlyMap<string, { readonly status: string; readonly keys: string }>
  /** Their rules, by name, with the fields that records of changes have. */
  readonly rules: ReadonlyMap<
    string,
    { readonly issuer: string; readonly fields: Readonly<Record<string, unknown>> }
  >
  readonly blockedWorkloads: ReadonlySet<string>
}

/** @param set notes the last word about something. @param forget what was said of it before. */
export function carryOutTrust(
  { type, outcome, client_id: clientId, credential_id: id, detail }: ChangeRecord,
  set: (value: unknown, ...key: (string | null | undefined)[]) => void,
  forget: (...key: string[]) => void,
): void {
  if (typeof id !== 'string' && type !== 'workload') return
  const changes = Object.entries(detail?.changes ?? {})
  if (type === 'issuer') {
    if (outcome === 'created' || outcome === 'deleted') {
      set(outcome, 'issuer', id)
      for (const about of ['issuer_status', 'issuer_keys']) forget(about, id ?? '')
      // A new one with the same name may have other keys than the one before.
      const keys = outcome === 'created' ? keysGiven(detail) : undefined
      if (keys !== undefined) set(keys, 'issuer_keys', id)
    } else if (outcome === 'changed') {
      for (const [field, { to }] of changes) if (field === 'keys') set(to, 'issuer_keys', id)
    } else set(outcome, 'issuer_status', id)
  } else if (type === 'trust_rule') {
    if (outcome !== 'changed') set(outcome, 'rule', id)
    if (outcome === 'deleted')
      for (const field of ['issuer', ...ruleFieldNames]) forget('rule_field', id ?? '', field)
    // A rule of the same name may have moved to another issuer.
    if (outcome === 'created' && typeof detail?.issuer === 'string')
      set(detail.issuer, 'rule_field', id, 'issuer')
    const given = outcome === 'created' && detail?.given ? ruleFields(detail.given) : undefined
    if (given !== undefined)
      for (const field of ruleFieldNames) set(given[field] ?? null, 'rule_field', id, field)
    for (const [field, { to }] of changes) set(to, 'rule_field', id, field)
  } else if (type === 'workload') set(outcome, 'workload', clientId)
}

/** The keys of a new issuer, as its record names them. @returns undefined if a text of them was cut, and so is not known. */
function keysGiven(detail: ChangeRecord['detail']): string | undefined {
  if (['jwks_uri', 'spiffe_bundle'].some((name) => detail?.cut?.[name] !== undefined)) return undefined
  return keysShown({ keys: keysOfWords(detail ?? {}) })
}

/** All that a rule says besides its name. The type finds one that is missing. */
const ruleFieldNames = Object.keys({
  conditions: true,
  client_id: true,
  access: true,
  assertion_audience: true,
  assertion_max_age: true,
  assertion_use: true,
  token_lifetime: true,
  allow_default_service_account: true,
  dangerously_any_subject: true,
  require_certificate: true,
  require_dpop: true,
} satisfies Readonly<Record<Exclude<keyof RuleInput, 'rule'>, true>>)

/** What to say of each kind of last word. */
export const trustJudges = {
  issuer({ names: [issuer = ''], record, value, state }: Question): CameBack[] {
    if (value !== 'deleted' || !state.trust.issuers.has(issuer)) return []
    return [{ kind: 'issuer_undeleted', issuer, takenAt: record.time }]
  },

  issuer_status({ names: [issuer = ''], record, value, state }: Question): CameBack[] {
    if (value !== 'disabled' || state.trust.issuers.get(issuer)?.status !== 'active') return []
    return [{ kind: 'issuer_enabled', issuer, takenAt: record.time }]
  },

  issuer_keys({ names: [issuer = ''], record, value, state }: Question): CameBack[] {
    const stored = state.trust.issuers.get(issuer)
    // A disabled one is not believed, whatever its keys are.
    if (stored?.status !== 'active' || stored.keys === value) return []
    return [{ kind: 'issuer_keys_back', issuer, takenAt: record.time }]
  },

  rule({ names: [rule = ''], record, value, state }: Question): CameBack[] {
    const stored = state.trust.rules.get(rule)
    if (value !== 'deleted' || stored === undefined) return []
    return [{ kind: 'rule_undeleted', rule, issuer: stored.issuer, takenAt: record.time }]
  },

  rule_field({ names: [rule = '', field = ''], record, value, state }: Question): CameBack[] {
    const stored = state.trust.rules.get(rule)
    if (stored === undefined) return []
    const has = field === 'issuer' ? stored.issuer : (stored.fields[field] ?? null)
    if (JSON.stringify(has) === JSON.stringify(value)) return []
    return [{ kind: 'rule_changed', rule, issuer: stored.issuer, takenAt: record.time, surplus: [field] }]
  },

  workload({ names: [workloadId = ''], record, value, state }: Question): CameBack[] {
    if (value !== 'blocked' || state.trust.blockedWorkloads.has(workloadId)) return []
    return [{ kind: 'workload_unblocked', workloadId, takenAt: record.time }]
  },
} as const

/** Each thing once: a removed issuer includes its rules, and a removed rule includes its fields. */
export function withoutRepeats(found: readonly CameBack[]): CameBack[] {
  const gone = new Set(found.flatMap(({ kind, issuer }) => (kind === 'issuer_undeleted' ? [issuer] : [])))
  const kept = found.filter(
    ({ kind, issuer }) => kind === 'issuer_undeleted' || issuer === undefined || !gone.has(issuer),
  )
  const told = new Set<string>()
  return kept.flatMap((each): CameBack[] => {
    const { kind, rule = '' } = each
    if (kind !== 'rule_changed') return [each]
    if (told.has(rule)) return []
    told.add(rule)
    const fields = kept.flatMap((other) =>
      other.kind === kind && other.rule === rule ? (other.surplus ?? []) : [],
    )
    return [{ ...each, surplus: fields }]
  })
}
