/**
 * What goes wrong in administration is data inside and a sentence at the command line: every code has its sentence,
 * every sentence its code, and the documentation lists the codes as they are.
 */
import { globSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { MistakeCode, MistakeFields } from '../../src/administration/mistake.ts'
import { mistakeSentences } from '../../src/cli/terminal/mistakes.ts'
import { messageOf, sentences } from '../../src/cli/terminal/sentences.ts'
import {
  AdministrationError,
  type AdministrationErrorCode,
  type AdministrationErrorFields,
  administrationErrors,
  exitCodes,
} from '../../src/errors.ts'

const codes = Object.keys(administrationErrors) as AdministrationErrorCode[]

/** Fields of the kind that each code comes with. */
const samples: { readonly [Code in AdministrationErrorCode]: AdministrationErrorFields[Code] } = {
  registration_refused: { mistakes: [{ code: 'name_empty', path: ['clients', 0, 'name'] }] },
  file_unreadable: { path: 'x.yaml', problem: 'no such file' },
  file_too_large: { path: 'x.yaml', limit: 1 },
  file_not_text: { path: 'x.yaml' },
  client_not_found: { clientId: 'billng', nearest: 'billing' },
  client_exists: { clientId: 'billing' },
  client_deleted: { clientId: 'billing' },
  client_vanished: { clientId: 'billing' },
  resource_not_found: { audience: 'urn:x', nearest: undefined },
  resource_exists: { audience: 'urn:x' },
  resource_in_use: { audience: 'urn:x', holders: ['billing'], count: 2, rules: ['deploy'] },
  secret_not_found: { clientId: 'billing', secretId: 'k3v9x2ab' },
  secret_replaced_meanwhile: { clientId: 'billing', secretId: 'AAAAAAAA' },
  secrets_too_many: { clientId: 'billing', count: 10, limit: 10 },
  leaked_secrets_too_many: { count: 10_001, limit: 10_000 },
  client_key_not_found: { clientId: 'billing', key: '2027-01' },
  client_key_exists: { clientId: 'billing', thumbprint: 'thumbprint-1', isRevoked: true },
  client_fapi_no_secret: { clientId: 'billing' },
  client_fapi_key: { clientId: 'billing', thumbprint: 'thumbprint-1' },
  client_key_named_alike: { clientId: 'billing', kid: '2027-01' },
  client_keys_too_many: { clientId: 'billing', count: 10, limit: 10 },
  key_is_private: { path: 'billing.pem' },
  key_unreadable: { path: 'billing.pem' },
  issuer_not_found: { issuer: 'https://idp.example.com', nearest: undefined },
  rule_not_found: { rule: 'deplyo', nearest: 'deploy' },
  rule_exists: { rule: 'deploy', issuer: 'https://idp.example.com' },
  registry_busy: { waitedSeconds: 60 },
  registration_unsealed: { subject: 'client', id: 'billing' },
  registry_seal_key_unset: {},
  registry_seal_key_differs: { keyEncryptionKeyId: 'aa', atHand: ['bb', 'cc'] },
  registry_seal_missing: {},
  registry_seal_damaged: {},
  registry_seal_older: { number: 6, recorded: 7 },
  registry_changed_meanwhile: {},
  key_not_found: { kid: 'kid-1' },
  key_made_meanwhile: { algorithm: 'ES256' },
  clock_disagrees: { offSeconds: -3, toleranceSeconds: 1 },
  key_encryption_key_unset: {},
  key_encryption_key_differs: {
    kid: 'kid-1',
    keyEncryptionKeyId: 'aa',
    atHand: ['bb', 'cc'],
    source: 'configuration',
  },
  signing_key_damaged: { kid: 'kid-1' },
  key_encryption_key_not_lost: { atHand: ['0011223344556677'] },
  signing_key_altered: { kid: 'kid-1' },
  key_manifest_damaged: {},
  key_manifest_differs: { number: 7 },
  key_manifest_older: { number: 6, recorded: 7 },
  key_file_lost: { path: 'data/key' },
  key_file_missing: { path: 'data/key' },
  key_file_vanished: { path: 'data/key' },
  key_file_uncreatable: { path: 'data/key', problem: 'permission denied' },
  key_file_unreadable: { path: 'data/key', problem: 'permission denied' },
  key_file_malformed: { path: 'data/key', isEmpty: true },
}

const mistakeSamples: { readonly [Code in MistakeCode]: MistakeFields[Code] } = {
  fapi_auth_method: { method: 'any', known: ['private_key_jwt', 'tls_client_auth'] },
  fapi_assertion_audience: {},
  fapi_unbound: {},
  fapi_key_algorithm: {},
  fapi_stored_keys: { clientId: 'billing', thumbprints: ['thumbprint-1'] },
  fapi_secrets: { clientId: 'billing', count: 1 },
  fapi_resource_algorithm: { audience: 'urn:x' },
  fapi_rules: { rules: ['the rule deploy'] },
  resource_algorithm_fapi: { holders: ['billing'] },
  rule_audience_fapi: { clientId: 'billing' },
  require_dpop_unknown: { value: 'yes', known: ['any_key', 'confirmed_key'] },
  list_empty: {},
  client_id_credential: {},
  client_id_reserved: { value: 'workload:x' },
  issuer_malformed: { value: 'idp' },
  keys_url_malformed: { value: 'http://idp.example.com/keys' },
  key_sources_several: {},
  spiffe_keys_missing: {},
  bundle_without_trust_domain: {},
  client_metadata_not_true: {},
  client_metadata_prefix_malformed: { value: 'https://agents.example.com' },
  client_metadata_rule_wrong: {},
  client_metadata_prefix_nested: { issuer: 'https://agents.example.com/' },
  rule_malformed: { value: 'a rule' },
  rule_gives_nothing: {},
  rule_open: {},
  rule_open_to_world: {},
  default_service_account_named: {},
  claim_malformed: { value: '/~' },
  claim_value_wrong: {},
  condition_not_one: {},
  prefix_open: { value: 'repo:acme' },
  present_not_true: {},
  assertion_use_unknown: { value: 'twice', known: ['once', 'until_expiry'] },
  assertion_max_age_out_of_range: { value: 0, least: 1, most: 86_400 },
  rule_named_elsewhere: { rule: 'deploy', issuer: 'https://idp.example.com' },
  rule_client_unknown: { clientId: 'billng', nearest: 'billing' },
  issuers_too_many: { count: 101, limit: 100 },
  yaml_malformed: { problem: 'Unresolved tag' },
  values_too_many: { limit: 100 },
  registration_empty: { known: ['resources', 'clients'] },
  kind_wrong: { expected: 'text', found: 'number', written: '007' },
  key_unknown: { key: 'nam', known: ['name', 'status'] },
  key_missing: { key: 'client_id' },
  text_too_long: { length: 201, limit: 200 },
  list_too_long: { count: 51, limit: 50 },
  listed_twice: { value: 'a' },
  already_named: { value: 'a', first: ['clients', 0] },
  client_id_malformed: { value: 'a b' },
  name_empty: {},
  name_characters: {},
  method_unknown: { value: 'basic', known: ['client_secret_basic', 'client_secret_post'] },
  status_unknown: { value: 'deleted', known: ['active', 'disabled'] },
  network_malformed: { value: 'x', problem: '"x" is not a network' },
  moment_malformed: { value: 'tomorrow' },
  audience_malformed: { value: '/orders' },
  scope_malformed: { value: 'a b' },
  token_lifetime_out_of_range: { value: 0, least: 1, most: 2 },
  typ_unknown: { value: 'jwt', known: ['at+jwt', 'JWT'] },
  assertion_audience_unknown: { value: 'tokens', known: ['issuer', 'token_endpoint'] },
  text_empty: {},
  text_characters: {},
  client_kind_unknown: { value: 'jobs', known: ['service', 'job', 'agent'] },
  jwk_private: { member: 'd' },
  jwk_malformed: { problem: 'lacks x, which must be text' },
  certificate_field_malformed: { problem: 'is no DNS name' },
  certificate_fields_several: { first: 'tls_client_auth_san_dns' },
  certificate_field_missing: { known: ['tls_client_auth_subject_dn', 'tls_client_auth_san_dns'] },
  certificate_field_unused: { method: 'client_secret_basic' },
  key_was_revoked: { thumbprint: 'thumbprint-1' },
  algorithm_unknown: { value: 'ES265', known: ['ES256'] },
  client_id_taken: { clientId: 'billing' },
  resource_unknown: { audience: 'urn:a', nearest: 'urn:b' },
  scope_unknown: { scope: 'raed', audience: 'urn:a', known: ['read'] },
  scope_in_use: { scope: 'read', holders: ['a', 'b', 'c', 'd'] },
  fixed_claim_malformed: { name: 'a b' },
  fixed_claim_reserved: { name: 'iss' },
  fixed_claim_value_wrong: { name: 'tenant' },
  fixed_claims_too_many: { count: 21, limit: 20 },
  fixed_claims_too_large: { bytes: 3_000, limit: 2_048 },
  subject_form_malformed: { value: 'client' },
  subject_form_not_external: {},
  claims_contradict: { claim: 'tenant', others: ['the client billing'] },
  subject_unfit: { form: 'spiffe://example.org/{client_id}', clientIds: ['a:b'] },
}

const sourceOf = (...patterns: string[]): string =>
  globSync(patterns)
    .map((path) => readFileSync(path, 'utf8'))
    .join('\n')
const inside = [
  'src/administration/*.ts',
  'src/keys/*.ts',
  'src/ledger/change-*.ts',
  'src/registry/seal-*.ts',
]

/** What only means something at the command line: commands, options, settings. */
const terminalWords = /bin\/mintmark|mintmark clients|npm |--[a-z]|MINTMARK_|DATABASE_URL/

describe.each(codes)('%s', (code) => {
  const error = new AdministrationError(code, samples[code])
  const message = messageOf(error)

  test('is described in words that are always the same and name no command, option or setting', () => {
    const { description } = administrationErrors[code]
    expect(description).toMatch(/^[A-Z].*\.$/)
    expect(description).not.toMatch(terminalWords)
    expect(error.message).toContain(description)
  })

  test('has a sentence at the command line, with its fields in it', () => {
    expect(message.length).toBeGreaterThan(20)
    expect(message).not.toMatch(/undefined|NaN|\[object/)
    expect(sentences[code]).toBeTypeOf('function')
  })

  test('has the exit code of its kind', () => {
    expect(error.exitCode).toBe(error.kind === 'not_found' ? exitCodes.notFound : exitCodes.failed)
  })

  test('is thrown somewhere', () => {
    expect(sourceOf(...inside)).toContain(`'${code}'`)
  })
})

test('every sentence has a code', () => {
  expect(Object.keys(sentences)).toEqual(codes)
})

describe('mistakes', () => {
  const declared = [
    ...(readFileSync('src/administration/mistake.ts', 'utf8')
      .split('export interface MistakeFields {')[1]
      ?.split('\nexport ')[0]
      ?.matchAll(/^ {2}(\w+): /gm) ?? []),
  ].map(([, code]) => code)

  test('every code has a sentence, and every sentence a code', () => {
    expect(declared.length).toBeGreaterThan(20)
    expect(Object.keys(mistakeSentences)).toEqual(declared)
  })

  test.each(Object.entries(mistakeSamples))(
    '%s is made somewhere, and said with its fields',
    (code, fields) => {
      expect(sourceOf('src/administration/!(mistake).ts')).toMatch(new RegExp(`'${code}'|\\b${code}: \\(`))
      const sentence = (mistakeSentences[code as MistakeCode] as (fields: object) => string)(fields)
      expect(sentence.length).toBeGreaterThan(10)
      expect(sentence).not.toMatch(/undefined|NaN|\[object/)
    },
  )
})

test('inside, nothing names a command, an option or a setting', () => {
  const lines = globSync(inside).flatMap((path) =>
    readFileSync(path, 'utf8')
      .split('\n')
      .flatMap((line, index) => (terminalWords.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [])),
  )
  expect(lines).toEqual([])
})

test('docs/reference/errors.md lists every code as it is, in the same order, and none that is not', () => {
  const rows = [
    ...readFileSync('docs/reference/errors.md', 'utf8').matchAll(/^\| `(\w+)` \| (\w+) \| ([^|]+) \|$/gm),
  ].map(([, code, kind, description]) => [code, kind, description])
  expect(rows).toEqual(codes.map((code) => Object.values({ code, ...administrationErrors[code] })))
})
