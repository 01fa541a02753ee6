import { createPublicKey, hash, type JsonWebKey, type KeyObject } from 'node:crypto'
import type { SigningAlgorithm } from '../keys/signing-algorithm.ts'
import { base64urlDecoded } from '../lib/base64url.ts'
import { limits } from '../limits.ts'
import type { RefusalReason } from '../refusals.ts'
import type { RegisteredKey } from '../registry/client.ts'

/**
 * The public keys of clients (RFC 7517, RFC 7518 §6, RFC 8037 §2): which ones may be registered, what names them, and how
 * they are read again. A key has exactly one algorithm, so no header of an assertion chooses one for it.
 */
export interface ClientKey {
  /** The thumbprint of RFC 7638. */
  readonly thumbprint: string
  readonly kid: string | undefined
  readonly algorithm: SigningAlgorithm
  /** The members that make the key, and no other. */
  readonly publicJwk: Readonly<Record<string, string>>
}

/** Why something is not a public key of a client. No message repeats a value, because it may be a private key. */
export type ClientKeyProblem =
  /** It is a private key. */
  { readonly privateMember: string } | { readonly problem: string }

/** The members of private and symmetric keys (RFC 7518 §6.2.2, §6.3.2 and §6.4.1). */
const privateMembers = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'] as const

/** The members of each kind of key in the order of their names, which is the order of RFC 7638 §3.2. */
const members: Readonly<Record<string, readonly string[]>> = {
  EC: ['crv', 'kty', 'x', 'y'],
  OKP: ['crv', 'kty', 'x'],
  RSA: ['e', 'kty', 'n'],
}

/** Reads a JWK that somebody wants to register. */
export function readClientKey(value: unknown): ClientKey | ClientKeyProblem {
  const read = readUncheckedKey(value)
  if (!('thumbprint' in read) || importKey(read) !== undefined) return read
  return { problem: noKey }
}

/** The same, without the check whether the key is a point of its curve: that costs as much as verifying a signature. */
export function readUncheckedKey(value: unknown): ClientKey | ClientKeyProblem {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return { problem: 'is no JSON Web Key: it must be a mapping with kty and more' }
  }
  const jwk = value as Readonly<Record<string, unknown>>
  // First of all, so that nothing else is said of a private key.
  const privateMember = privateMembers.find((member) => Object.hasOwn(jwk, member))
  if (privateMember !== undefined) return { privateMember }
  const { kty } = jwk
  const kind = typeof kty === 'string' && Object.hasOwn(members, kty) ? members[kty] : undefined
  if (kind === undefined) return { problem: 'has no kty that can be used: EC, OKP or RSA' }
  const publicJwk: Record<string, string> = {}
  for (const member of kind) {
    const text = jwk[member]
    if (typeof text !== 'string') return { problem: `lacks ${member}, which must be text` }
    publicJwk[member] = text
  }
  const problem = materialProblem(publicJwk) ?? usageProblem(jwk)
  if (problem !== undefined) return { problem }
  const { alg, kid } = jwk
  const fitting = fittingAlgorithms(publicJwk)
  const named = alg === 'Ed25519' ? 'EdDSA' : alg
  const algorithm = named === undefined ? fitting[0] : fitting.find((each) => each === named)
  if (algorithm === undefined) {
    return { problem: `has an alg that does not fit: ${fitting.join(' or ')} would` }
  }
  if (kid !== undefined && !isKeyId(kid)) {
    return { problem: `has a kid that is no text of 1 to ${limits.keyIdCharactersMax} printable characters` }
  }
  // Its members were set in the order of RFC 7638.
  const thumbprint = hash('sha256', JSON.stringify(publicJwk), 'base64url')
  return { thumbprint, kid, algorithm, publicJwk }
}

function isKeyId(value: unknown): value is string {
  return (
    typeof value === 'string' && /^[\x20-\x7e]+$/.test(value) && value.length <= limits.keyIdCharactersMax
  )
}

function usageProblem(jwk: Readonly<Record<string, unknown>>): string | undefined {
  const { use, key_ops: operations } = jwk
  if (use !== undefined && use !== 'sig') return 'is not for signatures: its use must be sig, or be left out'
  if (operations === undefined || (Array.isArray(operations) && operations.includes('verify')))
    return undefined
  return 'is not for signatures: its key_ops must have verify, or be left out'
}

const noKey = 'is no key: its numbers are malformed, or no point of the curve'
const coordinateBytes = 32

/** What is wrong with the key itself, as far as its form tells. @returns undefined if nothing is. */
function materialProblem(publicJwk: Readonly<Record<string, string>>): string | undefined {
  const { kty, crv, x = '', y, n = '', e = '' } = publicJwk
  if (kty === 'EC' && crv !== 'P-256') return 'is on a curve that cannot be used: it must be P-256'
  if (kty === 'OKP' && crv !== 'Ed25519') return 'is on a curve that cannot be used: it must be Ed25519'
  if (kty === 'OKP' && isSmallOrder(base64urlDecoded(x)))
    return 'is a point of small order: it verifies anything'
  if (kty === 'RSA') return rsaProblem(base64urlDecoded(n), base64urlDecoded(e))
  const coordinates = y === undefined ? [x] : [x, y]
  const areWhole = coordinates.every((text) => base64urlDecoded(text)?.length === coordinateBytes)
  return areWhole ? undefined : noKey
}

function rsaProblem(modulus: Buffer | undefined, exponent: Buffer | undefined): string | undefined {
  if (modulus === undefined || modulus.length === 0 || exponent === undefined) {
    return 'is no key: its numbers are not base64url'
  }
  const [first, last] = [modulus.readUInt8(0), modulus.readUInt8(modulus.length - 1)]
  const bits = modulus.length * 8 - Math.clz32(first) + 24
  const { clientKeyBitsMin: least, clientKeyBitsMax: most } = limits
  if (first === 0 || bits < least || bits > most)
    return `has an RSA modulus that is not of ${least} to ${most} bits`
  // Small exponents have made many forgeries possible. All keys that are made today have this one.
  const isUsual = exponent.equals(Buffer.from([1, 0, 1]))
  return isUsual && last % 2 === 1
    ? undefined
    : 'has an RSA exponent that is not 65537 (AQAB), or an even modulus'
}

/**
 * The points of Ed25519 whose order divides 8, as they are written, without the sign bit. Under such a key somebody without
 * a private key can make a signature for any text.
 */
const smallOrder: ReadonlySet<string> = new Set([
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
])

function isSmallOrder(point: Buffer | undefined): boolean {
  if (point?.length !== 32) return false
  const unsigned = Buffer.from(point)
  unsigned.writeUInt8(unsigned.readUInt8(31) & 0x7f, 31)
  return smallOrder.has(unsigned.toString('hex'))
}

/** The key of a JWK whose form is right. @returns undefined if its numbers do not make a key. */
export function importKey({ publicJwk }: Pick<ClientKey, 'publicJwk'>): KeyObject | undefined {
  try {
    return createPublicKey({ key: publicJwk as JsonWebKey, format: 'jwk' })
  } catch {
    return undefined
  }
}

/** The first one is for a key without `alg`. RS256 only where it is asked for: its padding is the old one (RFC 8725 §3.2). */
function fittingAlgorithms({ kty }: Readonly<Record<string, string>>): readonly SigningAlgorithm[] {
  if (kty === 'EC') return ['ES256']
  return kty === 'OKP' ? ['EdDSA'] : ['PS256', 'RS256']
}

/** Why a key is no longer valid; undefined while it is. */
export function keyRefusal({ revokedAt, expiresAt }: RegisteredKey, now: number): RefusalReason | undefined {
  // This does not depend on the clock: a replica whose clock is behind must not accept a revoked key.
  if (revokedAt !== undefined) return 'client_key_revoked'
  return expiresAt !== undefined && expiresAt <= now ? 'client_key_expired' : undefined
}

/** The parts of a key that are needed to verify with it, whether it is registered or published. */
export type VerifyingKey = Pick<RegisteredKey, 'thumbprint' | 'algorithm' | 'publicJwk'>

const keyObjects = new WeakMap<VerifyingKey, KeyObject | 'unusable'>()

/**
 * The key to verify with. Its row is read as strictly as a new key, because somebody may have written it by hand.
 * @returns undefined when the row is no key, or not the one that its thumbprint names.
 */
export function publicKeyOf(registered: VerifyingKey): KeyObject | undefined {
  let key = keyObjects.get(registered)
  if (key === undefined) {
    const { publicJwk, thumbprint, algorithm } = registered
    const read = readUncheckedKey({ ...publicJwk, alg: algorithm })
    const isNamed = 'thumbprint' in read && read.thumbprint === thumbprint
    key = (isNamed ? importKey(read) : undefined) ?? 'unusable'
    keyObjects.set(registered, key)
  }
  return key === 'unusable' ? undefined : key
}
