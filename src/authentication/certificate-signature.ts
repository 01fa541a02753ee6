import { constants, type KeyObject, verify } from 'node:crypto'
import { DerReader, type DerValue, objectIdentifierText, tags } from '../lib/der.ts'

/** The signatures of CAs that count: SHA-2, under RSA, ECDSA or EdDSA. MD5 and SHA-1 have been forged. */
interface SignatureAlgorithm {
  /** Null where the algorithm has its own. */
  readonly digest: 'sha256' | 'sha384' | 'sha512' | null
  readonly isPss?: true
}

const algorithms: Readonly<Record<string, SignatureAlgorithm>> = {
  '1.2.840.113549.1.1.11': { digest: 'sha256' },
  '1.2.840.113549.1.1.12': { digest: 'sha384' },
  '1.2.840.113549.1.1.13': { digest: 'sha512' },
  '1.2.840.10045.4.3.2': { digest: 'sha256' },
  '1.2.840.10045.4.3.3': { digest: 'sha384' },
  '1.2.840.10045.4.3.4': { digest: 'sha512' },
  // Ed25519 and Ed448.
  '1.3.101.112': { digest: null },
  '1.3.101.113': { digest: null },
}

const pss = '1.2.840.113549.1.1.10'

/** The parameters of RSASSA-PSS begin with the hash. Without it SHA-1 is meant (RFC 4055 §3.1). */
const pssDigest = /^30(?:[0-7].|81..)a0(?:0f300d|0d300b)060960864801650304020([123])/
const pssDigests: Readonly<Record<string, 'sha256' | 'sha384' | 'sha512'>> = {
  1: 'sha256',
  2: 'sha384',
  3: 'sha512',
}

/** Of an AlgorithmIdentifier (RFC 5280 §4.1.1.2). */
function algorithmOf({ content }: DerValue): SignatureAlgorithm | undefined {
  const reader = new DerReader(content)
  const algorithm = objectIdentifierText(reader.next(tags.objectIdentifier))
  if (algorithm !== pss) return Object.hasOwn(algorithms, algorithm) ? algorithms[algorithm] : undefined
  const parameters = reader.isAtEnd ? '' : reader.next().whole.toString('hex')
  const [, which = ''] = pssDigest.exec(parameters) ?? []
  const digest = pssDigests[which]
  return digest === undefined ? undefined : { digest, isPss: true }
}

export const isStrongSignature = (identifier: DerValue): boolean => algorithmOf(identifier) !== undefined

/** Whether a signature is right and strong. It is for revocation lists, which Node does not verify itself. */
export function isSignatureRight(
  identifier: DerValue,
  signed: Buffer,
  signature: Buffer,
  key: KeyObject,
): boolean {
  const algorithm = algorithmOf(identifier)
  if (algorithm === undefined) return false
  try {
    const padding = algorithm.isPss ? { padding: constants.RSA_PKCS1_PSS_PADDING } : {}
    return verify(algorithm.digest, signed, { key, ...padding }, signature)
  } catch {
    // The key is of another kind.
    return false
  }
}
