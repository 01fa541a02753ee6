import { limits } from '../limits.ts'
import { type TrustedIssuer, type TrustTable, workloadId } from './issuer.ts'

/**
 * Clients whose id is the address of a document about themselves (draft-ietf-oauth-client-id-metadata-document): which
 * addresses may be an id, and which trusted prefix an address has.
 */

/**
 * https, a host in lower case, perhaps a port, and a path. No user, query or fragment. No `%`: then a path has one spelling,
 * and no dot is hidden in it. Dot segments, a usual port and the like are found by comparing with what a parser makes of it.
 */
const form = /^https:\/\/[a-z0-9.:[\]-]+(?:\/[A-Za-z0-9._~!$&'()*+,;=:@-]*)+$/

function isPlainUrl(text: string): boolean {
  if (text.length > limits.issuerCharactersMax || !form.test(text) || !URL.canParse(text)) return false
  return new URL(text).href === text
}

/** Whether a client may have this address as its id. The address that is fetched is the same, byte for byte. */
export function isClientMetadataUrl(text: string): boolean {
  return isPlainUrl(text) && !text.endsWith('/')
}

/** It ends at a separator, so that `https://good.example` never means `https://good.example.evil`. */
export function isClientMetadataPrefix(text: string): boolean {
  return isPlainUrl(text) && text.endsWith('/')
}

/** Stands where other workloads have an issuer. No issuer can have such a name, so no workload has such an identity. */
export const metadataIssuerName = 'client_metadata'

/** The identity of such a client: it follows from the address alone, and not from the trusted prefix or the keys. */
export function metadataWorkloadId(url: string): string {
  return workloadId(metadataIssuerName, url)
}

/** What ids of such clients begin with. Other ids cost nothing more. */
export function mayBeMetadataClient(clientId: string): boolean {
  return clientId.startsWith('https://')
}

/**
 * The trusted beginning of an address. At most one is registered (`isNestedPrefix`). If somebody has written several
 * with SQL, none counts, because nothing says which of them gives less.
 */
export function metadataIssuerOf(trust: TrustTable | undefined, url: string): TrustedIssuer | undefined {
  if (trust === undefined) return undefined
  let found: TrustedIssuer | undefined
  const slashAfter = (place: number): number => url.indexOf('/', place)
  for (let at = slashAfter('https://'.length); at !== -1; at = slashAfter(at + 1)) {
    // No beginning is longer. An address of slashes alone would be hashed again and again.
    if (at >= limits.issuerCharactersMax) break
    const issuer = trust.issuers.get(url.slice(0, at + 1))
    if (issuer?.keys.kind !== 'client_metadata') continue
    if (found !== undefined) return undefined
    found = issuer
  }
  return found?.status === 'active' ? found : undefined
}

/** Whether one beginning is within another one: then the wider one would give what the narrower one was to withhold. */
export function isNestedPrefix(one: string, other: string): boolean {
  return one !== other && (one.startsWith(other) || other.startsWith(one))
}

/** Whether any client may come with such an id now. */
export function trustsMetadataClients(trust: TrustTable | undefined): boolean {
  if (trust === undefined) return false
  return [...trust.issuers.values()].some(
    ({ keys, status }) => keys.kind === 'client_metadata' && status === 'active',
  )
}
