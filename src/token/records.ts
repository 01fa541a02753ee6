import type { Proof } from '../authentication/method.ts'
import type { AuditRecord } from '../ledger/record.ts'
import type { Clock } from '../lib/clock.ts'
import type { OAuthError } from '../refusals.ts'
import type { Grant } from './decide.ts'
import type { Claimed } from './request.ts'

/** What the ledger says about a request for a token. */

/** The origin of a request, for the record and the log. */
export interface Origin {
  readonly address: string
  readonly userAgent: string | undefined
  readonly requestId: string
}

/** What a record of a token says beside its columns. */
export function issuedDetail(
  {
    certificateThumbprint,
    confirmation,
    subject: sub,
  }: Pick<Grant, 'certificateThumbprint' | 'confirmation' | 'subject'>,
  { assertion, federated, metadata, credentialId }: Proof,
  { grantType }: Claimed,
): AuditRecord['detail'] {
  const bound = {
    ...(certificateThumbprint === undefined ? {} : { certificate: certificateThumbprint }),
    ...(confirmation?.jkt === undefined ? {} : { jkt: confirmation.jkt }),
    // What an external audience has in its own records of a call with the token.
    ...(sub === undefined ? {} : { sub }),
  }
  if (federated !== undefined) {
    const { issuer, subject, audience } = federated.facts
    const said = { issuer, subject, key: credentialId, assertion_audience: audience, grant_type: grantType }
    return { ...said, ...bound }
  }
  const published = metadata && {
    client_metadata: metadata.url,
    document_sha256: metadata.documentHash,
    key: credentialId,
  }
  const detail = {
    ...published,
    // Callers that name the token endpoint can be found (RFC 10070).
    ...(assertion?.audience === 'token_endpoint' ? { assertion_audience: 'token_endpoint' } : {}),
    ...bound,
  }
  return Object.keys(detail).length === 0 ? undefined : detail
}

export function refusalRecord(
  clock: Clock,
  origin: Origin,
  claimed: Claimed,
  refusal: OAuthError,
  proof: Proof | undefined,
): AuditRecord {
  const { otherClientId, grantType, assertionIssuer, assertionSubject } = claimed
  const said = {
    other_client_id: otherClientId,
    grant_type: grantType,
    issuer: assertionIssuer,
    subject: assertionSubject,
    client_metadata: proof?.metadata?.url,
    ...refusal.detail,
  }
  const odd = Object.values(said).some((value) => value !== undefined)
  return {
    time: clock.nowMilliseconds(),
    type: 'token',
    outcome: 'refused',
    error: refusal.error,
    reason: refusal.reason,
    clientId: claimed.clientId,
    authenticationMethod: proof?.method ?? claimed.authenticationMethod,
    credentialId: proof?.credentialId ?? refusal.credentialId,
    audience: claimed.target,
    scope: claimed.scope,
    address: origin.address,
    userAgent: origin.userAgent,
    requestId: origin.requestId,
    detail: odd ? said : undefined,
  }
}
