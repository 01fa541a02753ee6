import { missingIds } from '../../administration/trust-advice.ts'
import type { Misfit } from '../../authentication/trust-rules.ts'
import type {
  ClaimCondition,
  IssuerKeySource,
  RequiredProof,
  RuleAccess,
  TrustRule,
} from '../../registry/issuer.ts'

/** Trusted issuers and their rules in words. */

export function conditionText(condition: ClaimCondition): string {
  const { claim } = condition
  if ('equals' in condition) return `${claim} = ${valueText(condition.equals)}`
  if ('oneOf' in condition) return `${claim} = ${condition.oneOf.map(valueText).join(' or ')}`
  return 'prefix' in condition ? `${claim} begins with ${condition.prefix}` : `${claim} is present`
}

/** Text that looks like a number or a truth value has quotes: `"74"` is not `74`. */
function valueText(value: string | number | boolean): string {
  return typeof value === 'string' && /^(-?[\d.]+|true|false)$/.test(value)
    ? JSON.stringify(value)
    : `${value}`
}

export function keysText(keys: IssuerKeySource): string {
  if (keys.kind === 'discovery') return 'discovery'
  if (keys.kind === 'client_metadata') return 'documents of its clients'
  return keys.kind === 'jwks' ? `${keys.keys.length} uploaded` : keys.url
}

export function accessText(access: readonly RuleAccess[] | undefined): string {
  if (access === undefined) return 'all that the client may'
  return access.map(({ audience, scopes }) => `${audience} (${scopes.join(' ') || 'no scopes'})`).join(', ')
}

/** What a caller must bring beside the assertion, for a list; none: nothing. */
export function demandTexts({
  requiredCertificate: asked,
  requireDpop,
}: Pick<TrustRule, 'requiredCertificate' | 'requireDpop'>): string[] {
  return [
    ...(asked === undefined ? [] : [`a certificate with ${asked.name}=${asked.value}`]),
    ...(requireDpop === undefined ? [] : [proofTexts[requireDpop]]),
  ]
}

const proofTexts: Readonly<Record<RequiredProof, string>> = {
  any_key: 'a DPoP proof',
  confirmed_key: 'a DPoP proof of the key in cnf.jkt',
}

/** What a rule should name as well, a sentence each. */
export function adviceOn({ rule, conditions }: Pick<TrustRule, 'rule' | 'conditions'>): string[] {
  return [...missingIds(conditions)].map(
    ([name, id]) =>
      `${rule}: ${name} is a name, and somebody else can have this name one day. Add ${id} as well: it never ` +
      `gets another owner.`,
  )
}

/** Why an assertion does not fit a rule. */
export function misfitText(misfit: Misfit): string {
  if (misfit.kind === 'audience') return 'the audience is another one'
  if (misfit.kind === 'too_old') return `it is older than ${misfit.maxAgeSeconds} s`
  if (misfit.kind === 'default_service_account') return 'it is of the service account default'
  if (misfit.kind === 'no_confirmation') return 'it names no key (cnf.jkt)'
  const { condition, found } = misfit
  const is = found === undefined ? 'is missing' : `is ${JSON.stringify(found).slice(0, 100)}`
  return `${conditionText(condition)}: it ${is}${kindText(condition, found)}`
}

/** Where the value is the right one and only its type is not. */
function kindText(condition: ClaimCondition, found: unknown): string {
  const wanted = 'equals' in condition ? [condition.equals] : 'oneOf' in condition ? condition.oneOf : []
  const same = wanted.find((value) => typeof value !== typeof found && String(value) === String(found))
  if (same === undefined) return ''
  return typeof same === 'string'
    ? `, a ${typeof found}, and the rule asks for text`
    : `, text, and the rule asks for a ${typeof same}`
}
