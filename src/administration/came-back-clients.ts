import { readMoment } from '../lib/moment.ts'
import { type CertificateFieldName, certificateFieldNames } from '../registry/client.ts'
import { claimsText } from '../registry/fixed-claims.ts'
import {
  accessKey,
  type CameBack,
  type CameBackKind,
  claimsBeyond,
  isTexts,
  type Question,
  type RegisteredClientState,
} from './came-back-state.ts'

/** What came back of clients, their secrets, their keys and their access (came-back.ts). Pure. */

export const clientJudges = {
  status({ names: [clientId = ''], record, value, state }: Question): CameBack[] {
    const client = state.clients.get(clientId)
    const common = { clientId, takenAt: record.time }
    if (value === 'deleted' && client !== undefined && client.status !== 'deleted')
      return [{ ...common, kind: 'client_undeleted' }]
    if (value === 'disabled' && client?.status === 'active') return [{ ...common, kind: 'client_enabled' }]
    return []
  },

  client({ names: [clientId = '', field = ''], record, value, state, now }: Question): CameBack[] {
    const client = state.clients.get(clientId)
    if (client === undefined || client.status === 'deleted') return []
    const told = (kind: CameBackKind, setTo: readonly string[]): CameBack[] => [
      { kind, clientId, takenAt: record.time, setTo },
    ]
    if (field === 'allowed_networks' && isTexts(value) && value.length > 0) {
      const isWider = client.networks.length === 0 || client.networks.some((each) => !value.includes(each))
      return isWider ? told('client_networks_widened', value) : []
    }
    if (field === 'expires_at' && typeof value === 'string') {
      const end = readMoment(value)
      if (end === undefined || (client.expiresAt ?? Number.POSITIVE_INFINITY) <= end) return []
      const found = told('client_expires_later', [value])
      // An end that has passed can no longer be set. A disabled client gets nothing either.
      if (end > now) return found
      return client.status === 'active' ? found.map((each) => ({ ...each, detail: 'passed' })) : []
    }
    if (field === 'token_endpoint_auth_method' && typeof value === 'string' && client.method !== value)
      return told('client_method_changed', [value])
    if (field === 'assertion_audience' && value === 'issuer' && client.assertionAudience !== value)
      return told('client_audience_widened', [value])
    if (field === 'jwks_uri' && client.jwksUri !== undefined && client.jwksUri !== value)
      return told('client_keys_elsewhere', typeof value === 'string' ? [value] : [])
    const named = certificateFieldNames.find((name) => name === field)
    if (named !== undefined) return certificateCameBack(client, named, value, told)
    if (field === 'require_certificate' && typeof value === 'string' && client.requiredCertificate !== value)
      return told('client_certificate_not_required', [value])
    if (
      field === 'tls_client_certificate_bound_access_tokens' &&
      value === true &&
      !client.certificateBoundTokens
    )
      return told('client_tokens_unbound', [])
    if (field === 'dpop_bound_access_tokens' && value === true && !client.dpopBoundTokens)
      return told('client_dpop_unbound', ['yes'])
    if (field === 'fapi' && value === true && client.fapi !== true) return told('client_not_fapi', ['yes'])
    if (field === 'claims' && (claimsText(client.claims) ?? null) !== value)
      return told('client_claims_changed', typeof value === 'string' ? [value] : []).map((each) => ({
        ...each,
        surplus: claimsBeyond(client.claims, value),
      }))
    return []
  },

  client_key({ names: [thumbprint = '', clientId = ''], record, value, state }: Question): CameBack[] {
    if (value !== 'revoked' || !state.liveClientKeys.has(accessKey(clientId, thumbprint))) return []
    return [{ kind: 'client_key_alive', clientId, thumbprint, takenAt: record.time }]
  },

  secret({ names: [secretId = '', clientId = ''], record, value, state }: Question): CameBack[] {
    if (value !== 'revoked' || !state.liveSecrets.has(secretId)) return []
    return [{ kind: 'secret_alive', clientId, secretId, takenAt: record.time }]
  },

  secret_end({ names: [secretId = '', clientId = ''], record, value, state }: Question): CameBack[] {
    const end = typeof value === 'string' ? readMoment(value) : undefined
    if (end === undefined || !state.liveSecrets.has(secretId)) return []
    if ((state.liveSecrets.get(secretId) ?? Number.POSITIVE_INFINITY) <= end) return []
    return [
      { kind: 'secret_expires_later', clientId, secretId, takenAt: record.time, setTo: [String(value)] },
    ]
  },

  access({ names: [clientId = '', audience = ''], record, value, state }: Question): CameBack[] {
    const scopes = state.access.get(accessKey(clientId, audience))
    if (scopes === undefined || value === null) return []
    const common = { clientId, audience, takenAt: record.time }
    if (value === undefined) return [{ ...common, kind: 'access_back' }]
    const surplus = isTexts(value) ? scopes.filter((scope) => !value.includes(scope)) : []
    return surplus.length === 0 ? [] : [{ ...common, kind: 'access_widened', surplus }]
  },
} as const

function certificateCameBack(
  client: RegisteredClientState,
  field: CertificateFieldName,
  value: unknown,
  told: (kind: CameBackKind, setTo: readonly string[]) => CameBack[],
): CameBack[] {
  const has = client.certificateField === field ? client.certificateValue : undefined
  // A client that authenticates by a certificate is known by another field then, which has its own record.
  if (typeof value !== 'string' && (has === undefined || client.method === 'tls_client_auth')) return []
  if (has === value) return []
  const setTo = typeof value === 'string' ? [value] : []
  return told('client_certificate_changed', setTo).map((each) => ({ ...each, detail: field }))
}
