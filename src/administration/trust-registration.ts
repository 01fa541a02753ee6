import { z } from 'zod'
import { readIssuerKey } from '../authentication/issuer-key.ts'
import { limits } from '../limits.ts'
import { isClientMetadataPrefix } from '../registry/client-metadata-prefix.ts'
import { clientIdForm } from '../registry/grammar.ts'
import { isClaimValue, prefixEnd, requiredProofs } from '../registry/issuer.ts'
import { defaults } from './definition.ts'
import { found, foundAndStop } from './registration-values.ts'
import { metadataRuleProblem, openRuleProblem } from './trust-advice.ts'

/**
 * What may be registered about other issuers, in the words of files. It is a part of the schema (registration.ts), and
 * like the rest of it only loaded by what needs it.
 */

/** An issuer of OpenID Connect (an https URL), or a trust domain of SPIFFE. A slash at the end belongs to it or does not. */
const issuerForm = /^(?:https:\/\/(?:(?![?#@])[!-~])+|spiffe:\/\/[a-z0-9._-]+)$/

const issuerName = z
  .string()
  .max(limits.issuerCharactersMax, foundAndStop('text_too_long'))
  .refine(isIssuer, found('issuer_malformed'))
  .meta({
    pattern: issuerForm.source,
    description: 'The iss of the assertions, exactly as it stands in them; or spiffe:// and a trust domain.',
  })

/** Where keys are, of an issuer or of a client. */
export const keysUrl = z
  .string()
  .max(limits.audienceCharactersMax, foundAndStop('text_too_long'))
  .refine(isKeysUrl, found('keys_url_malformed'))
  .meta({ pattern: '^https://' })

const claimValue = z.unknown().refine(isClaimValue, found('claim_value_wrong'))

const condition = z
  .strictObject({
    claim: z
      .string()
      .min(1, foundAndStop('claim_malformed'))
      .max(limits.claimCharactersMax, foundAndStop('text_too_long'))
      .refine(isClaimName, found('claim_malformed'))
      .describe('The name of a claim, or a JSON Pointer to one within another: /kubernetes.io/namespace.'),
    equals: claimValue.optional(),
    one_of: z
      .array(claimValue)
      .min(1, found('list_empty'))
      .max(limits.valuesPerConditionMax, found('list_too_long'))
      .optional(),
    prefix: z
      .string()
      .max(limits.claimCharactersMax, foundAndStop('text_too_long'))
      .regex(prefixEnd, found('prefix_open'))
      .optional()
      .describe('What the claim begins with. It ends with / or :, so that no longer name fits by accident.'),
    present: z.literal(true, found('present_not_true')).optional(),
  })
  .check(({ value, issues }) => {
    const given = [value.equals, value.one_of, value.prefix, value.present]
    if (given.filter((each) => each !== undefined).length === 1) return
    issues.push({ code: 'custom', message: found('condition_not_one'), input: value })
  })
  .describe('What one claim must be. All conditions of a rule must hold.')

/**
 * @param access how a resource with scopes is written for a client.
 * @param requiredCertificate how a certificate is written that must be brought.
 */
export function ruleSchema<Access extends z.ZodType, Certificate extends z.ZodType>(
  access: Access,
  requiredCertificate: Certificate,
) {
  return z
    .strictObject({
      rule: z
        .string()
        .max(limits.clientIdCharactersMax, foundAndStop('text_too_long'))
        .regex(clientIdForm, found('rule_malformed'))
        .describe('Its name, for the ledger. Unique among the rules of all issuers.'),
      conditions: z.array(condition).max(limits.conditionsPerRuleMax, found('list_too_long')).default([]),
      client_id: z
        .string()
        .optional()
        .describe(
          'The client that the assertions stand for. Left out: each workload has an identity of its own.',
        ),
      access: z
        .array(access)
        .max(limits.accessPerClientMax, found('list_too_long'))
        .optional()
        .describe('What they may ask for. With a client it may be left out: all that the client may.'),
      assertion_audience: z
        .enum(['issuer', 'token_endpoint'], found('assertion_audience_unknown'))
        .default(defaults.assertionAudience)
        .describe('What they name as aud, alone. token_endpoint accepts the issuer and the token endpoint.'),
      assertion_max_age: z
        .int(found('assertion_max_age_out_of_range'))
        .min(1, found('assertion_max_age_out_of_range'))
        .max(limits.assertionAgeSecondsMax, found('assertion_max_age_out_of_range'))
        .default(defaults.assertionMaxAgeSeconds)
        .describe('Seconds since iat after which an assertion is too old, whatever its exp.'),
      assertion_use: z
        .enum(['once', 'until_expiry'], found('assertion_use_unknown'))
        .default(defaults.assertionUse)
        .describe(
          'until_expiry accepts the same assertion again and again, as Kubernetes and SPIRE hand it out.',
        ),
      token_lifetime: z
        .int(found('token_lifetime_out_of_range'))
        .min(limits.tokenLifetimeSecondsMin, found('token_lifetime_out_of_range'))
        .max(limits.tokenLifetimeSecondsMax, found('token_lifetime_out_of_range'))
        .optional()
        .describe('Seconds that a token lives at most. It never outlives the assertion.'),
      allow_default_service_account: z
        .boolean()
        .default(false)
        .describe(
          'Whether the service account default of a Kubernetes namespace may fit. Many pods share it.',
        ),
      dangerously_any_subject: z
        .boolean()
        .default(false)
        .describe('Whether the rule may fit whomever the issuer signs for.'),
      require_certificate: requiredCertificate
        .optional()
        .describe(
          'What a certificate must have that the caller brings beside the assertion. {sub} stands for the subject of the ' +
            'assertion. The token is bound to the certificate.',
        ),
      require_dpop: z
        .enum(requiredProofs, found('require_dpop_unknown'))
        .optional()
        .describe(
          'Whose key a DPoP proof must be of. confirmed_key: the one that the assertion names in cnf.jkt. any_key: any, ' +
            'unless the assertion names one. The token is bound to the key.',
        ),
    })
    .check(({ value, issues }) => {
      if (value.client_id !== undefined || value.access !== undefined) return
      issues.push({ code: 'custom', message: found('rule_gives_nothing'), input: value })
    })
    .describe('Which assertions are accepted, and what they get.')
}

const jwks = z
  .strictObject({
    keys: z
      .array(
        z.record(z.string(), z.unknown()).check(({ value, issues }) => {
          const read = readIssuerKey(value, 'sig')
          if ('thumbprint' in read) return
          const message = found('privateMember' in read ? 'jwk_private' : 'jwk_malformed')
          issues.push({ code: 'custom', message, input: value })
        }),
      )
      .min(1, found('list_empty'))
      .max(limits.issuerKeysMax, found('list_too_long')),
  })
  .describe('Its public keys themselves, where nothing can be fetched.')

/** @param owner how an owner is written for a client. */
export function issuerSchema<Owner extends z.ZodType<string>>(
  rule: ReturnType<typeof ruleSchema>,
  owner: Owner,
) {
  return z
    .strictObject({
      issuer: issuerName,
      status: z
        .enum(['active', 'disabled'], found('status_unknown'))
        .optional()
        .describe('Left as it is if it is left out; a new issuer is active.'),
      jwks_uri: keysUrl
        .optional()
        .describe('Where its keys are. Left out, with the two below: it says it itself.'),
      spiffe_bundle: keysUrl.optional().describe('Where the bundle of a trust domain is.'),
      jwks: jwks.optional(),
      client_metadata: z
        .literal(true, found('client_metadata_not_true'))
        .optional()
        .describe(
          'Clients that publish a document about themselves: their ids are addresses that begin with the issuer, which ends ' +
            'with /. Each signs with the keys in its own document.',
        ),
      owner: owner
        .optional()
        .describe('Who answers for it: a team or a person. For people; it gives nothing.'),
      rules: z.array(rule).max(limits.rulesPerIssuerMax, found('list_too_long')).default([]),
    })
    .check(({ value, issues }) => {
      const { issuer: name, jwks_uri, spiffe_bundle, jwks, client_metadata, rules } = value
      const sources = [jwks_uri, spiffe_bundle, jwks, client_metadata].filter((each) => each !== undefined)
      if (sources.length > 1)
        issues.push({ code: 'custom', message: found('key_sources_several'), input: value })
      const isSpiffe = name.startsWith('spiffe:')
      if (isSpiffe && jwks_uri === undefined && sources.length === 0)
        issues.push({ code: 'custom', message: found('spiffe_keys_missing'), input: value })
      if (!isSpiffe && spiffe_bundle !== undefined)
        issues.push({ code: 'custom', message: found('bundle_without_trust_domain'), input: value })
      if (client_metadata === true && !isClientMetadataPrefix(name))
        issues.push({
          code: 'custom',
          message: found('client_metadata_prefix_malformed'),
          input: name,
          path: ['issuer'],
        })
      for (const [index, each] of rules.entries()) {
        const message = client_metadata === true ? metadataRuleProblem(each) : openRuleProblem(name, each)
        if (message !== undefined)
          issues.push({ code: 'custom', message: found(message), input: each, path: ['rules', index] })
      }
    })
    .describe('Somebody else whose assertions are accepted.')
}

export type RuleInput = z.output<ReturnType<typeof ruleSchema>>
export type IssuerInput = z.output<ReturnType<typeof issuerSchema>>

function isIssuer(text: string): boolean {
  return issuerForm.test(text) && URL.canParse(text)
}

function isKeysUrl(text: string): boolean {
  if (!text.startsWith('https://') || !URL.canParse(text) || /[\s#]/.test(text)) return false
  const { username, password } = new URL(text)
  return username === '' && password === ''
}

/** A pointer has only the escapes of RFC 6901. */
function isClaimName(text: string): boolean {
  return !text.startsWith('/') || !/~(?![01])/.test(text)
}
