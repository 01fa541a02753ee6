import { constants, type KeyObject, verify } from 'node:crypto'
import type { SigningAlgorithm } from '../keys/signing-algorithm.ts'
import type { RegisteredKey } from '../registry/client.ts'
import { publicKeyOf, readClientKey, type VerifyingKey } from './client-key.ts'
import type { SignedJwt } from './signed-jwt.ts'

/**
 * Verifies the signature of an assertion or a proof (RFC 7515 §5.2). It is synchronous and runs on the event loop: in the thread pool
 * it would wait for argon2 hashes.
 */
export const verifiers: Readonly<
  Record<SigningAlgorithm, (input: Buffer, key: KeyObject, signature: Buffer) => boolean>
> = {
  // OpenSSL verifies in DER and we convert. The raw form costs half as much again.
  ES256: (input, key, signature) =>
    signature.length === 64 && verify('sha256', input, key, derSignature(signature)),
  EdDSA: (input, key, signature) => verify(null, input, key, signature),
  PS256: (input, key, signature) =>
    isWhole(signature, key) &&
    verify(
      'sha256',
      input,
      { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST },
      signature,
    ),
  RS256: (input, key, signature) =>
    isWhole(signature, key) &&
    verify('sha256', input, { key, padding: constants.RSA_PKCS1_PADDING }, signature),
}

/** OpenSSL also takes a signature without its leading zeros, which is another text (RFC 8017 §8.1.2, step 1). */
function isWhole(signature: Buffer, key: KeyObject): boolean {
  return signature.length === Math.ceil((key.asymmetricKeyDetails?.modulusLength ?? 0) / 8)
}

/** Two numbers of 32 bytes each (RFC 7518 §3.4) as a SEQUENCE of two INTEGERs. */
function derSignature(raw: Buffer): Buffer {
  const [firstStart, secondStart] = [numberStart(raw, 0), numberStart(raw, 32)]
  const [firstLength, secondLength] = [
    integerLength(raw, firstStart, 32),
    integerLength(raw, secondStart, 64),
  ]
  const der = Buffer.alloc(6 + firstLength + secondLength)
  der[0] = 0x30
  der[1] = 4 + firstLength + secondLength
  writeInteger(der, 2, firstLength, raw, firstStart, 32)
  writeInteger(der, 4 + firstLength, secondLength, raw, secondStart, 64)
  return der
}

/** Where a number begins without its leading zeros. One byte is left of zero. */
function numberStart(raw: Buffer, start: number): number {
  let at = start
  while (at < start + 31 && raw[at] === 0) at += 1
  return at
}

/** A number whose first bit is set has a zero before it, because integers of DER have a sign. */
function integerLength(raw: Buffer, start: number, end: number): number {
  return end - start + ((raw[start] ?? 0) >> 7)
}

function writeInteger(
  der: Buffer,
  at: number,
  length: number,
  raw: Buffer,
  start: number,
  end: number,
): void {
  der[at] = 0x02
  der[at + 1] = length
  raw.copy(der, at + 2 + length - (end - start), start, end)
}

/**
 * Whether a key made the signature. Without a key the signature is still verified, under a key that nobody has, so that
 * the time does not show which clients and keys exist.
 */
export function isSignedBy(
  assertion: Pick<SignedJwt, 'algorithm' | 'signedBytes' | 'signature'>,
  registered: VerifyingKey | undefined,
): boolean {
  const { algorithm, signedBytes, signature } = assertion
  const key = registered === undefined ? undefined : publicKeyOf(registered)
  const isRight = verifiers[algorithm](signedBytes, key ?? decoyOf(algorithm), signature)
  return key !== undefined && isRight
}

function decoyOf(algorithm: SigningAlgorithm): KeyObject {
  return publicKeyOf(decoys[algorithm]) as KeyObject
}

/** Public keys whose private halves were never kept. */
const decoys: Readonly<Record<SigningAlgorithm, RegisteredKey>> = {
  ES256: decoy('ES256', {
    kty: 'EC',
    crv: 'P-256',
    x: 'INh38ENYZKs6mclO_CQ7RANwNQOJlkRqhYuvgVohrTo',
    y: 'jMEvv8nVvTG4BF1hUx2itIBQR_pLeegtkfXUawH1hVo',
  }),
  EdDSA: decoy('EdDSA', { kty: 'OKP', crv: 'Ed25519', x: 'nRqLrm8LU3-8IKKmhojrfGi8KuiceqtasjvxxQQHFCY' }),
  PS256: decoy('PS256', rsaDecoy()),
  RS256: decoy('RS256', rsaDecoy()),
}

function rsaDecoy() {
  const n =
    '1oiIm2vIGWpFM_GpKgK6E8xsyGZWfGPBci121HuIkpl8EWtKTGN_MOZTy_K2nvX_PJzIVJhk552vtuRrZRlG6D' +
    'T9Krfq3ivqQyYPXqv3RwWmYWG1YdwqjlxL7XEQS2Prxu_topcVamG4-LmGGDpa5q925UwBjOx0HKI59gv1u2R1' +
    'W734ulVhh-6Q-X-qFt6r-wlYL8qvk7LLiIycbVt822RX8WS4knk8XBGRh6emnEvc1wm9vmsi6mWGrnLUg2uTiI' +
    'kh8vGDLOQDHKSKNy6cc59EpmOPZjGGJpdJxYgyOWxq7p8Y6UgGm_6HV08fgbSkDzFzpB-CnHFKCFA-SrBmyQ'
  return { kty: 'RSA', n, e: 'AQAB' }
}

function decoy(algorithm: SigningAlgorithm, publicJwk: Readonly<Record<string, string>>): RegisteredKey {
  const read = readClientKey({ ...publicJwk, alg: algorithm })
  if (!('thumbprint' in read)) throw new Error('a decoy is no key')
  return { ...read, expiresAt: undefined, revokedAt: undefined }
}
