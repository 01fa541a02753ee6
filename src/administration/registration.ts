import { z } from 'zod'
import { fieldProblem } from '../authentication/certificate-field.ts'
import { readClientKey } from '../authentication/client-key.ts'
import { fapiAuthMethods, isFapiAlgorithm } from '../authentication/fapi.ts'
import { signingAlgorithms, tokenTyps } from '../keys/signing-algorithm.ts'
import { withoutCredentials } from '../lib/claimed-text.ts'
import { momentForm, readMoment } from '../lib/moment.ts'
import { parseNetwork } from '../lib/network.ts'
import { treacherous } from '../lib/plain-text.ts'
import { limits } from '../limits.ts'
import { type CertificateFieldName, certificateFieldNames } from '../registry/client.ts'
import { type FixedClaimProblem, fixedClaimForm, fixedClaimProblems } from '../registry/fixed-claims.ts'
import { audienceForm, clientIdForm, scopeToken } from '../registry/grammar.ts'
import { isWorkloadId, subjectOfAssertion } from '../registry/issuer.ts'
import { isSubjectForm, subjectFormGrammar } from '../registry/subject.ts'
import {
  assertionAudiences,
  certificateAuthMethod,
  clientKinds,
  defaults,
  tokenEndpointAuthMethods,
} from './definition.ts'
import type { MistakeCode } from './mistake.ts'
import { issuerSchema, keysUrl, ruleSchema } from './trust-registration.ts'

/**
 * What may be registered. This is the only place that says it: files and commands are checked by it (parse.ts),
 * and `jsonSchema` says the same to others. What depends on what is registered already is checked in plan.ts.
 *
 * The message of each check is the code of a mistake. The database's own CHECK constraints are wider; they stop a
 * hand-written UPDATE that the service could not read.
 *
 * Long because it is the only place.
 *
 * Only what needs it may load this file: zod costs 30 ms, and a process that serves has no use for it.
 */

/** The code of the mistake that a check finds. */
const found = (code: MistakeCode): MistakeCode => code
/** The same for a check after which no other one of that value makes sense. */
const foundAndStop = (code: MistakeCode) => ({ error: code, abort: true })

/** Not one of the characters that forge a line or turn its text around. */
const plainTextForm = new RegExp(`^(?:(?!${treacherous.source}).)*$`, 'u')

/** What every network looks like. Not all that looks like it is one: `parseNetwork` decides. */
const networkForm = '^[0-9A-Fa-f:.]+(?:/[0-9]{1,3})?$'

const clientId = z
  .string()
  .max(limits.clientIdCharactersMax, foundAndStop('text_too_long'))
  .regex(clientIdForm, found('client_id_malformed'))
  .refine((text) => !isWorkloadId(text), found('client_id_reserved'))
  .refine((text) => withoutCredentials(text) === text, found('client_id_credential'))
  .describe('Names the client in tokens and in the ledger. It cannot be changed, and is never used again.')

const name = z
  .string()
  .regex(/\S/, foundAndStop('name_empty'))
  .max(limits.nameCharactersMax, foundAndStop('text_too_long'))
  .regex(plainTextForm, found('name_characters'))
  .describe('A name for people. The id if it is left out.')

/** A text for people that says something. */
const plainTextOf = (most: number) =>
  z
    .string()
    .regex(/\S/, foundAndStop('text_empty'))
    .max(most, foundAndStop('text_too_long'))
    .regex(plainTextForm, found('text_characters'))

const audience = z
  .string()
  .max(limits.audienceCharactersMax, foundAndStop('text_too_long'))
  .regex(audienceForm, found('audience_malformed'))
  .describe(
    'What tokens for the resource name as their audience: an absolute URI without a fragment, or a plain name.',
  )

const scope = z
  .string()
  .max(limits.scopeCharactersMax, foundAndStop('text_too_long'))
  .regex(scopeToken, found('scope_malformed'))

const network = z
  .string()
  .refine(isNetwork, found('network_malformed'))
  .meta({ pattern: networkForm, description: 'An IPv4 or IPv6 address, or a network in CIDR notation.' })

const moment = z
  .string()
  .refine((text) => readMoment(text) !== undefined, found('moment_malformed'))
  .meta({ pattern: momentForm.source, description: 'A date and a time with a zone (RFC 3339).' })

const scopes = eachOnce(scope, limits.scopesPerResourceMax)

const access = z
  .strictObject({
    audience,
    // Not optional: left out it could mean none or all of them, and neither may be guessed.
    scopes: scopes.describe('The scopes that the client may ask for there. Empty: tokens without scopes.'),
  })
  .describe('A resource that the client may call.')

const claimMistakes = {
  malformed: 'fixed_claim_malformed',
  reserved: 'fixed_claim_reserved',
  value: 'fixed_claim_value_wrong',
  too_many: 'fixed_claims_too_many',
  too_large: 'fixed_claims_too_large',
} as const satisfies Record<FixedClaimProblem['kind'], MistakeCode>

/** Claims of a client or a resource. Not a record of zod, which passes over a claim that is called __proto__. */
const fixedClaims = z
  .unknown()
  .check(({ value, issues }) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      issues.push({ code: 'invalid_type', expected: 'record', input: value, path: [] })
      return
    }
    for (const problem of fixedClaimProblems(value)) {
      const path = 'name' in problem ? [problem.name] : []
      issues.push({ code: 'custom', message: found(claimMistakes[problem.kind]), input: value, path })
    }
  })
  .meta({
    type: 'object',
    maxProperties: limits.fixedClaimsMax,
    propertyNames: { pattern: fixedClaimForm.source, maxLength: limits.fixedClaimNameCharactersMax },
    additionalProperties: {
      anyOf: [
        { type: 'string', minLength: 1, maxLength: limits.fixedClaimTextCharactersMax },
        { type: 'integer' },
        { type: 'boolean' },
        { type: 'array', items: { type: 'string' }, minItems: 1, maxItems: limits.fixedClaimValuesMax },
      ],
    },
  })

const resource = z
  .strictObject({
    audience,
    name: name.optional(),
    scopes: scopes.default([]).describe('Every scope that clients can be given there.'),
    token_lifetime: z
      .int(found('token_lifetime_out_of_range'))
      .min(limits.tokenLifetimeSecondsMin, found('token_lifetime_out_of_range'))
      .max(limits.tokenLifetimeSecondsMax, found('token_lifetime_out_of_range'))
      .default(defaults.tokenLifetimeSeconds)
      .describe('Seconds that a token lives.'),
    signing_algorithm: z
      .enum(signingAlgorithms, found('algorithm_unknown'))
      .optional()
      .describe('What signs the tokens. Left out: ES256, and RS256 for an external resource.'),
    token_typ: z
      .enum(tokenTyps, found('typ_unknown'))
      .optional()
      .describe(
        'The typ in the header of the tokens: at+jwt (RFC 9068), or JWT for frameworks that refuse it. Left out: at+jwt, and ' +
          'JWT for an external resource.',
      ),
    external: z
      .boolean()
      .default(false)
      .describe('Whether the audience is somebody else who trusts this issuer: a cloud, or an API provider.'),
    subject_form: z
      .string()
      .max(limits.subjectFormCharactersMax, foundAndStop('text_too_long'))
      .refine(isSubjectForm, found('subject_form_malformed'))
      .meta({
        pattern: subjectFormGrammar.source,
        description:
          'The sub of the tokens of an external resource, with {client_id} in it once, like system:client:{client_id}. Left ' +
          'out: the id of the client.',
      })
      .optional(),
    claims: fixedClaims.optional().describe('Claims that all tokens for the resource have.'),
  })
  .check(({ value, issues }) => {
    if (value.subject_form === undefined || value.external) return
    const message = found('subject_form_not_external')
    issues.push({ code: 'custom', message, input: value, path: ['subject_form'] })
  })
  .describe('What tokens are for.')

const jwk = z
  .record(z.string(), z.unknown())
  .check(({ value, issues }) => {
    const read = readClientKey(value)
    if ('thumbprint' in read) return
    const message = found('privateMember' in read ? 'jwk_private' : 'jwk_malformed')
    issues.push({ code: 'custom', message, input: value })
  })
  .describe(
    'A public key (RFC 7517): P-256, Ed25519 or RSA. RSA keys are for PS256 unless their alg is RS256.',
  )

const jwks = z
  .strictObject({ keys: z.array(jwk).max(limits.keysPerClientMax, found('list_too_long')) })
  .describe(
    'The public keys that verify the assertions of the client (RFC 7591 section 2), each once. Keys that are not listed ' +
      'are revoked. Left out: the keys stay as they are.',
  )

type FieldSchema = (name: CertificateFieldName, description: string) => z.ZodOptional<z.ZodString>

/** @param other what may stand in the place of a name. */
const fieldSchema =
  (other?: string): FieldSchema =>
  (name, description) =>
    z
      .string()
      .max(limits.certificateFieldCharactersMax, foundAndStop('text_too_long'))
      .refine(
        (value) => value === other || fieldProblem({ name, value }) === undefined,
        found('certificate_field_malformed'),
      )
      .describe(description)
      .optional()

/** RFC 8705 §2.1.2. */
const fieldsBy = (certificateField: FieldSchema) => ({
  tls_client_auth_subject_dn: certificateField(
    'tls_client_auth_subject_dn',
    'The whole subject of the certificate (RFC 4514), like CN=billing,O=Example.',
  ),
  tls_client_auth_san_dns: certificateField(
    'tls_client_auth_san_dns',
    'A DNS name in the certificate. Never a wildcard.',
  ),
  tls_client_auth_san_uri: certificateField(
    'tls_client_auth_san_uri',
    'A URI in the certificate, such as a SPIFFE ID.',
  ),
  tls_client_auth_san_ip: certificateField(
    'tls_client_auth_san_ip',
    'An IP address in the certificate. Where the caller calls from is of no matter.',
  ),
  tls_client_auth_san_email: certificateField(
    'tls_client_auth_san_email',
    'An e-mail address in the certificate.',
  ),
})
const certificateFields = fieldsBy(fieldSchema())

const namedIn = (fields: object): CertificateFieldName[] =>
  certificateFieldNames.filter((name) => Object.hasOwn(fields, name))

/** The second of two fields. Who has several in one certificate has to say which counts. */
function reportSeveral(fields: object, issues: z.core.$ZodRawIssue[], path: readonly string[]): void {
  const [, second] = namedIn(fields)
  if (second === undefined) return
  const message = found('certificate_fields_several')
  issues.push({ code: 'custom', message, input: fields, path: [...path, second] })
}

const requiredCertificateOf = (fields: typeof certificateFields) =>
  z.strictObject(fields).check(({ value, issues }) => {
    reportSeveral(value, issues, [])
    if (namedIn(value).length > 0) return
    issues.push({ code: 'custom', message: found('certificate_field_missing'), input: value })
  })
const requiredCertificate = requiredCertificateOf(certificateFields).describe(
  'What a certificate must have that the client brings in addition to its secret or assertion.',
)

interface FapiWords {
  readonly token_endpoint_auth_method?: string | undefined
  readonly assertion_audience: string
  readonly dpop_bound_access_tokens: boolean
  readonly tls_client_certificate_bound_access_tokens: boolean
  readonly jwks?: { readonly keys: readonly unknown[] } | undefined
}

/** What contradicts the profile (authentication/fapi.ts), all of it at once. */
function reportFapi(
  client: FapiWords,
  report: (code: MistakeCode, ...path: (string | number)[]) => void,
): void {
  const { token_endpoint_auth_method: method = 'any', assertion_audience: audience, jwks: own } = client
  if (!fapiAuthMethods.includes(method)) report('fapi_auth_method', 'fapi')
  if (audience !== 'issuer') report('fapi_assertion_audience', 'assertion_audience')
  if (!client.dpop_bound_access_tokens && !client.tls_client_certificate_bound_access_tokens)
    report('fapi_unbound', 'fapi')
  for (const [index, each] of (own?.keys ?? []).entries()) {
    const read = readClientKey(each)
    if ('thumbprint' in read && !isFapiAlgorithm(read.algorithm))
      report('fapi_key_algorithm', 'jwks', 'keys', index)
  }
}

const client = z
  .strictObject({
    client_id: clientId,
    name: name.optional(),
    token_endpoint_auth_method: z
      .enum([...tokenEndpointAuthMethods, 'any'], found('method_unknown'))
      .optional()
      .describe(
        'The only way in which the client may authenticate (RFC 7591 section 2). any, or left out: any way.',
      ),
    status: z
      .enum(['active', 'disabled'], found('status_unknown'))
      .optional()
      .describe('Left as it is if it is left out; a new client is active.'),
    jwks: jwks.optional(),
    jwks_uri: keysUrl
      .optional()
      .describe('Where it publishes its public keys instead (RFC 7591 section 2). Left out: nowhere.'),
    assertion_audience: z
      .enum(assertionAudiences, found('assertion_audience_unknown'))
      .default(defaults.assertionAudience)
      .describe(
        'What its assertions name as aud: the issuer (RFC 10070). token_endpoint accepts the URL of the token endpoint ' +
          'as well, for callers that cannot be changed yet.',
      ),
    ...certificateFields,
    require_certificate: requiredCertificate.optional(),
    tls_client_certificate_bound_access_tokens: z
      .boolean()
      .default(false)
      .describe('Whether its tokens are bound to the certificate that it brings (RFC 8705 section 3).'),
    dpop_bound_access_tokens: z
      .boolean()
      .default(false)
      .describe(
        'Whether the client must send a DPoP proof with every request (RFC 9449 section 5.2). Its tokens are then of no use ' +
          'without its key. Left out, its tokens are bound when it sends a proof.',
      ),
    fapi: z
      .boolean()
      .default(false)
      .describe(
        'Whether the client is held to the FAPI 2.0 Security Profile: no secret, only tokens that are bound to a key or a ' +
          'certificate, no RS256, and assertions for the issuer alone.',
      ),
    allowed_networks: eachOnce(network, limits.networksPerClientMax)
      .default([])
      .describe('Where the client may call from. Empty: from anywhere.'),
    expires_at: moment.optional(),
    access: z
      .array(access)
      .max(limits.accessPerClientMax, found('list_too_long'))
      .default([])
      .describe('Every resource that the client may call, each once. What is not listed is taken away.'),
    claims: fixedClaims
      .optional()
      .describe('Claims that all tokens of the client have: a tenant, a workload id.'),
    owner: plainTextOf(limits.ownerCharactersMax)
      .optional()
      .describe('Who answers for the client: a team or a person. For people; it gives nothing.'),
    purpose: plainTextOf(limits.purposeCharactersMax)
      .optional()
      .describe('What the client is for. For people; it gives nothing.'),
    kind: z
      .enum(clientKinds, found('client_kind_unknown'))
      .optional()
      .describe('What runs: a service, a job or an agent. For people; it gives nothing.'),
  })
  .check(({ value, issues }) => {
    const { token_endpoint_auth_method: method } = value
    const [first] = namedIn(value)
    reportSeveral(value, issues, [])
    const report = (code: MistakeCode, ...path: (string | number)[]): void => {
      issues.push({ code: 'custom', message: found(code), input: value, path })
    }
    if (first === undefined && method === certificateAuthMethod)
      report('certificate_field_missing', 'token_endpoint_auth_method')
    const isOther = method !== undefined && method !== 'any' && method !== certificateAuthMethod
    if (first !== undefined && isOther) report('certificate_field_unused', first)
    if (value.fapi) reportFapi(value, report)
  })
  .describe('A machine that may ask for tokens.')

const secret = z
  .strictObject({ expires_at: moment.optional() })
  .describe('What can be said of a new secret. The secret itself is always generated.')

const rule = ruleSchema(access, requiredCertificateOf(fieldsBy(fieldSchema(subjectOfAssertion))))
const issuer = issuerSchema(rule, plainTextOf(limits.ownerCharactersMax))

const registration = z
  .strictObject({
    resources: z.array(resource).default([]),
    clients: z.array(client).default([]),
    trust: z.array(issuer).max(limits.trustedIssuersMax, found('list_too_long')).default([]),
  })
  .meta({
    minProperties: 1,
    description: 'Resources, clients and trusted issuers that are applied together.',
  })

export const schemas = { registration, resource, client, access, secret, issuer, rule } as const

/** A resource and a client in the words of files, with the defaults filled in. */
export type ResourceInput = z.output<typeof resource>
export type ClientInput = z.output<typeof client>

/**
 * The same as JSON Schema (draft 2020-12), for those who send a registration. It accepts a little more, because it
 * has no words for some rules: days that the calendar does not have, networks with bits set below their prefix, and
 * two entries of one list that name the same client, resource or audience.
 */
export function jsonSchema(subject: keyof typeof schemas): Readonly<Record<string, unknown>> {
  return z.toJSONSchema(schemas[subject], { io: 'input', target: 'draft-2020-12' })
}

function isNetwork(text: string): boolean {
  try {
    parseNetwork(text)
    return true
  } catch {
    return false
  }
}

/** A list in which nothing stands twice. */
function eachOnce(item: z.ZodType<string>, most: number) {
  return z
    .array(item)
    .max(most, found('list_too_long'))
    .check(({ value, issues }) => {
      const seen = new Set<string>()
      for (const [index, text] of value.entries()) {
        if (seen.has(text)) {
          issues.push({ code: 'custom', message: found('listed_twice'), input: text, path: [index] })
        }
        seen.add(text)
      }
    })
    .meta({ uniqueItems: true })
}
