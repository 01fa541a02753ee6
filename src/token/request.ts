/**
 * Parses a token request from its bytes: client credentials (RFC 6749 §4.4.2 and §2.3.1, Appendix A and B; RFC 8707 §2), or
 * an assertion as the grant (RFC 7523 §2.1).
 *
 * Body and header are read to their end before anything is refused. Errors are noted first and thrown later.
 * So the record of a refusal can name the client even if the request is malformed, and one function,
 * `parseTokenRequest`, decides which refusal is reported.
 */

import { claimedMethod, parseCredentials } from '../authentication/authenticate.ts'
import { type Authorization, readAuthorization } from '../authentication/authorization.ts'
import type { JudgedCertificate } from '../authentication/certificate.ts'
import { type ReadAssertion, readAssertion } from '../authentication/client-assertion.ts'
import { findDpopProof, type ParsedDpopProof } from '../authentication/dpop-proof.ts'
import { type ReadFederated, readFederatedText } from '../authentication/federated-assertion.ts'
import { parseAssertionGrant, spiffeAssertionType } from '../authentication/federated-jwt.ts'
import type { Credentials, PresentedCredentials } from '../authentication/method.ts'
import type { ClaimedText } from '../lib/claimed-text.ts'
import { limits } from '../limits.ts'
import { OAuthError } from '../refusals.ts'
import { isAudience, isClientId, isResource, isScopeToken } from '../registry/grammar.ts'
import {
  ASSERTION,
  AUDIENCE,
  CLIENT_ASSERTION,
  CLIENT_ASSERTION_TYPE,
  CLIENT_ID,
  CLIENT_SECRET,
  type Form,
  GRANT_TYPE,
  RESOURCE,
  readForm,
  SCOPE,
} from './form.ts'

export interface RawTokenRequest {
  /** In Node's form: name, value, name, value. Node's parsed headers would hide a repeated header. */
  readonly rawHeaders: readonly string[]
  /** The raw bytes. route.ts checks the method, query, content type, encoding and size. */
  readonly body: Buffer
  /** The certificate of the connection. */
  readonly certificate?: JudgedCertificate | undefined
  /** What of the claimed values is kept. */
  readonly claimedText: ClaimedText
  /**
   * Whether memory has a client of this name. The id of a registered client is never withheld, whatever it looks like.
   */
  readonly isRegistered: (clientId: string) => boolean
}

export interface TokenRequest {
  readonly credentials: Credentials
  /** The certificate of the connection, whether it is the credential or comes in addition. */
  readonly certificate?: JudgedCertificate | undefined
  /** The service takes no request without that certificate. */
  readonly isGated?: boolean
  /** The proof of possession of the key that the token is to be bound to (RFC 9449). */
  readonly dpopProof: ParsedDpopProof | undefined
  /** The requested resource, unchanged. It is only compared, never resolved as a URL. */
  readonly target: string | undefined
  /** Without duplicates, in the order of their first occurrence. */
  readonly scopes: readonly string[] | undefined
}

/**
 * The values that a request claims, for the record of a refusal. They are not proven. What cannot be registered, or
 * looks like a credential in the wrong place, is replaced by its length and a hash (lib/claimed-text.ts).
 */
export interface Claimed {
  clientId?: string
  /** A second identifier that contradicts the first. */
  otherClientId?: string
  authenticationMethod?: string
  target?: string
  scope?: string
  /** Only another grant type than client credentials. */
  grantType?: string
  /** Who is said to have signed the assertion, and about whom. */
  assertionIssuer?: string
  assertionSubject?: string
}

/**
 * Checks the request in the order of this function and reports the first error.
 * @throws OAuthError with the reason of the refusal.
 */
export function parseTokenRequest(raw: RawTokenRequest, claimed: Claimed): TokenRequest {
  const form = readForm(raw.body)
  const authorization = readAuthorization(raw.rawHeaders)
  const presented = presentedCredentials(form, authorization, raw.certificate)
  // The grant type may be wrong. The record still contains the assertion.
  const grantAssertion = grantAssertionIn(form.values[ASSERTION])
  const dpopProof = findDpopProof(raw.rawHeaders)
  fillClaimed(claimed, raw, form, presented, grantAssertion)

  const refusal = form.malformed ?? authorization?.refusal ?? form.refusal ?? dpopProof?.refusal
  if (refusal !== undefined) throw new OAuthError(refusal)

  const grantType = form.values[GRANT_TYPE]
  if (grantType === undefined) throw new OAuthError('grant_type_missing')
  if (grantType !== 'client_credentials' && grantType !== jwtBearerGrant) {
    throw new OAuthError('grant_type_unsupported')
  }
  return {
    credentials:
      grantType === jwtBearerGrant
        ? parseAssertionGrant(grantAssertion, presented)
        : parseCredentials(presented),
    certificate: raw.certificate,
    dpopProof: dpopProof?.parsed,
    target: chooseTarget(form.values[RESOURCE], form.values[AUDIENCE]),
    scopes: parseScopes(form.values[SCOPE]),
  }
}

/** RFC 7523 §2.1. */
export const jwtBearerGrant = 'urn:ietf:params:oauth:grant-type:jwt-bearer'

// ── Claims and parameters of the request ───────────────────────────────────────────────────────────────

function presentedCredentials(
  { values }: Form,
  authorization: Authorization | undefined,
  certificate: JudgedCertificate | undefined,
): PresentedCredentials {
  return {
    authorization,
    clientId: values[CLIENT_ID],
    clientSecret: values[CLIENT_SECRET],
    clientAssertion: assertionIn(
      values[CLIENT_ASSERTION],
      values[CLIENT_ASSERTION_TYPE] === spiffeAssertionType,
    ),
    clientAssertionType: values[CLIENT_ASSERTION_TYPE],
    certificate,
  }
}

function assertionIn(text: string | undefined, isSpiffe: boolean): ReadAssertion | undefined {
  return text === undefined ? undefined : readAssertion(text, isSpiffe)
}

function grantAssertionIn(text: string | undefined): ReadFederated | undefined {
  return text === undefined ? undefined : readFederatedText(text)
}

function fillClaimed(
  claimed: Claimed,
  { claimedText, isRegistered }: RawTokenRequest,
  form: Form,
  presented: PresentedCredentials,
  grantAssertion: ReadFederated | undefined,
): void {
  const keptId = (id: string) => {
    const isPossible = isClientId(id)
    const kept = claimedText.keep(id, isPossible)
    return kept !== id && isPossible && isRegistered(id) ? id : kept
  }
  const { values } = form
  const { authorization, clientAssertion } = presented
  const bodyClientId = values[CLIENT_ID]
  const clientId = authorization?.clientId ?? clientAssertion?.clientId ?? bodyClientId
  if (clientId !== undefined) claimed.clientId = keptId(clientId)
  const otherClientId = bodyClientId === clientId ? form.otherClientId : bodyClientId
  if (otherClientId !== undefined) claimed.otherClientId = keptId(otherClientId)
  const federated = clientAssertion?.federated ?? grantAssertion
  if (federated?.issuer !== undefined) claimed.assertionIssuer = claimedText.keep(federated.issuer, true)
  if (federated?.subject !== undefined) claimed.assertionSubject = claimedText.keep(federated.subject, true)
  const method = claimedMethod(presented) ?? (grantAssertion === undefined ? undefined : 'federated_jwt')
  if (method !== undefined) claimed.authenticationMethod = method
  const target = values[RESOURCE] ?? values[AUDIENCE]
  if (target !== undefined) claimed.target = claimedText.keep(target, isAudience(target))
  const scope = values[SCOPE]
  if (scope !== undefined) claimed.scope = claimedText.keep(scope, isScope(scope))
  const grantType = values[GRANT_TYPE]
  // The usual grant type is not recorded.
  if (grantType !== undefined && grantType !== 'client_credentials') {
    claimed.grantType = claimedText.keep(grantType, grantTypeForm.test(grantType))
  }
}

/**
 * Whether the request brings its credentials in the body and nowhere else. A refusal of them is then no 401: that
 * needs a challenge (RFC 9110 §15.5.2), and libraries that see one show it in the place of our description.
 */
export function authenticatesInBody({ authenticationMethod, clientId }: Claimed): boolean {
  if (authenticationMethod === undefined) return clientId !== undefined
  return bodyMethods.has(authenticationMethod)
}

const bodyMethods: ReadonlySet<string> = new Set([
  'client_secret_post',
  'private_key_jwt',
  'federated_jwt',
  'client_assertion',
  'tls_client_auth',
  'self_signed_tls_client_auth',
])

/** A name, or a URI (RFC 6749 §4.5). */
const grantTypeForm = /^[A-Za-z0-9:/._-]{1,128}$/

/** What the ledger can hold of a scope: its tokens have spaces between them, and no other character that is not shown. */
const scopeForm = /^[\x20-\x7e]*$/

function isScope(text: string): boolean {
  return text.length <= limits.recordLongFieldCharactersMax && scopeForm.test(text)
}

/**
 * Many clients send `audience` instead of `resource` (RFC 8707 §2). Both are allowed together if they are
 * equal. Only `audience` may be a plain name.
 */
function chooseTarget(resource: string | undefined, audience: string | undefined): string | undefined {
  if (resource !== undefined && !isResource(resource)) throw new OAuthError('target_malformed')
  if (audience !== undefined && !isAudience(audience)) throw new OAuthError('target_malformed')
  if (resource !== undefined && audience !== undefined && resource !== audience) {
    throw new OAuthError('target_conflict')
  }
  return resource ?? audience
}

function parseScopes(scope: string | undefined): readonly string[] | undefined {
  if (scope === undefined) return undefined
  // The limit stops the split as soon as there are too many scopes.
  const tokens = scope.split(' ', limits.scopesPerRequestMax + 1)
  if (tokens.length > limits.scopesPerRequestMax) throw new OAuthError('scopes_too_many')
  for (const token of tokens) {
    if (!isScopeToken(token)) throw new OAuthError('scope_malformed')
  }
  return tokens.length === 1 ? tokens : [...new Set(tokens)]
}
