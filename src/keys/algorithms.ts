import { constants, generateKeyPair, type KeyObject, sign } from 'node:crypto'
import { promisify } from 'node:util'
import type { SigningAlgorithm } from './signing-algorithm.ts'

/**
 * How keys of an algorithm are generated and how they sign (RFC 7518 §3, RFC 8037 §3.1). `sign` is
 * synchronous and runs on the event loop. In the thread pool a signature would cost a third more and wait for
 * argon2 hashes.
 */
interface Algorithm {
  readonly generate: () => Promise<{ publicKey: KeyObject; privateKey: KeyObject }>
  readonly sign: (input: Buffer, key: KeyObject) => Buffer
}

const generate = promisify(generateKeyPair)

/** Bits of RSA keys. RFC 7518 §3.3 requires 2048 or more. */
const modulusLength = 2048

export const algorithms: Readonly<Record<SigningAlgorithm, Algorithm>> = {
  ES256: {
    generate: () => generate('ec', { namedCurve: 'P-256' }),
    // OpenSSL signs in DER and we convert it. The raw form from OpenSSL costs twice as much as the signature.
    sign: (input, key) => rawSignature(sign('sha256', input, key)),
  },
  EdDSA: {
    generate: () => generate('ed25519', {}),
    sign: (input, key) => sign(null, input, key),
  },
  PS256: {
    generate: () => generate('rsa', { modulusLength }),
    sign: (input, key) =>
      sign('sha256', input, {
        key,
        padding: constants.RSA_PKCS1_PSS_PADDING,
        saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
      }),
  },
  RS256: {
    generate: () => generate('rsa', { modulusLength }),
    sign: (input, key) => sign('sha256', input, key),
  },
}

/**
 * Converts an ECDSA signature from DER (a SEQUENCE of two INTEGERs) to the form of JWS: two numbers of 32
 * bytes each (RFC 7518 §3.4).
 */
export function rawSignature(der: Buffer): Buffer {
  const raw = Buffer.alloc(64)
  const firstLength = der.readUInt8(3)
  copyInteger(der.subarray(4, 4 + firstLength), raw, 32)
  const secondAt = 4 + firstLength
  copyInteger(der.subarray(secondAt + 2, secondAt + 2 + der.readUInt8(secondAt + 1)), raw, 64)
  return raw
}

/** A DER integer has no unneeded leading bytes, but one leading zero if its first bit is set. */
function copyInteger(integer: Buffer, target: Buffer, end: number): void {
  const digits = integer.length > 32 ? integer.subarray(integer.length - 32) : integer
  digits.copy(target, end - digits.length)
}
