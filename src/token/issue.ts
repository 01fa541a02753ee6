import { admit, authenticate, noteUse } from '../authentication/authenticate.ts'
import { requireTrusted } from '../authentication/certificate.ts'
import { identifiersOf, withPossession } from '../authentication/dpop.ts'
import type { AdmittedCredentials, AuthenticationEdges, Proof, UseEdges } from '../authentication/method.ts'
import type { Keyring } from '../keys/keyring.ts'
import { isOnlyCounted, type Ledger } from '../ledger/ledger.ts'
import type { AuditRecord } from '../ledger/record.ts'
import { tokenId } from '../ledger/token-id.ts'
import type { Clock } from '../lib/clock.ts'
import { limits } from '../limits.ts'
import { OAuthError, type RefusalReason } from '../refusals.ts'
import type { Registry, View } from '../registry/registry.ts'
import { accessTokenClaims } from './claims.ts'
import { decide, type Grant } from './decide.ts'
import { type Claimed, parseTokenRequest, type RawTokenRequest, type TokenRequest } from './request.ts'

/**
 * The whole grant, from top to bottom: parse, authenticate, decide, commit, release.
 * Every outcome has a record, and the record is durable before the answer is sent.
 *
 * Long because a request is read here from one end to the other, whatever it brings.
 */
export interface IssueEdges extends AuthenticationEdges, UseEdges {
  /**
   * The longest lifetime of a token. It limits the lifetime that a resource asks for, because a token must
   * expire before its key is removed.
   */
  readonly tokenLifetimeSecondsMax: number
  /** No request is taken without a certificate of the CAs for clients, whatever else it brings. */
  readonly requiresCertificate?: boolean
  readonly clock: Clock
  readonly clockGuard: { readonly reliable: boolean }
  readonly registry: Registry
  readonly keyring: Keyring
  readonly ledger: Ledger
  /** Returns a new random UUID (version 4). */
  readonly randomId: () => string
}

/** The origin of a request, for the record and the log. */
export interface Origin {
  readonly address: string
  readonly userAgent: string | undefined
  readonly requestId: string
}

export interface IssuedToken {
  readonly accessToken: string
  readonly expiresInSeconds: number
  /** Space separated; empty when the resource has no scopes. */
  readonly scope: string
  /** Whether whoever uses the token must prove that it has the key (RFC 9449 §5). */
  readonly tokenType: 'Bearer' | 'DPoP'
}

/**
 * @param claimed is filled with the unproven values of the request, for the record and the log.
 * @throws OAuthError after the record of the refusal is durable, or the refusal is counted
 * (ledger/refusals.ts).
 */
export async function issueToken(
  edges: IssueEdges,
  raw: RawTokenRequest,
  origin: Origin,
  claimed: Claimed,
): Promise<IssuedToken> {
  let request: TokenRequest | undefined
  let credentials: AdmittedCredentials
  try {
    request = parseTokenRequest(raw, claimed)
    if (edges.requiresCertificate === true) requireTrusted(request.certificate, edges.clock.nowSeconds())
    // Most are known already, and wait for nothing.
    const admitted = admit(edges, request.credentials, origin.address)
    credentials = admitted instanceof Promise ? await admitted : admitted
  } catch (error) {
    if (request !== undefined && saysRegistered(error)) claimed.clientId = request.credentials.clientId
    throw await recordRefusal(edges, origin, claimed, error)
  }
  return await decideAndCommit(edges, { ...request, credentials }, origin, claimed)
}

/** The refusals of `admit` from which follows that there is a client of that id. */
const refusalsOfRegistered: ReadonlySet<RefusalReason> = new Set([
  'client_disabled',
  'client_deleted',
  'client_expired',
  'client_has_no_secret',
  'secret_wrong',
  'client_has_no_key',
  'client_key_unusable',
  'assertion_key_unknown',
  'assertion_signature_wrong',
  'client_has_no_certificate',
  'certificate_key_unknown',
  'certificate_subject_mismatch',
])

/** What is registered is no credential in the wrong place, however random it looks: records must name it. */
function saysRegistered(error: unknown): boolean {
  return error instanceof OAuthError && refusalsOfRegistered.has(error.reason)
}

/** Decides again if the registry has changed before the commit, at most `decisionsPerRequestMax` times. */
async function decideAndCommit(
  edges: IssueEdges,
  request: TokenRequest & { readonly credentials: AdmittedCredentials },
  origin: Origin,
  claimed: Claimed,
): Promise<IssuedToken> {
  const { registry, ledger, clock } = edges
  const { credentials, target } = request
  let proof: Proof | undefined
  let refusal: OAuthError | undefined
  try {
    for (let attempt = 0; attempt < limits.decisionsPerRequestMax; attempt += 1) {
      const { clientId } = credentials
      const view = registry.viewNow(clientId, target) ?? (await registry.view(clientId, target))
      if (view.client !== undefined) claimed.clientId = clientId
      const proving = proveOrRefuse(edges, credentials, view, origin, proof)
      const proven = proving instanceof Promise ? await proving : proving
      if (proven instanceof OAuthError) {
        refusal = proven
      } else {
        proof = withPossession(edges.dpop, request.dpopProof, proven, proof)
        const now = clock.nowSeconds()
        const decision = decide(request, proof, view, origin.address, now)
        if (decision.granted) {
          const issuance = prepare(edges, decision, credentials, proof, origin, claimed, now)
          const outcome = await ledger.commit(
            view.version,
            issuance.record,
            issuance.sign,
            identifiersOf(proof),
          )
          if (outcome.committed) return issuance.release()
          await registry.refresh(outcome.version)
          continue
        }
        refusal = new OAuthError(decision.reason)
      }
      const record = refusalRecord(clock, origin, claimed, refusal, proof)
      const outcome = await ledger.refuse(record, view.version, proof?.matched)
      if (outcome.committed) break
      await registry.refresh(outcome.version)
      refusal = undefined
    }
  } catch (error) {
    throw await recordRefusal(edges, origin, claimed, error, proof)
  }
  throw refusal ?? (await recordRefusal(edges, origin, claimed, new OAuthError('registry_unsettled'), proof))
}

/**
 * What could be proven, or a refusal. Some refusals depend on the view: in a newer view the same secret may be one that
 * the client has just received. They are verdicts like a proof, and are decided again when the registry has changed.
 */
function proveOrRefuse(
  edges: IssueEdges,
  credentials: AdmittedCredentials,
  view: View,
  origin: Origin,
  earlier: Proof | undefined,
): Proof | OAuthError | Promise<Proof | OAuthError> {
  try {
    const proof = authenticate(edges, credentials, view.client, origin.address, earlier)
    return proof instanceof Promise ? proof.catch(asVerdict) : proof
  } catch (error) {
    return asVerdict(error)
  }
}

const verdicts: ReadonlySet<RefusalReason> = new Set([
  'verification_queue_full',
  'failures_of_client',
  'failures_of_address',
])

function asVerdict(error: unknown): OAuthError {
  if (error instanceof OAuthError && verdicts.has(error.reason)) return error
  throw error
}

interface Issuance {
  readonly record: AuditRecord
  /** Signs the token. Called while the database writes the record. */
  readonly sign: () => void
  /** Returns the token. Called after its record is durable. */
  readonly release: () => IssuedToken
}

function prepare(
  edges: IssueEdges,
  grant: Grant,
  credentials: AdmittedCredentials,
  proof: Proof,
  origin: Origin,
  claimed: Claimed,
  now: number,
): Issuance {
  if (!edges.clockGuard.reliable) throw new OAuthError('clock_unreliable')
  const signer = edges.keyring.signer(grant.signingAlgorithm, now)
  if (signer === undefined) throw new OAuthError('keys_unavailable')
  // The key may end earlier than that, where the settings were raised or its successor is late.
  const lifetimeSeconds = Math.min(
    grant.lifetimeSeconds,
    edges.tokenLifetimeSecondsMax,
    signer.tokensEndBy - now,
  )
  const time = edges.clock.nowMilliseconds()
  const jti = tokenId(time, edges.randomId())
  const claims = accessTokenClaims(edges.issuer, { ...grant, lifetimeSeconds }, now, jti)
  const scope = claims.scope ?? ''
  let accessToken: string | undefined
  const record: AuditRecord = {
    time,
    type: 'token',
    outcome: 'issued',
    clientId: claims.client_id,
    authenticationMethod: proof.method ?? claimed.authenticationMethod,
    credentialId: proof.credentialId,
    audience: claims.aud,
    scope,
    jti: claims.jti,
    kid: signer.kid,
    expiresAt: claims.exp,
    address: origin.address,
    userAgent: origin.userAgent,
    requestId: origin.requestId,
    detail: issuedDetail(grant, proof),
  }
  return {
    record,
    sign() {
      accessToken = signer.sign(JSON.stringify(claims), grant.tokenTyp)
    },
    release() {
      if (accessToken === undefined) throw new Error('a token was released before it was signed')
      noteUse(edges, credentials, proof, record)
      const tokenType = grant.confirmation?.jkt === undefined ? 'Bearer' : 'DPoP'
      return { accessToken, expiresInSeconds: claims.exp - claims.iat, scope, tokenType }
    },
  }
}

function issuedDetail(grant: Grant, { assertion }: Proof): AuditRecord['detail'] {
  const { certificateThumbprint, confirmation } = grant
  const detail = {
    // Callers that name the token endpoint can be found (RFC 10070).
    ...(assertion?.audience === 'token_endpoint' ? { assertion_audience: 'token_endpoint' } : {}),
    ...(certificateThumbprint === undefined ? {} : { certificate: certificateThumbprint }),
    ...(confirmation?.jkt === undefined ? {} : { jkt: confirmation.jkt }),
  }
  return Object.keys(detail).length === 0 ? undefined : detail
}

/**
 * Makes the record of a refusal durable.
 * @param error any error other than an `OAuthError` is a fault of this service. The caller learns nothing
 * about it.
 * @returns the error to answer with: the refusal itself, or `ledger_unavailable` if its record was not
 * written.
 */
export async function recordRefusal(
  edges: Pick<IssueEdges, 'ledger' | 'clock'>,
  origin: Origin,
  claimed: Claimed,
  error: unknown,
  proof?: Proof,
): Promise<OAuthError> {
  const refusal = error instanceof OAuthError ? error : new OAuthError('internal_error', { cause: error })
  const record = refusalRecord(edges.clock, origin, claimed, refusal, proof)
  if (isOnlyCounted(refusal)) {
    edges.ledger.count(record, proof?.matched)
    return refusal
  }
  try {
    await edges.ledger.refuse(record, undefined, proof?.matched)
    return refusal
  } catch (fault) {
    edges.ledger.count(record, proof?.matched)
    return fault instanceof OAuthError ? fault : new OAuthError('ledger_unavailable', { cause: fault })
  }
}

function refusalRecord(
  clock: Clock,
  origin: Origin,
  claimed: Claimed,
  refusal: OAuthError,
  proof: Proof | undefined,
): AuditRecord {
  const { otherClientId, grantType } = claimed
  const odd = otherClientId !== undefined || grantType !== undefined
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
    detail: odd ? { other_client_id: otherClientId, grant_type: grantType } : undefined,
  }
}
