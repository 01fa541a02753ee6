/**
 * Parses a client credentials request from its bytes (RFC 6749 §4.4.2 and §2.3.1, Appendix A and B; RFC 8707
 * §2).
 *
 * Body and header are read to their end before anything is refused. Errors are noted first and thrown later.
 * So the record of a refusal can name the client even if the request is malformed, and one function,
 * `parseTokenRequest`, decides which refusal is reported.
 */

import { claimedMethod, parseCredentials } from '../authentication/authenticate.ts'
import { type Authorization, readAuthorization } from '../authentication/authorization.ts'
import type { Credentials, PresentedCredentials } from '../authentication/method.ts'
import { OAuthError } from '../errors.ts'
import { limits } from '../limits.ts'
import { isAudience, isResource, isScopeToken } from '../registry/grammar.ts'
import {
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
}

export interface TokenRequest {
  readonly credentials: Credentials
  /** The requested resource, unchanged. It is only compared, never resolved as a URL. */
  readonly target: string | undefined
  /** Without duplicates, in the order of their first occurrence. */
  readonly scopes: readonly string[] | undefined
}

/**
 * The values that a request claims, for the record of a refusal. They are not proven and not bounded. They
 * never contain a secret, password or assertion.
 */
export interface Claimed {
  clientId?: string
  /** A second identifier that contradicts the first. */
  otherClientId?: string
  authenticationMethod?: string
  target?: string
  scope?: string
  /** Only a grant type that is not supported. */
  grantType?: string
}

/**
 * Checks the request in the order of this function and reports the first error.
 * @throws OAuthError with the reason of the refusal.
 */
export function parseTokenRequest(raw: RawTokenRequest, claimed: Claimed): TokenRequest {
  const form = readForm(raw.body)
  const authorization = readAuthorization(raw.rawHeaders)
  const presented = presentedCredentials(form, authorization)
  fillClaimed(claimed, form, presented)

  const refusal = form.malformed ?? authorization?.refusal ?? form.refusal
  if (refusal !== undefined) throw new OAuthError(refusal)

  const grantType = form.values[GRANT_TYPE]
  if (grantType === undefined) throw new OAuthError('grant_type_missing')
  if (grantType !== 'client_credentials') throw new OAuthError('grant_type_unsupported')

  return {
    credentials: parseCredentials(presented),
    target: chooseTarget(form.values[RESOURCE], form.values[AUDIENCE]),
    scopes: parseScopes(form.values[SCOPE]),
  }
}

// ── Claims and parameters of the request ───────────────────────────────────────────────────────────────

function presentedCredentials(
  { values }: Form,
  authorization: Authorization | undefined,
): PresentedCredentials {
  return {
    authorization,
    clientId: values[CLIENT_ID],
    clientSecret: values[CLIENT_SECRET],
    clientAssertion: values[CLIENT_ASSERTION],
    clientAssertionType: values[CLIENT_ASSERTION_TYPE],
  }
}

function fillClaimed(claimed: Claimed, form: Form, presented: PresentedCredentials): void {
  const { values } = form
  const { authorization } = presented
  const bodyClientId = values[CLIENT_ID]
  const clientId = authorization?.clientId ?? bodyClientId
  if (clientId !== undefined) claimed.clientId = withoutSecret(clientId)
  const otherClientId = bodyClientId === clientId ? form.otherClientId : bodyClientId
  if (otherClientId !== undefined) claimed.otherClientId = withoutSecret(otherClientId)
  const method = claimedMethod(presented)
  if (method !== undefined) claimed.authenticationMethod = method
  const target = values[RESOURCE] ?? values[AUDIENCE]
  if (target !== undefined) claimed.target = withoutSecret(target)
  if (values[SCOPE] !== undefined) claimed.scope = withoutSecret(values[SCOPE])
  const grantType = values[GRANT_TYPE]
  // The supported grant type is not recorded, and it needs no search for secrets.
  if (grantType !== undefined && grantType !== 'client_credentials') {
    claimed.grantType = withoutSecret(grantType)
  }
}

/**
 * Whether the request brings its credentials in the body and nowhere else. A refusal of them is then no 401: that
 * needs a challenge (RFC 9110 §15.5.2), and libraries that see one show it in the place of our description.
 */
export function authenticatesInBody({ authenticationMethod, clientId }: Claimed): boolean {
  if (authenticationMethod === undefined) return clientId !== undefined
  return authenticationMethod === 'client_secret_post' || authenticationMethod === 'client_assertion'
}

/**
 * If a client uses wrong separators (a semicolon, a line break, an ampersand that is encoded twice), several
 * parameters arrive as one value, and this value may contain a secret.
 */
const secretParameter = /(?:client_secret|client_assertion|password)["']?\s*(?:[=:]|%3d)/i

/** A complete secret in the place of another value. Its id is kept, which is enough to identify it. */
const wholeSecret = /mm_([0-9A-Za-z]{8})[0-9A-Za-z]{49}/g

/** The length of the shortest text that one of these expressions can match: `password=`. */
const secretTextCharactersMin = 9

/** Removes secrets from a value that is recorded or logged. */
export function withoutSecret(value: string): string {
  if (value.length < secretTextCharactersMin) return value
  const at = value.search(secretParameter)
  return (at === -1 ? value : value.slice(0, at)).replace(wholeSecret, 'mm_$1…')
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
