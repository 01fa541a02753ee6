import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import { calculateJwkThumbprint, type JWK } from 'jose'
import { base64urlDecoded } from './compact.ts'
import { VerifyError } from './errors.ts'
import { algorithmNamed, isObject, isSignedBy, readPublicKey } from './keys.ts'
import { createReplayMemory } from './memory.ts'
import { type InnerList, parseDictionary, serializeInnerList } from './structured-fields.ts'

/** A request as it came. */
export interface SignedRequest {
  readonly method: string
  /** The URL as callers write it, with the query. Take its origin from your settings, never from the `Host` header. */
  readonly url: string | URL
  /** All header fields in their order: in pairs, or as `rawHeaders` of Node has them. */
  readonly headers: Iterable<readonly [name: string, value: string]> | readonly string[]
  /** Before anything has parsed it. */
  readonly body?: Uint8Array | string | undefined
}

export interface RequestVerifierOptions {
  /**
   * The keys of callers by `kid`, which is the `keyid` of a signature: a JWK Set, or a function that finds one. A public key has
   * the `alg` ES256 or EdDSA (also Ed25519, RFC 9864); a shared secret is of kind `oct` and has 32 bytes or more.
   */
  readonly keys: { readonly keys: readonly unknown[] } | ((keyid: string) => unknown)
  /** Which of several signatures is meant. Default: `mintmark`. */
  readonly tag?: string | undefined
  /** Seconds by which clocks may differ, up to 30. Default: 10. */
  readonly leewaySeconds?: number | undefined
  /** How old a signature may be, in seconds. Default: 60. */
  readonly maxAgeSeconds?: number | undefined
  /** How many nonces are remembered. When they are full, requests are refused. Default: 100,000. */
  readonly noncesRememberedMax?: number | undefined
  /** Seconds since 1970. For tests. */
  readonly nowSeconds?: (() => number) | undefined
}

export interface RequestVerifier {
  /**
   * Checks that a request was signed by a key that is known, is as it was signed, is recent, and came once.
   * @param boundTo `cnf.jkt` of the caller’s token: then the signature must be by that key.
   * @throws VerifyError if not.
   */
  verify(
    request: SignedRequest,
    context?: { readonly boundTo?: string | undefined },
  ): Promise<{ readonly keyid: string }>
}

type Header = readonly [name: string, value: string]
type Key =
  | { readonly algorithm: string; readonly jwk: JWK; isRight(data: Buffer, signature: Buffer): boolean }
  | undefined

const nonceCharactersMax = 256
const componentsMax = 32
const sharedSecretBytesMin = 32

/** Verifies signed requests (RFC 9421) with a digest of their body (RFC 9530). */
export function createRequestVerifier(options: RequestVerifierOptions): RequestVerifier {
  const { tag = 'mintmark', leewaySeconds = 10, maxAgeSeconds = 60, keys } = options
  const { noncesRememberedMax = 100_000, nowSeconds = () => Date.now() / 1000 } = options
  if (!(leewaySeconds >= 0 && leewaySeconds <= 30))
    throw new TypeError('createRequestVerifier: leewaySeconds must be from 0 to 30.')
  const find = typeof keys === 'function' ? keys : inSet(keys)
  const replays = createReplayMemory(noncesRememberedMax)
  return {
    async verify(request, { boundTo } = {}) {
      const headers = pairsOf(request.headers)
      const { input, signature } = findSignature(headers, tag)
      const parameters = readParameters(input)
      const base = signatureBase(request, headers, input)
      const key = readKey(find(parameters.keyid))
      if (key === undefined) throw new VerifyError('request_key_unknown')
      if (boundTo !== undefined) await checkBinding(boundTo, parameters.keyid, key.jwk)
      if (parameters.alg !== undefined && parameters.alg !== key.algorithm)
        throw new VerifyError('request_algorithm_not_allowed')
      const now = nowSeconds()
      const { created, expires = Number.POSITIVE_INFINITY, keyid, nonce } = parameters
      const isNow =
        created >= now - maxAgeSeconds && created <= now + leewaySeconds && now < expires + leewaySeconds
      if (!isNow) throw new VerifyError('request_time_wrong')
      if (!key.isRight(Buffer.from(base), signature)) throw new VerifyError('request_signature_wrong')
      checkDigest(headers, request.body ?? '')
      const claim = replays.claim(JSON.stringify([keyid, nonce]), created + maxAgeSeconds, now)
      if (claim === 'replayed') throw new VerifyError('request_replayed')
      if (claim === 'full') throw new VerifyError('replay_memory_full')
      return { keyid }
    },
  }
}

/** The header fields with their names in lower case. */
function pairsOf(given: SignedRequest['headers']): Header[] {
  const pairs: Header[] = []
  let name: string | undefined
  for (const field of given) {
    if (typeof field !== 'string') pairs.push([field[0].toLowerCase(), field[1]])
    else if (name === undefined) name = field.toLowerCase()
    else {
      pairs.push([name, field])
      name = undefined
    }
  }
  return pairs
}

/** The one signature with the tag. A proxy may have added others (RFC 9421 §7.2.5). */
function findSignature(headers: readonly Header[], tag: string): { input: InnerList; signature: Buffer } {
  const [inputText, signatureText] = [fieldOf(headers, 'signature-input'), fieldOf(headers, 'signature')]
  if (inputText === undefined || signatureText === undefined)
    throw new VerifyError('request_signature_missing')
  const inputs = parseDictionary(inputText)
  const signatures = parseDictionary(signatureText)
  if (inputs === undefined || signatures === undefined) throw new VerifyError('request_signature_malformed')
  const [found, ...others] = [...inputs].filter(([, { parameters }]) => parameters.get('tag') === tag)
  if (found === undefined) throw new VerifyError('request_signature_missing')
  const [label, input] = found
  const member = signatures.get(label)
  if (others.length > 0 || !('items' in input) || member === undefined || !('value' in member))
    throw new VerifyError('request_signature_malformed')
  if (!Buffer.isBuffer(member.value)) throw new VerifyError('request_signature_malformed')
  return { input, signature: member.value }
}

function readParameters({ parameters }: InnerList) {
  const [created, expires, nonce, keyid, alg] = ['created', 'expires', 'nonce', 'keyid', 'alg'].map((name) =>
    parameters.get(name),
  )
  const isOf = (kind: 'string' | 'number', ...values: unknown[]): boolean =>
    values.every((value) => value === undefined || typeof value === kind)
  if (!isOf('number', created, expires) || !isOf('string', nonce, keyid, alg))
    throw new VerifyError('request_signature_malformed')
  if (typeof created !== 'number' || typeof keyid !== 'string' || typeof nonce !== 'string')
    throw new VerifyError('request_parameter_missing')
  if (nonce === '' || nonce.length > nonceCharactersMax) throw new VerifyError('request_parameter_missing')
  return { created, expires: expires as number | undefined, nonce, keyid, alg: alg as string | undefined }
}

/** What was signed (RFC 9421 §2.5). */
function signatureBase(request: SignedRequest, headers: readonly Header[], input: InnerList): string {
  // Each is looked for among all headers, and anybody can name as many as there are.
  if (input.items.length > componentsMax) throw new VerifyError('request_signature_malformed')
  const names = input.items.map(({ value, parameters }) => {
    if (typeof value !== 'string') throw new VerifyError('request_signature_malformed')
    // Parameters of a component say that another value is meant, such as one parameter of the query.
    if (parameters.size > 0) throw new VerifyError('request_component_unsupported')
    return value
  })
  if (new Set(names).size < names.length) throw new VerifyError('request_signature_malformed')
  const values = names.map((name) => componentOf(name, request, headers))
  const hasBody = request.body !== undefined && request.body.length > 0
  const needed = [
    '@method',
    '@target-uri',
    ...(fieldOf(headers, 'authorization') === undefined ? [] : ['authorization']),
    ...(hasBody || fieldOf(headers, 'content-digest') !== undefined ? ['content-digest'] : []),
  ]
  if (values.includes(undefined) || !needed.every((name) => names.includes(name)))
    throw new VerifyError('request_component_missing')
  const lines = names.map((name, index) => `"${name}": ${values[index]}`)
  return [...lines, `"@signature-params": ${serializeInnerList(input)}`].join('\n')
}

/** The value of a component (RFC 9421 §2.1, §2.2); undefined if the request does not have it. */
function componentOf(
  name: string,
  { method, url }: SignedRequest,
  headers: readonly Header[],
): string | undefined {
  if (!name.startsWith('@')) return fieldOf(headers, name)
  const { protocol, host, pathname, search } = new URL(url)
  switch (name) {
    case '@method':
      return method
    case '@target-uri':
      return String(url)
    case '@authority':
      return host
    case '@scheme':
      return protocol.slice(0, -1)
    case '@path':
      return pathname
    case '@query':
      return search === '' ? '?' : search
    case '@request-target':
      return pathname + search
    default:
      throw new VerifyError('request_component_unsupported')
  }
}

/** All values of a header field, as one (RFC 9421 §2.1). */
function fieldOf(headers: readonly Header[], wanted: string): string | undefined {
  const values = headers.filter(([name]) => name === wanted).map(([, value]) => value.trim())
  return values.length === 0 ? undefined : values.join(', ')
}

function inSet({ keys }: { readonly keys: readonly unknown[] }): (keyid: string) => unknown {
  return (keyid) => {
    const [found, ...others] = keys.filter((jwk) => isObject(jwk) && jwk['kid'] === keyid)
    return others.length === 0 ? found : undefined
  }
}

/** The algorithm of a signature is that of its key, whatever the signature says (RFC 9421 §3.2). */
function readKey(jwk: unknown): Key {
  if (!isObject(jwk)) return undefined
  if (jwk['kty'] === 'oct') return readSharedSecret(jwk as JWK)
  const alg = algorithmNamed(jwk['alg'])
  const key = alg === 'ES256' || alg === 'EdDSA' ? readPublicKey(jwk, alg) : undefined
  if (key === undefined) return undefined
  const algorithm = alg === 'ES256' ? 'ecdsa-p256-sha256' : 'ed25519'
  return { algorithm, jwk: jwk as JWK, isRight: (data, signature) => isSignedBy(key, data, signature) }
}

function readSharedSecret(jwk: JWK): Key {
  const secret = typeof jwk.k === 'string' ? base64urlDecoded(jwk.k) : undefined
  if (secret === undefined || secret.length < sharedSecretBytesMin) return undefined
  return {
    algorithm: 'hmac-sha256',
    jwk,
    isRight(data, signature) {
      const right = createHmac('sha256', secret).update(data).digest()
      return signature.length === right.length && timingSafeEqual(signature, right)
    },
  }
}

/** A caller signs with the key of its own token: else one could use the token of another. */
async function checkBinding(boundTo: string, keyid: string, jwk: JWK): Promise<void> {
  if (keyid !== boundTo || (await calculateJwkThumbprint(jwk)) !== boundTo)
    throw new VerifyError('request_key_wrong')
}

/** Each digest that is known must be that of the body, and there must be one (RFC 9530 §2). */
function checkDigest(headers: readonly Header[], body: Uint8Array | string): void {
  const text = fieldOf(headers, 'content-digest')
  if (text === undefined) return
  const digests = parseDictionary(text)
  const known = (['sha-256', 'sha-512'] as const).filter((algorithm) => digests?.has(algorithm))
  const isRight = (algorithm: (typeof known)[number]): boolean => {
    const member = digests?.get(algorithm)
    const digest = createHash(algorithm.replace('-', '')).update(body).digest()
    return (
      member !== undefined &&
      'value' in member &&
      Buffer.isBuffer(member.value) &&
      digest.equals(member.value)
    )
  }
  if (known.length === 0 || !known.every(isRight)) throw new VerifyError('request_digest_wrong')
}
