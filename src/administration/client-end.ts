import { hasSecretByMethod, keyAuthMethods, type StoredClient } from './definition.ts'

/**
 * When a client gets no more tokens unless somebody acts: when it expires, or when its last secret or key does. Moments
 * in seconds since 1970; undefined: never. Pure.
 * @param credentials the ends of those that are valid, of each kind.
 */
export function endOf(
  client: Pick<StoredClient, 'expiresAt' | 'tokenEndpointAuthMethod' | 'certificateField'>,
  credentials: { readonly secrets: readonly End[]; readonly keys: readonly End[] },
): End {
  const method = client.tokenEndpointAuthMethod
  const isBySecret = hasSecretByMethod(method)
  const isByKey = method === undefined || keyAuthMethods.includes(method)
  // Its authority makes the next certificate.
  const isByCertificate = method === undefined && client.certificateField !== undefined
  const ends = [
    ...(isBySecret ? credentials.secrets : []),
    ...(isByKey ? credentials.keys : []),
    ...(isByCertificate ? [undefined] : []),
  ]
  // Without any, it gets no tokens now. That is another matter than an end.
  const last = ends.includes(undefined) ? undefined : latest(ends)
  return earliest([client.expiresAt, last])
}

type End = number | undefined

function latest(ends: readonly End[]): End {
  return ends.reduce((one, other) => ((one ?? 0) > (other ?? 0) ? one : other), undefined)
}

function earliest(ends: readonly End[]): End {
  const known = ends.filter((end) => end !== undefined)
  return known.length === 0 ? undefined : Math.min(...known)
}
