/**
 * The client credentials grant, read from the bytes of a request (RFC 6749 §4.4.2 and §2.3.1, Appendix A
 * and B; RFC 8707 §2).
 *
 * Body and header are both read to their end before anything is refused: what is wrong is noted, not
 * thrown. So the record of a refusal can name the client even where the request was not understood, and
 * which refusal wins is decided in one place, `parseTokenRequest`.
 */

import { claimedMethod, parseCredentials } from '../authentication/authenticate.ts'
import { type Authorization, readAuthorization } from '../authentication/authorization.ts'
import type { Credentials, PresentedCredentials } from '../authentication/method.ts'
import { OAuthError } from '../errors.ts'
import { limits } from '../limits.ts'
import { isAudience, isScopeToken } from '../registry/grammar.ts'
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
  /** As Node gives them: name, value, name, value. The parsed headers would hide a repeated one. */
  readonly rawHeaders: readonly string[]
  /** The raw bytes. Method, query, content type, encoding and size are looked at by route.ts. */
  readonly body: Buffer
}

export interface TokenRequest {
  readonly credentials: Credentials
  /** The resource asked for, as it was written: it is compared, never resolved. */
  readonly target: string | undefined
  /** Without repetition, in order of first appearance. */
  readonly scopes: readonly string[] | undefined
}

/**
 * What a request claims about itself, for the record of a refusal. Nothing in it is proven or bounded, and
 * no secret, password or assertion is ever put here.
 */
export interface Claimed {
  clientId?: string
  /** A second identifier that contradicts the first. */
  otherClientId?: string
  authenticationMethod?: string
  target?: string
  scope?: string
  /** Any other than the one that is served. */
  grantType?: string
}

/** The refusals come in the order of this function; the first thing wrong is the one that is told. */
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

// ── What the request claims, and what it asks for ──────────────────────────────────────────────────────

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
  // The usual one needs no record, and no search.
  if (grantType !== undefined && grantType !== 'client_credentials') {
    claimed.grantType = withoutSecret(grantType)
  }
}

/**
 * Where the separators are wrong (a semicolon, a line break, an ampersand encoded once too often), what was
 * meant as several parameters arrives as one value, and a secret may be among them.
 */
const secretParameter = /(?:client_secret|client_assertion|password)["']?\s*(?:[=:]|%3d)/i

/** A whole secret, where an identifier or anything else was meant; its id is enough to know which. */
const wholeSecret = /mm_([0-9A-Za-z]{8})[0-9A-Za-z]{49}/g

/** Characters of the shortest text that either of them could find: `password=`. */
const secretTextCharactersMin = 9

export function withoutSecret(value: string): string {
  if (value.length < secretTextCharactersMin) return value
  const at = value.search(secretParameter)
  return (at === -1 ? value : value.slice(0, at)).replace(wholeSecret, 'mm_$1…')
}

/** `audience` is a synonym that many clients send instead; it may stand beside `resource` if both agree. */
function chooseTarget(resource: string | undefined, audience: string | undefined): string | undefined {
  if (resource !== undefined) refuseMalformedTarget(resource)
  if (audience !== undefined) refuseMalformedTarget(audience)
  if (resource !== undefined && audience !== undefined && resource !== audience) {
    throw new OAuthError('target_conflict')
  }
  return resource ?? audience
}

function refuseMalformedTarget(target: string): void {
  if (!isAudience(target)) throw new OAuthError('target_malformed')
}

function parseScopes(scope: string | undefined): readonly string[] | undefined {
  if (scope === undefined) return undefined
  // Split no further than it takes to see that there are too many.
  const tokens = scope.split(' ', limits.scopesPerRequestMax + 1)
  if (tokens.length > limits.scopesPerRequestMax) throw new OAuthError('scopes_too_many')
  for (const token of tokens) {
    if (!isScopeToken(token)) throw new OAuthError('scope_malformed')
  }
  return tokens.length === 1 ? tokens : [...new Set(tokens)]
}
