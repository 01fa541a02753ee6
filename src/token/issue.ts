import { admit, authenticate, identityOf, noteUse, saysRegistered } from '../authentication/authenticate.ts'
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
import type { View } from '../registry/memory.ts'
import type { Registry } from '../registry/registry.ts'
import { accessTokenClaims } from './claims.ts'
import { decide, type Grant } from './decide.ts'
import { issuedDetail, type Origin, refusalRecord } from './records.ts'
import {
  type Claimed,
  jwtBearerGrant,
  parseTokenRequest,
  type RawTokenRequest,
  type TokenRequest,
} from './request.ts'

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
  const isGated = edges.requiresCertificate === true
  try {
    request = parseTokenRequest(raw, claimed)
    if (isGated) requireTrusted(request.certificate, edges.clock.nowSeconds())
    // Most are known already, and wait for nothing.
    const admitted = admit(edges, request.credentials, origin.address)
    credentials = admitted instanceof Promise ? await admitted : admitted
  } catch (error) {
    const clientId = request?.credentials.clientId
    if (clientId !== undefined && saysRegistered(error)) claimed.clientId = clientId
    throw await recordRefusal(edges, origin, claimed, error)
  }
  return await decideAndCommit(edges, { ...request, credentials, isGated }, origin, claimed)
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
      const view =
        credentials.method === 'federated_jwt' || credentials.method === 'client_metadata'
          ? (registry.trustingViewNow(clientId, target) ?? (await registry.trustingView(clientId, target)))
          : (registry.viewNow(clientId, target) ?? (await registry.view(clientId, target)))
      if (view.client !== undefined || view.trust !== undefined) claimed.clientId = identityOf(credentials)
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
            identifiersOf(spentBy(decision, proof)),
          )
          if (outcome.committed) return issuance.release()
          await registry.refresh(outcome.version)
          continue
        }
        refusal = new OAuthError(decision.reason, decision.detail && { detail: decision.detail })
      }
      refusal = inTermsOf(claimed, refusal)
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

/** What is refused of an assertion that is the grant itself is no client (RFC 7523 §3.1). */
function inTermsOf({ grantType }: Claimed, refusal: OAuthError): OAuthError {
  return grantType === jwtBearerGrant ? refusal.forGrant() : refusal
}

/** An assertion that its rule accepts until it expires is not used up. */
function spentBy({ rule }: Grant, proof: Proof): Proof {
  if (rule?.isSpent !== false) return proof
  const { once: _once, ...others } = proof
  return others
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
  // An assertion of another issuer is named by the rule that it fits.
  const used = grant.rule === undefined ? proof : { ...proof, credentialId: grant.rule.name }
  let accessToken: string | undefined
  const record: AuditRecord = {
    time,
    type: 'token',
    outcome: 'issued',
    clientId: grant.clientId,
    authenticationMethod: proof.method ?? claimed.authenticationMethod,
    credentialId: used.credentialId,
    audience: claims.aud,
    scope,
    jti: claims.jti,
    kid: signer.kid,
    expiresAt: claims.exp,
    address: origin.address,
    userAgent: origin.userAgent,
    requestId: origin.requestId,
    detail: issuedDetail(grant, proof, claimed),
  }
  return {
    record,
    sign() {
      accessToken = signer.sign(JSON.stringify(claims), grant.tokenTyp)
    },
    release() {
      if (accessToken === undefined) throw new Error('a token was released before it was signed')
      noteUse(edges, credentials, used, record)
      const tokenType = grant.confirmation?.jkt === undefined ? 'Bearer' : 'DPoP'
      return { accessToken, expiresInSeconds: claims.exp - claims.iat, scope, tokenType }
    },
  }
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
  const known = error instanceof OAuthError ? error : new OAuthError('internal_error', { cause: error })
  const refusal = inTermsOf(claimed, known)
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
