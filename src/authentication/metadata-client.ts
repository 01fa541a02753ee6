import { OAuthError, type RefusalReason } from '../refusals.ts'
import { clientRefusal, type RegisteredClient } from '../registry/client.ts'
import {
  isClientMetadataUrl,
  mayBeMetadataClient,
  metadataIssuerName,
  metadataIssuerOf,
  metadataWorkloadId,
} from '../registry/client-metadata-prefix.ts'
import type { TrustedIssuer } from '../registry/issuer.ts'
import { isSignedBy } from './assertion-signature.ts'
import type { ClientMetadata } from './client-metadata.ts'
import { closestRule } from './closest-rule.ts'
import { demanding, demandsOf, workloadBy } from './federated-callers.ts'
import type {
  AdmittedMetadataClient,
  AssertionCredentials,
  AuthenticationEdges,
  AuthenticationMethod,
  Caller,
  CallerRefusal,
  CallerView,
  Proof,
  ProvenAssertion,
  UseEdges,
} from './method.ts'
import { chooseKey, momentRefusal, provenAssertion } from './own-assertion.ts'
import type { SecretUse } from './secret-use-store.ts'
import { type AssertionFacts, judgeAssertion, type RuleVerdict } from './trust-rules.ts'

/**
 * A client that nobody registered: its id is the address of a document about it, under a beginning that is trusted
 * (draft-ietf-oauth-client-id-metadata-document). It signs its assertions like any client (private-key-jwt.ts), and what it
 * gets is said by rules, like of any workload (federated-jwt.ts).
 */
export const metadataClient: AuthenticationMethod<AdmittedMetadataClient, AdmittedMetadataClient> = {
  // A request does not name this method. That the client is of this kind is found out from its assertion.
  isPresented: () => false,
  parse() {
    throw new OAuthError('authentication_missing')
  },
  admit: (_edges, credentials) => credentials,
  prove(
    { issuer }: AuthenticationEdges,
    credentials: AdmittedMetadataClient,
    _client: RegisteredClient | undefined,
    _address: string,
    earlier?: Proof,
  ) {
    const { clientId: url, documentHash } = credentials
    return earlier ?? { ...provenAssertion(credentials, issuer), metadata: { url, documentHash } }
  },
  callersOf,
  judge: ({ assertion }, _client, now) =>
    assertion === undefined ? 'assertion_key_unknown' : momentRefusal(assertion, now),
  noteUse(
    { workloadUses }: UseEdges,
    workloadId: string,
    { credentialId: rule, metadata }: Proof,
    { time }: SecretUse,
  ) {
    if (metadata === undefined) return
    workloadUses.note({ workloadId, issuer: metadataIssuerName, subject: metadata.url, rule, time })
  },
}

/** A right signature under a key in memory, by a rule in memory, waits for nothing, and nothing is counted. */
export function admitByMetadataNow(
  { registry, clientMetadata, issuer: ownIssuer, clock }: AuthenticationEdges,
  credentials: AssertionCredentials,
): AdmittedMetadataClient | undefined {
  const { clientId: url } = credentials
  if (!mayBeMetadataClient(url) || registry.clientNow(url) !== undefined) return undefined
  const issuer = metadataIssuerOf(registry.trustNow(), url)
  if (issuer === undefined || !isClientMetadataUrl(url)) return undefined
  const admitted = signedBy(clientMetadata.remembered({ url, prefix: issuer.issuer }), credentials)
  if (admitted === undefined) return undefined
  const verdict = verdictOf(issuer, url, provenAssertion(admitted, ownIssuer).assertion, clock.nowSeconds())
  return 'refusal' in verdict ? undefined : admitted
}

/**
 * The same with what the database says now, and with a document that is fetched if that is needed.
 * @param isRegistered whether a client has that id.
 * @returns undefined if it is registered, or if no trusted prefix fits: then nobody has this name.
 * @throws OAuthError
 */
export async function admitByMetadata(
  edges: AuthenticationEdges,
  credentials: AssertionCredentials,
  address: string,
  isRegistered: boolean,
): Promise<AdmittedMetadataClient | undefined> {
  const { registry, clientMetadata, failureLimit, claimedText, clock } = edges
  const { clientId: url, assertion } = credentials
  if (!mayBeMetadataClient(url)) return undefined
  const issuer = metadataIssuerOf(await registry.lookUpTrust(), url)
  // This is also asked for registered clients, so that the time does not show who is registered.
  if (issuer === undefined || isRegistered) return undefined
  const fail = (reason: RefusalReason, detail?: Readonly<Record<string, string>>): never => {
    failureLimit.fail(url, address)
    throw new OAuthError(reason, detail === undefined ? {} : { detail })
  }
  if (!isClientMetadataUrl(url)) return fail('client_metadata_url_malformed')
  const place = { url, prefix: issuer.issuer }
  const known = clientMetadata.remembered(place)
  // A new address costs a fetch, even if a stranger invented it. A caller's address that fails too often gets no more
  // fetches.
  const attempt = known === undefined ? failureLimit.attemptFrom(address) : undefined
  const metadata = signedBy(known, credentials) === undefined ? await clientMetadata.renewed(place) : known
  attempt?.forgive()
  if (metadata === undefined) {
    // As much work as with a document.
    isSignedBy(assertion, undefined)
    const problem =
      clientMetadata.problemOf(place) ?? 'it was asked for too often, or does not answer in time'
    return fail('client_metadata_unavailable', { problem })
  }
  const admitted = signedBy(metadata, credentials)
  if (admitted === undefined) {
    const isKnown = keyFor(metadata, credentials) !== undefined
    return fail(isKnown ? 'assertion_signature_wrong' : 'assertion_key_unknown')
  }
  const proven = provenAssertion(admitted, edges.issuer).assertion
  const verdict = verdictOf(issuer, url, proven, clock.nowSeconds())
  if (!('refusal' in verdict)) return admitted
  return fail(verdict.refusal, closestRule(claimedText, verdict.closest))
}

function signedBy(
  metadata: ClientMetadata | undefined,
  credentials: AssertionCredentials,
): AdmittedMetadataClient | undefined {
  const { clientId, assertion } = credentials
  const key = metadata && keyFor(metadata, credentials)
  if (metadata === undefined || key === undefined || !isSignedBy(assertion, key)) return undefined
  return {
    method: 'client_metadata',
    clientId,
    workloadId: metadataWorkloadId(clientId),
    assertion,
    keyId: key.thumbprint,
    documentHash: metadata.documentHash,
  }
}

/** The key that an assertion names. Keys of a document never expire: the document has them, or no longer has them. */
function keyFor({ keys }: ClientMetadata, { assertion }: AssertionCredentials) {
  const never = { expiresAt: undefined, revokedAt: undefined }
  const chosen = chooseKey(
    keys.map((key) => ({ ...key, ...never })),
    assertion,
    0,
  )
  // The same object each time: what was imported for it is remembered.
  return keys.find(({ thumbprint }) => thumbprint === chosen?.thumbprint)
}

/** What rules are compared with. The client signed all of its claims itself, so only its id counts: its document proves it. */
export function factsAbout(url: string, assertion: ProvenAssertion): AssertionFacts {
  const { audience, expiresAt, notBefore, issuedAt } = assertion
  const claims = { iss: url, sub: url }
  return { issuer: metadataIssuerName, subject: url, claims, audience, expiresAt, notBefore, issuedAt }
}

/** What the rules say. One that names a registered client admits nobody here. */
function verdictOf(issuer: TrustedIssuer, url: string, assertion: ProvenAssertion, now: number): RuleVerdict {
  const rules = issuer.rules.filter(({ clientId }) => clientId === undefined)
  return judgeAssertion({ ...issuer, rules }, factsAbout(url, assertion), undefined, now)
}

/** A registered client proves itself with what is registered for it. The same reason as if its key was looked up. */
const notRegistered = ({ keys, jwksUri }: RegisteredClient): RefusalReason =>
  keys.length === 0 && jwksUri === undefined ? 'client_has_no_key' : 'assertion_key_unknown'

function callersOf(
  { metadata, assertion }: Proof,
  { client, trust }: CallerView,
  now: number,
): readonly Caller[] | CallerRefusal {
  const issuer = metadata && metadataIssuerOf(trust, metadata.url)
  if (metadata === undefined || assertion === undefined || issuer === undefined)
    return { refusal: 'client_unknown' }
  if (client !== undefined) return { refusal: clientRefusal(client, now) ?? notRegistered(client) }
  const verdict = verdictOf(issuer, metadata.url, assertion, now)
  if ('refusal' in verdict) return { refusal: verdict.refusal }
  const { clientId, rules } = verdict
  if (trust?.blocked.has(clientId) === true) return { refusal: 'workload_blocked' }
  return rules.map((rule) => ({
    client: demanding(workloadBy(rule, clientId), rule),
    publicClientId: metadata.url,
    rule: {
      ...demandsOf(rule, factsAbout(metadata.url, assertion)),
      name: rule.rule,
      tokenLifetimeSeconds: rule.tokenLifetimeSeconds,
      // The client makes an assertion for one request. Its end does not limit the token.
      tokensEndBy: Number.POSITIVE_INFINITY,
      isSpent: true,
    },
  }))
}
