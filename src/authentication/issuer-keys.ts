import { hash } from 'node:crypto'
import type { TrustedIssuer } from '../registry/issuer.ts'
import type { ClientKey } from './client-key.ts'
import { readIssuerKey } from './issuer-key.ts'
import type { KeyAddress } from './remote-keys.ts'

/** Where the keys of a trusted issuer come from. */

/** Where they are fetched; undefined where they were uploaded, or each client has its own. */
export function addressOf({ issuer, keys }: TrustedIssuer): KeyAddress | undefined {
  if (keys.kind === 'discovery') return { kind: keys.kind, issuer }
  return 'url' in keys ? keys : undefined
}

const uploaded = new WeakMap<TrustedIssuer, readonly ClientKey[]>()

/** Keys that are in the registry. Its row is read as strictly as a new one, because somebody may have written it by hand. */
export function uploadedKeys(issuer: TrustedIssuer): readonly ClientKey[] {
  const { keys: source } = issuer
  if (source.kind !== 'jwks') return []
  const known = uploaded.get(issuer)
  if (known !== undefined) return known
  const read = source.keys.flatMap((jwk) => {
    const key = readIssuerKey(jwk, 'sig')
    return 'thumbprint' in key ? [key] : []
  })
  uploaded.set(issuer, read)
  return read
}

const ids = new WeakMap<TrustedIssuer, string>()

/** Names the source of the keys: with another one, a signature that was right before proves nothing. */
export function keySourceId(issuer: TrustedIssuer): string {
  let id = ids.get(issuer)
  if (id === undefined) {
    id = hash('sha256', JSON.stringify([issuer.issuer, issuer.keys]), 'base64url')
    ids.set(issuer, id)
  }
  return id
}
