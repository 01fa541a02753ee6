import { hash } from 'node:crypto'
import { isSigningAlgorithm } from '../keys/signing-algorithm.ts'
import { WindowCounters } from '../lib/window-counters.ts'
import { limits } from '../limits.ts'
import { isClientMetadataUrl } from '../registry/client-metadata-prefix.ts'
import { type ClientKey, readClientKey } from './client-key.ts'
import { type FetchDocument, type ReadDocument, RemoteDocuments, readMapping } from './remote-documents.ts'

/**
 * Documents that clients publish about themselves (draft-ietf-oauth-client-id-metadata-document). Only the keys are
 * taken from such a document. Rules of this service say what a client may have, never its own document.
 */
export interface ClientMetadata {
  readonly keys: readonly ClientKey[]
  /** SHA-256 of the document as it was fetched, in base64url: the ledger names it. */
  readonly documentHash: string
}

export interface MetadataAddress {
  /** The id of the client. */
  readonly url: string
  /** The trusted beginning under which it stands. */
  readonly prefix: string
}

export interface ClientMetadataOptions {
  readonly fetch: FetchDocument
  readonly monotonicMilliseconds: () => number
  /** Told at the first failure in a row of a document that was good before, and when it is over. */
  readonly onFailed: (url: string, problem: string, keptSeconds: number | undefined) => void
  readonly onRecovered: (url: string) => void
  /** Told when a document has other keys than before. */
  readonly onChanged: (url: string, thumbprints: readonly string[]) => void
}

/** Counters of addresses that were not seen before. Two beginnings may share one, which only makes them slower. */
const buckets = 1_024

export type ClientMetadataDocuments = RemoteDocuments<MetadataAddress, ClientMetadata>

export function openClientMetadata(options: ClientMetadataOptions): ClientMetadataDocuments {
  const { fetch, monotonicMilliseconds, onFailed, onRecovered, onChanged } = options
  // Strangers can invent addresses. So the number of fetches is limited for each prefix, whoever asks.
  const unseen = new WindowCounters({
    buckets,
    eventsMax: limits.clientMetadataUnseenPerMinuteMax,
    windowSeconds: 60,
    monotonicMilliseconds,
  })
  return new RemoteDocuments<MetadataAddress, ClientMetadata>({
    nameOf: ({ url }) => url,
    read: ({ url }) => fetchClientMetadata(fetch, url),
    monotonicMilliseconds,
    onFailed,
    onRecovered,
    tellsOfUnseen: false,
    onRead(url, before, after) {
      const [old, now] = [before, after].map((each) => each?.keys.map(({ thumbprint }) => thumbprint) ?? [])
      if (before !== undefined && old?.toSorted().join() !== now?.toSorted().join()) onChanged(url, now ?? [])
    },
    // If the document was removed, the client ends. Any other answer may be a fault of the server.
    isGone: (error) => [404, 410].includes((error as { status?: number }).status ?? 0),
    mayBegin: ({ prefix }) =>
      unseen.take(hash('sha256', prefix, 'buffer').readUInt32BE() % buckets) === undefined,
    rememberedMax: limits.clientMetadataDocumentsMax,
    waitingMax: limits.clientMetadataWaitingMax,
  })
}

async function fetchClientMetadata(fetch: FetchDocument, url: string): Promise<ReadDocument<ClientMetadata>> {
  const { text, maxAgeSeconds } = await fetch(url, limits.clientMetadataBytesMax)
  const { jwks, jwksUri, algorithm } = readClientMetadata(text, url)
  const documentHash = hash('sha256', text, 'base64url')
  if (jwksUri === undefined) {
    return { document: { keys: keysIn(jwks, algorithm), documentHash }, freshSeconds: maxAgeSeconds }
  }
  const set = await fetch(jwksUri, limits.clientMetadataKeysBytesMax)
  const keys = keysIn(readMapping(set.text), algorithm)
  const ages = [maxAgeSeconds, set.maxAgeSeconds].filter((seconds) => seconds !== undefined)
  return { document: { keys, documentHash }, freshSeconds: ages.length === 0 ? undefined : Math.min(...ages) }
}

interface KeysOfDocument {
  readonly jwks: unknown
  readonly jwksUri: string | undefined
  /** The only algorithm that its assertions may have. */
  readonly algorithm: string | undefined
}

/**
 * Reads a document. Members that say nothing about this grant, such as redirect_uris, are not looked at.
 * @throws Error that says what is wrong with it, without any part of it.
 */
function readClientMetadata(text: string, url: string): KeysOfDocument {
  const document = readMapping(text)
  const refuse = (problem: string): never => {
    throw new Error(`its document ${problem}`)
  }
  // This comes first, so that no other message is about a secret.
  const secret = ['client_secret', 'client_secret_expires_at'].find((name) => Object.hasOwn(document, name))
  if (secret !== undefined) refuse(`has the member ${secret}, and must not`)
  const { client_id: clientId, grant_types: grantTypes, jwks, jwks_uri: jwksUri } = document
  const { token_endpoint_auth_method: method, token_endpoint_auth_signing_alg: algorithm } = document
  if (clientId !== url) refuse('has another client_id than its own address')
  if (method !== 'private_key_jwt') refuse('has no token_endpoint_auth_method private_key_jwt')
  if (grantTypes !== undefined && !(Array.isArray(grantTypes) && grantTypes.includes('client_credentials')))
    refuse('is of a client for other grant_types than client_credentials')
  if (
    algorithm !== undefined &&
    (typeof algorithm !== 'string' || !isSigningAlgorithm(namedAlgorithm(algorithm)))
  )
    refuse('has a token_endpoint_auth_signing_alg that is not supported here')
  if ((jwks === undefined) === (jwksUri === undefined)) refuse('needs one of jwks and jwks_uri')
  if (jwksUri !== undefined && !isOfSameOrigin(jwksUri, url))
    refuse('has a jwks_uri that is no plain https address of the same host and port')
  return {
    jwks,
    jwksUri: jwksUri as string | undefined,
    algorithm: algorithm === undefined ? undefined : namedAlgorithm(algorithm as string),
  }
}

/** EdDSA has two names (RFC 9864). */
const namedAlgorithm = (name: string): string => (name === 'Ed25519' ? 'EdDSA' : name)

/**
 * The operator named the host of the document. Nothing is fetched from another one: it could have another owner one
 * day, and a document could make this service send requests to any host.
 */
function isOfSameOrigin(jwksUri: unknown, url: string): boolean {
  return (
    typeof jwksUri === 'string' &&
    isClientMetadataUrl(jwksUri) &&
    new URL(jwksUri).origin === new URL(url).origin
  )
}

/**
 * The keys of a set, read as those that are registered.
 * @throws Error if none can be used, or there is a private one: then somebody else has it by now.
 */
function keysIn(set: unknown, algorithm: string | undefined): readonly ClientKey[] {
  const listed: unknown = typeof set === 'object' && set !== null && 'keys' in set ? set.keys : undefined
  if (!Array.isArray(listed)) throw new Error('its keys are no JWK Set')
  if (listed.length > limits.keysPerClientMax) {
    throw new Error(`its keys are more than ${limits.keysPerClientMax}`)
  }
  const keys = listed.map(readClientKey)
  if (keys.some((key) => 'privateMember' in key)) {
    throw new Error('one of its keys is a private or symmetric one, which everybody can read now')
  }
  const usable = keys.flatMap((key) => ('thumbprint' in key ? [key] : []))
  const fitting = usable.filter((key) => algorithm === undefined || key.algorithm === algorithm)
  if (fitting.length === 0) throw new Error('it has no key that can be used')
  return fitting
}
