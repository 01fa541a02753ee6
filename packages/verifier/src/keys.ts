import { constants, createPublicKey, type JsonWebKey, type KeyObject, verify } from 'node:crypto'
import { base64urlDecoded, type JsonObject } from './compact.ts'

/** The algorithms of RFC 7518 §3.1 and RFC 8037 §3.1 that Mintmark signs with. */
export const algorithms = ['ES256', 'EdDSA', 'PS256', 'RS256'] as const
export type Algorithm = (typeof algorithms)[number]

export function isAlgorithm(value: unknown): value is Algorithm {
  return algorithms.some((algorithm) => algorithm === value)
}

/** A public key, and the only algorithm that it verifies (RFC 8725 §3.1). */
export interface VerificationKey {
  readonly algorithm: Algorithm
  readonly publicKey: KeyObject
  /** What the key is, as a text, to see whether two are the same. */
  readonly material: string
}

/** The keys of a set by `kid`. */
export type KeySet = ReadonlyMap<string, VerificationKey>

/** Bits of an RSA key (RFC 7518 §3.3). A longer one makes each verification slow. */
const rsaBits = { min: 2048, max: 8192 }

/** Members that only private and shared keys have. A set that shows one of them has given its key away. */
const secretMembers = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']

/**
 * The usable keys of a JWK Set (RFC 7517 §5). A key that is not usable is ignored, and the others work. A `kid` of two
 * keys is ignored with both, because nobody can say which one is meant.
 * @returns undefined if it is no set, or has no usable key.
 */
export function readKeySet(value: unknown): KeySet | undefined {
  if (!isObject(value) || !Array.isArray(value['keys'])) return undefined
  const found = new Map<string, VerificationKey | undefined>()
  for (const jwk of value['keys']) {
    if (!isObject(jwk) || typeof jwk['kid'] !== 'string' || jwk['kid'] === '') continue
    found.set(jwk['kid'], found.has(jwk['kid']) ? undefined : readPublishedKey(jwk))
  }
  const usable = [...found].filter((entry): entry is [string, VerificationKey] => entry[1] !== undefined)
  return usable.length === 0 ? undefined : new Map(usable)
}

function readPublishedKey(jwk: JsonObject): VerificationKey | undefined {
  const { alg } = jwk
  return isAlgorithm(alg) ? readPublicKey(jwk, alg) : undefined
}

/** The algorithm that a proof or a key names. EdDSA has two names (RFC 9864). */
export const algorithmNamed = (alg: unknown): unknown => (alg === 'Ed25519' ? 'EdDSA' : alg)

/** The members that a key of each algorithm has (RFC 7518 §6, RFC 8037 §2). */
const kinds: Readonly<Record<Algorithm, { kty: string; crv?: string; values: readonly string[] }>> = {
  ES256: { kty: 'EC', crv: 'P-256', values: ['x', 'y'] },
  EdDSA: { kty: 'OKP', crv: 'Ed25519', values: ['x'] },
  PS256: { kty: 'RSA', values: ['n', 'e'] },
  RS256: { kty: 'RSA', values: ['n', 'e'] },
}

/** @returns undefined if it is no public key for the algorithm. */
export function readPublicKey(jwk: unknown, algorithm: Algorithm): VerificationKey | undefined {
  if (!isObject(jwk) || secretMembers.some((name) => name in jwk) || !isFor(jwk, algorithm)) return undefined
  const { kty, crv, values } = kinds[algorithm]
  if (jwk['kty'] !== kty || (crv !== undefined && jwk['crv'] !== crv)) return undefined
  // Only what makes the key is handed on.
  const members: Record<string, string> = { kty, ...(crv !== undefined && { crv }) }
  for (const name of values) {
    const value = jwk[name]
    if (typeof value !== 'string' || value === '' || base64urlDecoded(value) === undefined) return undefined
    members[name] = value
  }
  if (kty === 'RSA' && !isSoundRsa(members)) return undefined
  try {
    const publicKey = createPublicKey({ key: members as JsonWebKey, format: 'jwk' })
    return { algorithm, publicKey, material: JSON.stringify(members) }
  } catch {
    // Not on the curve, for example.
    return undefined
  }
}

/** Whether a key may verify signatures of this algorithm, as far as it says what it is for (RFC 7517 §4.2 to §4.4). */
function isFor({ alg, use, key_ops: operations }: JsonObject, algorithm: Algorithm): boolean {
  if (alg !== undefined && algorithmNamed(alg) !== algorithm) return false
  if (use !== undefined && use !== 'sig') return false
  return operations === undefined || (Array.isArray(operations) && operations.includes('verify'))
}

/** With the exponent 1 everybody can sign, and with an even one nobody can. OpenSSL takes both. */
function isSoundRsa({ n = '', e = '' }: Record<string, string>): boolean {
  const modulus = base64urlDecoded(n) ?? Buffer.alloc(0)
  const exponent = base64urlDecoded(e) ?? Buffer.alloc(0)
  const bits = modulus.length * 8 - Math.clz32(modulus[0] ?? 0) + 24
  const isOdd = ((exponent.at(-1) ?? 0) & 1) === 1
  const isAboveOne = exponent.length > 1 || (exponent[0] ?? 0) > 1
  const isLong = bits >= rsaBits.min && bits <= rsaBits.max
  return isLong && exponent.length <= 8 && isOdd && isAboveOne && !isGuessable(modulus)
}

const smallPrimes = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157]

/**
 * Keys that a widespread chip made can be factored (CVE-2017-15361, "ROCA"). Their primes are powers of 65537 modulo all small
 * primes together, so the modulus is one too. Of other keys one in a hundred million is.
 */
function isGuessable(modulus: Buffer): boolean {
  const n = BigInt(`0x${modulus.toString('hex')}`)
  return smallPrimes.every((prime) => {
    const rest = Number(n % BigInt(prime))
    let power = 1
    do {
      if (power === rest) return true
      power = (power * 65_537) % prime
    } while (power !== 1)
    return false
  })
}

/**
 * Whether the key made the signature. Synchronous, with a key that OpenSSL has read before: through WebCrypto the same
 * costs twice as much.
 */
export function isSignedBy(
  { algorithm, publicKey }: VerificationKey,
  data: Buffer,
  signature: Buffer,
): boolean {
  try {
    switch (algorithm) {
      case 'ES256':
        return signature.length === 64 && verify('sha256', data, publicKey, derSignature(signature))
      case 'EdDSA':
        return signature.length === 64 && verify(null, data, publicKey, signature)
      case 'RS256':
        return isWhole(signature, publicKey) && verify('sha256', data, publicKey, signature)
      case 'PS256': {
        const padding = constants.RSA_PKCS1_PSS_PADDING
        const saltLength = constants.RSA_PSS_SALTLEN_DIGEST
        const key = { key: publicKey, padding, saltLength }
        return isWhole(signature, publicKey) && verify('sha256', data, key, signature)
      }
    }
  } catch {
    // OpenSSL throws for some signatures that are of no use at all.
    return false
  }
}

/** OpenSSL also takes a signature of RSA without its leading zeros, which is another text (RFC 8017 §8.1.2, step 1). */
function isWhole(signature: Buffer, { asymmetricKeyDetails }: KeyObject): boolean {
  return signature.length === Math.ceil((asymmetricKeyDetails?.modulusLength ?? 0) / 8)
}

/**
 * A signature of JWS is two numbers of 32 bytes (RFC 7518 §3.4); OpenSSL reads a SEQUENCE of two INTEGERs. Node can
 * convert it too, for a third of what the verification costs.
 */
function derSignature(raw: Buffer): Buffer {
  const der = Buffer.allocUnsafe(72)
  const end = writeInteger(der, writeInteger(der, 2, raw, 0), raw, 32)
  der[0] = 0x30
  der[1] = end - 2
  return der.subarray(0, end)
}

/**
 * Writes a number without leading zeros, but with one if its first bit would be taken for a sign.
 * @returns where the next one goes.
 */
function writeInteger(der: Buffer, at: number, raw: Buffer, from: number): number {
  let start = from
  while (start < from + 31 && raw[start] === 0) start += 1
  const padding = (raw[start] ?? 0) >> 7
  const length = padding + from + 32 - start
  der[at] = 0x02
  der[at + 1] = length
  der[at + 2] = 0
  raw.copy(der, at + 2 + padding, start, from + 32)
  return at + 2 + length
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
