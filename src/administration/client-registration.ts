import { z } from 'zod'
import { readClientKey } from '../authentication/client-key.ts'
import { fapiAuthMethods, isFapiAlgorithm } from '../authentication/fapi.ts'
import { withoutCredentials } from '../lib/claimed-text.ts'
import { isNetwork } from '../lib/network.ts'
import { limits } from '../limits.ts'
import { clientIdForm } from '../registry/grammar.ts'
import { isWorkloadId } from '../registry/issuer.ts'
import { certificateFields, namedIn, reportSeveral, requiredCertificate } from './certificate-registration.ts'
import {
  assertionAudiences,
  certificateAuthMethod,
  clientKinds,
  defaults,
  tokenEndpointAuthMethods,
} from './definition.ts'
import type { MistakeCode } from './mistake.ts'
import {
  access,
  eachOnce,
  fixedClaims,
  found,
  foundAndStop,
  moment,
  name,
  plainTextOf,
} from './registration-values.ts'
import { keysUrl } from './trust-registration.ts'

/** What may be registered of a client. It is a part of the schema (registration.ts). */

const clientId = z
  .string()
  .max(limits.clientIdCharactersMax, foundAndStop('text_too_long'))
  .regex(clientIdForm, found('client_id_malformed'))
  .refine((text) => !isWorkloadId(text), found('client_id_reserved'))
  .refine((text) => withoutCredentials(text) === text, found('client_id_credential'))
  .describe('Names the client in tokens and in the ledger. It cannot be changed, and is never used again.')

/** What every network looks like. Not all that looks like it is one: `parseNetwork` decides. */
const networkForm = '^[0-9A-Fa-f:.]+(?:/[0-9]{1,3})?$'

const network = z
  .string()
  .refine(isNetwork, found('network_malformed'))
  .meta({ pattern: networkForm, description: 'An IPv4 or IPv6 address, or a network in CIDR notation.' })

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

export const client = z
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
        'Whether the client must send a DPoP proof with every request (RFC 9449 section 5.2). Its tokens are ' +
          'then useless without its key. Left out, its tokens are bound when it sends a proof.',
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
