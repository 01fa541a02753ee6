import { type ClaimCondition, readCondition } from '../registry/issuer.ts'
import type { MistakeCode } from './mistake.ts'

/**
 * Knowledge about platforms that many trust: which claims say who owns a workload, and which of them can get another
 * owner.
 */

interface RuleWords {
  readonly conditions: readonly unknown[]
  readonly dangerously_any_subject: boolean
  readonly allow_default_service_account: boolean
}

/**
 * Issuers that sign for everybody with an account, and the claims that say who owns a workload. A rule without any of
 * these claims would admit the whole world. A subject names its owner in its second part: `repo:acme/`.
 */
const sharedIssuers: Readonly<Record<string, readonly string[]>> = {
  'https://token.actions.githubusercontent.com': [
    'sub',
    'repository',
    'repository_id',
    'repository_owner',
    'repository_owner_id',
    'enterprise_id',
    'job_workflow_ref',
  ],
  'https://gitlab.com': [
    'sub',
    'project_id',
    'project_path',
    'namespace_id',
    'namespace_path',
    'ci_config_ref_uri',
  ],
  'https://agent.buildkite.com': ['sub', 'organization_id', 'organization_slug', 'pipeline_id'],
  'https://app.terraform.io': [
    'sub',
    'terraform_organization_id',
    'terraform_organization_name',
    'terraform_workspace_id',
  ],
  'https://accounts.google.com': ['sub', 'email'],
}

/** Names that somebody else can have one day, and the number that stays with the first owner. */
const numbered: Readonly<Record<string, string>> = {
  repository: 'repository_id',
  repository_owner: 'repository_owner_id',
  project_path: 'project_id',
  namespace_path: 'namespace_id',
  organization_slug: 'organization_id',
  terraform_organization_name: 'terraform_organization_id',
}

const defaultAccount = /^system:serviceaccount:[^:]+:default$/

/** Why a rule would admit more than was meant, or nobody. */
export function openRuleProblem(issuer: string, words: RuleWords): MistakeCode | undefined {
  const conditions = words.conditions.flatMap((condition) => readCondition(condition) ?? [])
  // A mistake in a condition is reported at the condition.
  if (conditions.length < words.conditions.length) return undefined
  const naming = conditions.filter((condition) => saysWho(issuer, condition))
  if (naming.length === 0 && !words.dangerously_any_subject) return 'rule_open'
  const owners = Object.hasOwn(sharedIssuers, issuer) ? sharedIssuers[issuer] : undefined
  const namesOwner = naming.some(({ claim, ...is }) => {
    return (
      owners?.includes(claim) &&
      (!('prefix' in is) || claim !== 'sub' || /^[^/:]+[/:][^/:]+[/:]/.test(is.prefix))
    )
  })
  if (owners !== undefined && !namesOwner && !words.dangerously_any_subject) return 'rule_open_to_world'
  const namesDefault = naming.some((condition) => {
    return (
      condition.claim === 'sub' && valuesOf(condition).some((value) => defaultAccount.test(String(value)))
    )
  })
  return namesDefault && !words.allow_default_service_account ? 'default_service_account_named' : undefined
}

interface MetadataRuleWords extends RuleWords {
  readonly client_id?: string | undefined
  readonly access?: unknown
  readonly assertion_use: string
  readonly require_dpop?: string | undefined
}

/**
 * Why a rule about clients that publish a document says what cannot be. What such a client signs, it says of itself: only its
 * id is proven by its document. And it can make an assertion for every request.
 */
export function metadataRuleProblem(words: MetadataRuleWords): MistakeCode | undefined {
  const conditions = words.conditions.flatMap((condition) => readCondition(condition) ?? [])
  const isAboutId = conditions.every(({ claim }) => claim === 'sub')
  const isOfWorkload = words.client_id === undefined && words.access !== undefined
  const isPlain = !words.dangerously_any_subject && !words.allow_default_service_account
  // Such a client signs for itself, so no issuer names its key in `cnf`.
  const canBe = words.assertion_use === 'once' && words.require_dpop !== 'confirmed_key'
  const isRight = isAboutId && isOfWorkload && isPlain && canBe
  return isRight ? undefined : 'client_metadata_rule_wrong'
}

/** Claims that say who made an assertion, for whom and when, but not whom it is about (RFC 7519 §4.1). */
const aboutAssertion: ReadonlySet<string> = new Set(['iss', 'aud', 'exp', 'nbf', 'iat', 'jti'])

/** A scheme, which the subjects of many issuers begin with. */
const onlyScheme = /^[A-Za-z][A-Za-z0-9+.-]*:\/\/$/

/** Whether a condition tells some workloads of an issuer from the others. */
function saysWho(issuer: string, condition: ClaimCondition): boolean {
  const claim = condition.claim.replace(/^\//, '')
  if ('present' in condition || aboutAssertion.has(claim)) return false
  if (!('prefix' in condition) || claim !== 'sub') return true
  const { prefix } = condition
  // All workloads of a trust domain, and all service accounts of a cluster, have this in front.
  const isOfAll = `${issuer}/`.startsWith(prefix) || 'system:serviceaccount:'.startsWith(prefix)
  return !isOfAll && !onlyScheme.test(prefix)
}

/** The ids that a rule should name beside names that can change hands, by these names. */
export function missingIds(conditions: readonly ClaimCondition[]): ReadonlyMap<string, string> {
  const claims = new Set(conditions.map(({ claim }) => claim))
  const pairs = [...claims].flatMap((claim) => {
    const id = Object.hasOwn(numbered, claim) ? numbered[claim] : undefined
    return id === undefined || claims.has(id) ? [] : [[claim, id] as const]
  })
  return new Map(pairs)
}

function valuesOf(condition: ClaimCondition): readonly unknown[] {
  if ('equals' in condition) return [condition.equals]
  return 'oneOf' in condition ? condition.oneOf : []
}
