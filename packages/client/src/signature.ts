import { createHash, createHmac, type KeyObject, randomUUID } from 'node:crypto'
import { type PrivateKey, readPrivateKey, type SigningKey, signBytes } from './key.ts'

/**
 * Signatures of requests (RFC 9421) with a digest of their body (RFC 9530): what was sent is what arrives, and it arrives
 * from whoever has the key. Written here: a signature is one line of text for each thing that it covers, and libraries
 * bring a parser for what others sign, which a caller does not need.
 */

/** By the key that the token is bound to, or under a secret that both sides share. */
export type RequestSigner =
  | { readonly key: PrivateKey | SigningKey; readonly keyId?: string | undefined }
  | { readonly secret: string | Uint8Array | KeyObject; readonly keyId: string }

/** What says whose signature this is, where a request has several. */
const tag = 'mintmark'

export interface SignableRequest {
  readonly method: string
  readonly url: string | URL
  readonly headers: Headers
  /** Undefined if there is none. */
  readonly body?: Uint8Array | undefined
}

export interface SignatureMoment {
  readonly nowSeconds: number
  /** Default: a random one. A relying service accepts each once. */
  readonly nonce?: string | undefined
}

/** Adds `Content-Digest`, `Signature-Input` and `Signature` to the header fields of a request. */
export function signRequest(
  { method, url, headers, body }: SignableRequest,
  signer: RequestSigner,
  { nowSeconds, nonce = randomUUID() }: SignatureMoment,
): void {
  if (body !== undefined && body.length > 0) {
    const digest = createHash('sha256').update(body).digest('base64')
    headers.set('content-digest', `sha-256=:${digest}:`)
  } else headers.delete('content-digest')
  const target = new URL(url)
  target.hash = ''
  const covered: [component: string, value: string][] = [
    ['@method', method],
    ['@target-uri', target.href],
  ]
  for (const field of ['authorization', 'content-type', 'content-digest']) {
    const value = headers.get(field)
    if (value !== null) covered.push([field, value.trim()])
  }
  const parameters = [
    `created=${Math.floor(nowSeconds)}`,
    `nonce=${text(nonce)}`,
    `keyid=${text(keyIdOf(signer))}`,
    `tag=${text(tag)}`,
  ]
  const names = covered.map(([component]) => `"${component}"`).join(' ')
  const input = `(${names})${parameters.map((parameter) => `;${parameter}`).join('')}`
  const lines = covered.map(([component, value]) => `"${component}": ${value}`)
  const base = [...lines, `"@signature-params": ${input}`].join('\n')
  headers.set('signature-input', `sig1=${input}`)
  headers.set('signature', `sig1=:${signatureOf(signer, base).toString('base64')}:`)
}

/** A String of RFC 8941 §3.3.3. */
function text(value: string): string {
  if (!/^[\x20-\x7e]+$/.test(value))
    throw new TypeError('A nonce and a key id have printable ASCII characters only.')
  return `"${value.replace(/["\\]/g, '\\$&')}"`
}

function keyIdOf(signer: RequestSigner): string {
  return 'key' in signer ? (signer.keyId ?? signingKey(signer.key).thumbprint) : signer.keyId
}

function signatureOf(signer: RequestSigner, base: string): Buffer {
  if ('secret' in signer) return createHmac('sha256', signer.secret).update(base).digest()
  const key = signingKey(signer.key)
  // RFC 9421 §3.3.4 and §3.3.6 sign as JWS does. Its two algorithms for RSA are others than those of JWS.
  if (key.algorithm !== 'ES256' && key.algorithm !== 'EdDSA')
    throw new TypeError('Requests are signed with a key on the curve P-256 or an Ed25519 key.')
  return signBytes(key, base)
}

function signingKey(key: PrivateKey | SigningKey): SigningKey {
  return typeof key === 'object' && 'thumbprint' in key ? (key as SigningKey) : readPrivateKey(key)
}
