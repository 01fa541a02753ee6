import type { z } from 'zod'
import { fieldProblem } from '../authentication/certificate-field.ts'
import { readClientKey } from '../authentication/client-key.ts'
import { fapiAuthMethods } from '../authentication/fapi.ts'
import { parseNetwork } from '../lib/network.ts'
import { limits } from '../limits.ts'
import { type CertificateFieldName, certificateFieldNames } from '../registry/client.ts'
import { claimsBytes } from '../registry/fixed-claims.ts'
import { type CertificateWords, fieldIn } from './certificate-words.ts'
import type { MistakeCode, MistakeFields } from './mistake.ts'

/** The fields of the mistakes that a check of the schema finds in a value of the right kind. */
export const explained = {
  // Counted as the schema counts: a rare character is one, although it has two units of UTF-16.
  list_empty: () => ({}),
  text_empty: () => ({}),
  text_characters: () => ({}),
  client_kind_unknown: (value: string, issue) => ({ value, known: choices(issue) }),
  text_too_long: (value: string, issue) => ({ length: [...value].length, limit: most(issue) }),
  list_too_long: (value: readonly unknown[], issue) => ({ count: value.length, limit: most(issue) }),
  listed_twice: (value: string) => ({ value }),
  client_id_malformed: (value: string) => ({ value }),
  client_id_credential: () => ({}),
  client_id_reserved: (value: string) => ({ value }),
  name_empty: () => ({}),
  name_characters: () => ({}),
  method_unknown: (value: string, issue) => ({ value, known: choices(issue) }),
  status_unknown: (value: string, issue) => ({ value, known: choices(issue) }),
  network_malformed: (value: string) => ({ value, problem: networkProblem(value) }),
  moment_malformed: (value: string) => ({ value }),
  audience_malformed: (value: string) => ({ value }),
  scope_malformed: (value: string) => ({ value }),
  token_lifetime_out_of_range: (value: number) => ({
    value,
    least: limits.tokenLifetimeSecondsMin,
    most: limits.tokenLifetimeSecondsMax,
  }),
  typ_unknown: (value: string, issue) => ({ value, known: choices(issue) }),
  algorithm_unknown: (value: string, issue) => ({ value, known: choices(issue) }),
  assertion_audience_unknown: (value: string, issue) => ({ value, known: choices(issue) }),
  issuer_malformed: (value: string) => ({ value }),
  keys_url_malformed: (value: string) => ({ value }),
  key_sources_several: () => ({}),
  spiffe_keys_missing: () => ({}),
  bundle_without_trust_domain: () => ({}),
  client_metadata_not_true: () => ({}),
  client_metadata_prefix_malformed: (value: string) => ({ value }),
  client_metadata_rule_wrong: () => ({}),
  rule_malformed: (value: string) => ({ value }),
  rule_gives_nothing: () => ({}),
  rule_open: () => ({}),
  rule_open_to_world: () => ({}),
  default_service_account_named: () => ({}),
  claim_malformed: (value: string) => ({ value }),
  claim_value_wrong: () => ({}),
  condition_not_one: () => ({}),
  prefix_open: (value: string) => ({ value }),
  present_not_true: () => ({}),
  assertion_use_unknown: (value: string, issue) => ({ value, known: choices(issue) }),
  require_dpop_unknown: (value: string, issue) => ({ value, known: choices(issue) }),
  fapi_auth_method: (_value, _issue, whole) => ({
    method: String((whole as { token_endpoint_auth_method?: unknown }).token_endpoint_auth_method ?? 'any'),
    known: fapiAuthMethods,
  }),
  fapi_assertion_audience: () => ({}),
  fapi_unbound: () => ({}),
  fapi_key_algorithm: () => ({}),
  assertion_max_age_out_of_range: (value: number) => ({
    value,
    least: 1,
    most: limits.assertionAgeSecondsMax,
  }),
  fixed_claim_malformed: (_value, issue) => ({ name: String(issue.path.at(-1)) }),
  fixed_claim_reserved: (_value, issue) => ({ name: String(issue.path.at(-1)) }),
  fixed_claim_value_wrong: (_value, issue) => ({ name: String(issue.path.at(-1)) }),
  fixed_claims_too_many: (value: object) => ({
    count: Object.keys(value).length,
    limit: limits.fixedClaimsMax,
  }),
  fixed_claims_too_large: (value: object) => ({
    bytes: claimsBytes(value),
    limit: limits.fixedClaimsBytesMax,
  }),
  subject_form_malformed: (value: string) => ({ value }),
  subject_form_not_external: () => ({}),
  jwk_private: (value: unknown) => {
    const read = readClientKey(value)
    return { member: 'privateMember' in read ? read.privateMember : '' }
  },
  certificate_field_malformed: (value: string, issue, _whole) => ({
    problem: fieldProblem({ name: issue.path.at(-1) as CertificateFieldName, value }) ?? '',
  }),
  certificate_fields_several: (_value, _issue, whole) => ({
    first: fieldIn(whole as CertificateWords)?.name ?? '',
  }),
  certificate_field_missing: () => ({ known: certificateFieldNames }),
  certificate_field_unused: (_value, _issue, whole) => ({
    method: String((whole as { token_endpoint_auth_method?: unknown }).token_endpoint_auth_method),
  }),
  jwk_malformed: (value: unknown) => {
    const read = readClientKey(value)
    return { problem: 'problem' in read ? read.problem : '' }
  },
} satisfies {
  [Code in MistakeCode]?: (value: never, issue: z.core.$ZodIssue, whole: unknown) => MistakeFields[Code]
}

function most(issue: z.core.$ZodIssue): number {
  return issue.code === 'too_big' ? Number(issue.maximum) : Number.NaN
}

function choices(issue: z.core.$ZodIssue): readonly string[] {
  return issue.code === 'invalid_value' ? issue.values.map(String) : []
}

function networkProblem(text: string): string {
  try {
    parseNetwork(text)
    return ''
  } catch (error) {
    return (error as Error).message
  }
}
