import type { FieldChange } from '../ledger/change-records.ts'
import { nearest } from '../lib/suggest.ts'
import { limits } from '../limits.ts'
import { isNestedPrefix } from '../registry/client-metadata-prefix.ts'
import { type TrustedIssuer, type TrustRule, workloadId } from '../registry/issuer.ts'
import type { IssuerDefinition, ResourceDefinition } from './definition.ts'
import type { Mistake } from './mistake.ts'
import { accessMistakes, fieldChanges, type Status } from './plan-parts.ts'
import { unfitResources } from './plan-tokens.ts'
import { ruleWords } from './trust-definition.ts'

/** The part of a plan that is about trusted issuers (plan.ts). Pure. */

export interface RuleStep {
  readonly rule: TrustRule
  readonly outcome: 'created' | 'changed' | 'deleted'
  readonly changes: readonly FieldChange[]
}

export interface IssuerStep {
  readonly definition: IssuerDefinition
  readonly status: Status
  readonly finalStatus: TrustedIssuer['status']
  /** Of the issuer itself; its rules are apart. */
  readonly changes: readonly FieldChange[]
  readonly rules: readonly RuleStep[]
}

export interface TrustState {
  /** All that are trusted. */
  readonly issuers: ReadonlyMap<string, TrustedIssuer>
  /** Those of the clients that rules name which exist and are not deleted. */
  readonly clientIds: ReadonlySet<string>
  /** Those among them that are held to the FAPI profile. Left out: none. */
  readonly fapiClientIds?: ReadonlySet<string>
}

export function planIssuers(
  definitions: readonly IssuerDefinition[],
  { issuers, clientIds, fapiClientIds = new Set() }: TrustState,
  resources: ReadonlyMap<string, ResourceDefinition>,
): { steps: readonly IssuerStep[]; mistakes: readonly Mistake[] } {
  const mistakes: Mistake[] = []
  const named = new Set(definitions.map(({ issuer }) => issuer))
  const count = new Set([...named, ...issuers.keys()]).size
  if (count > limits.trustedIssuersMax) {
    mistakes.push({ code: 'issuers_too_many', path: ['trust'], count, limit: limits.trustedIssuersMax })
  }
  const others = [...issuers.values()].filter(({ issuer }) => !named.has(issuer))
  mistakes.push(...nestedPrefixes(definitions, others))
  const owners = new Map(
    others.flatMap(({ issuer, rules }) => rules.map(({ rule }) => [rule, issuer] as const)),
  )
  const steps = definitions.map((definition, index) => {
    for (const [at, rule] of definition.rules.entries()) {
      const path = ['trust', index, 'rules', at]
      const owner = owners.get(rule.rule)
      if (owner !== undefined)
        mistakes.push({
          code: 'rule_named_elsewhere',
          path: [...path, 'rule'],
          rule: rule.rule,
          issuer: owner,
        })
      const { clientId, access = [] } = rule
      if (clientId !== undefined && !clientIds.has(clientId)) {
        const known = nearest(clientId, clientIds)
        mistakes.push({ code: 'rule_client_unknown', path: [...path, 'client_id'], clientId, nearest: known })
      }
      if (clientId !== undefined && fapiClientIds.has(clientId) && rule.assertionAudience !== 'issuer')
        mistakes.push({ code: 'rule_audience_fapi', path: [...path, 'assertion_audience'], clientId })
      mistakes.push(...accessMistakes(access, path, resources))
      // Workloads have ids of one form.
      const subject = clientId ?? workloadId(definition.issuer, '')
      mistakes.push(...unfitResources({ clientId: subject, access }, path, resources))
    }
    return planIssuer(definition, issuers.get(definition.issuer))
  })
  return { steps, mistakes }
}

/** Beginnings of addresses of documents that stand within another one. */
function nestedPrefixes(
  definitions: readonly IssuerDefinition[],
  others: readonly TrustedIssuer[],
): readonly Mistake[] {
  const isPrefix = ({ keys }: Pick<TrustedIssuer, 'keys'>) => keys.kind === 'client_metadata'
  return definitions.flatMap((definition, index) => {
    if (!isPrefix(definition)) return []
    const around = [...others, ...definitions.slice(0, index)].find(
      (other) => isPrefix(other) && isNestedPrefix(definition.issuer, other.issuer),
    )
    const path = ['trust', index, 'issuer']
    return around === undefined
      ? []
      : [{ code: 'client_metadata_prefix_nested' as const, path, issuer: around.issuer }]
  })
}

/** The names of rules that give a scope away, of issuers that are not planned. */
export function rulesWith(
  issuers: Iterable<TrustedIssuer>,
  planned: ReadonlySet<string>,
  audience: string,
  scope: string | undefined,
): string[] {
  return [...issuers].flatMap(({ issuer, rules }) =>
    planned.has(issuer)
      ? []
      : rules.filter((rule) => gives(rule, audience, scope)).map(({ rule }) => `the rule ${rule}`),
  )
}

/** @param scope undefined: whatever it gives there. */
export function gives({ access = [] }: TrustRule, audience: string, scope?: string): boolean {
  return access.some(
    (given) => given.audience === audience && (scope === undefined || given.scopes.includes(scope)),
  )
}

function planIssuer(definition: IssuerDefinition, stored: TrustedIssuer | undefined): IssuerStep {
  const finalStatus = definition.status ?? stored?.status ?? 'active'
  const rules = planRules(definition.rules, stored?.rules ?? [])
  if (stored === undefined) return { definition, status: 'created', finalStatus, changes: [], rules }
  const changes = fieldChanges(
    ['status', stored.status, finalStatus],
    ['keys', keysShown(stored), keysShown(definition)],
    ['owner', stored.owner ?? null, definition.owner ?? null],
  )
  const status = changes.length + rules.length === 0 ? 'unchanged' : 'changed'
  return { definition, status, finalStatus, changes, rules }
}

/** Whole keys are too long for a record, and their ids say which they are. */
export function keysShown({ keys }: Pick<TrustedIssuer, 'keys'>): string {
  if (keys.kind === 'discovery' || keys.kind === 'client_metadata') return keys.kind
  if (keys.kind !== 'jwks') return `${keys.kind} ${keys.url}`
  return `jwks ${keys.keys.map((key) => `${key['kid'] ?? ''} ${key['x'] ?? key['n']}`).join(', ')}`
}

/** A registration is the whole truth about the issuers that it names. */
function planRules(wanted: readonly TrustRule[], stored: readonly TrustRule[]): RuleStep[] {
  const before = new Map(stored.map((rule) => [rule.rule, rule]))
  const steps: RuleStep[] = []
  for (const rule of wanted) {
    const old = before.get(rule.rule)
    before.delete(rule.rule)
    if (old === undefined) {
      steps.push({ rule, outcome: 'created', changes: [] })
      continue
    }
    const changes = ruleChanges(old, rule)
    if (changes.length > 0) steps.push({ rule, outcome: 'changed', changes })
  }
  for (const rule of before.values()) steps.push({ rule, outcome: 'deleted', changes: [] })
  return steps
}

/** The rules that a plan deletes, and the issuers that had them. */
export function deletedRules(
  steps: readonly IssuerStep[],
): readonly { readonly issuer: string; readonly rule: string; readonly clientId: string | undefined }[] {
  return steps.flatMap(({ definition: { issuer }, rules }) =>
    rules.flatMap(({ rule: { rule, clientId }, outcome }) =>
      outcome === 'deleted' ? [{ issuer, rule, clientId }] : [],
    ),
  )
}

function ruleChanges(before: TrustRule, after: TrustRule): FieldChange[] {
  const [from, to] = [ruleFields(ruleWords(before)), ruleFields(ruleWords(after))]
  const fields = [...new Set([...Object.keys(from), ...Object.keys(to)])]
  return fieldChanges(...fields.map((field) => [field, from[field] ?? null, to[field] ?? null] as const))
}

/** The fields of a rule as records of its changes have them. What is left out is null there. */
export function ruleFields(words: object): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(words).map(([field, value]) => [field, shown(value)]))
}

/** Lists of conditions and access in one form, whatever order the database gives their members. */
function shown(value: unknown): unknown {
  if (!Array.isArray(value)) return value ?? null
  return value.map((entry: Readonly<Record<string, unknown>>) =>
    Object.entries(entry)
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .map(([name, inner]) => `${name}: ${JSON.stringify(inner)}`)
      .join(', '),
  )
}
