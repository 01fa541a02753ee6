import {
  constants,
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type JsonWebKey,
  KeyObject,
  sign,
} from 'node:crypto'

/** A private key as a program has it: PEM, a JSON Web Key, or a KeyObject of Node. */
export type PrivateKey = string | JsonWebKey | KeyObject

/** The algorithms that Mintmark accepts from clients. */
export type SigningAlgorithm = 'ES256' | 'EdDSA' | 'PS256' | 'RS256'

export interface SigningKey {
  readonly algorithm: SigningAlgorithm
  readonly privateKey: KeyObject
  /** Its public half: the members that its thumbprint is made of (RFC 7638 §3.2). */
  readonly publicJwk: Readonly<Record<string, string>>
  readonly thumbprint: string
}

/**
 * @param wanted RS256 for an RSA key that is registered for it. Otherwise the key says what it signs with.
 * @throws TypeError if the key cannot be read or is of another kind. The message has nothing of the key in it.
 */
export function readPrivateKey(given: PrivateKey, wanted?: SigningAlgorithm): SigningKey {
  const privateKey = keyObjectOf(given)
  const [usual, ...others] = algorithmsOf(privateKey)
  if (usual === undefined)
    throw new TypeError(
      'The private key must be on the curve P-256, an Ed25519 key, or RSA with 2048 bits or more.',
    )
  if (wanted !== undefined && ![usual, ...others].includes(wanted))
    throw new TypeError(`The private key cannot sign with ${wanted}.`)
  const publicJwk = thumbprintMembers(createPublicKey(privateKey).export({ format: 'jwk' }))
  const thumbprint = createHash('sha256').update(JSON.stringify(publicJwk)).digest('base64url')
  return { algorithm: wanted ?? usual, privateKey, publicJwk, thumbprint }
}

/** A key that lives as long as the process. */
export function generateKey(): SigningKey {
  return readPrivateKey(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey)
}

function keyObjectOf(given: PrivateKey): KeyObject {
  if (given instanceof KeyObject) {
    if (given.type !== 'private') throw new TypeError('The key must be a private one.')
    return given
  }
  try {
    return createPrivateKey(typeof given === 'string' ? given : { key: given, format: 'jwk' })
  } catch (error) {
    // OpenSSL's message says what it expected, and nothing of what it read.
    throw new TypeError(
      'The private key cannot be read. It must be PEM without a password, or a JSON Web Key.',
      {
        cause: error,
      },
    )
  }
}

function algorithmsOf({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): readonly SigningAlgorithm[] {
  if (asymmetricKeyType === 'ec' && asymmetricKeyDetails?.namedCurve === 'prime256v1') return ['ES256']
  if (asymmetricKeyType === 'ed25519') return ['EdDSA']
  if (asymmetricKeyType === 'rsa' && (asymmetricKeyDetails?.modulusLength ?? 0) >= 2_048)
    return ['PS256', 'RS256']
  return []
}

/** In the order of the alphabet, as the thumbprint needs them. */
function thumbprintMembers(jwk: JsonWebKey): Record<string, string> {
  return Object.fromEntries(
    ['crv', 'e', 'kty', 'n', 'x', 'y'].flatMap((name) => {
      const value = jwk[name]
      return typeof value === 'string' ? [[name, value]] : []
    }),
  )
}

/** A signature as JWS has it (RFC 7518 §3). */
export function signBytes({ privateKey, algorithm }: SigningKey, data: string): Buffer {
  const bytes = Buffer.from(data)
  if (algorithm === 'EdDSA') return sign(null, bytes, privateKey)
  if (algorithm === 'ES256') return sign('sha256', bytes, { key: privateKey, dsaEncoding: 'ieee-p1363' })
  if (algorithm === 'RS256') return sign('sha256', bytes, privateKey)
  const padding = constants.RSA_PKCS1_PSS_PADDING
  return sign('sha256', bytes, { key: privateKey, padding, saltLength: constants.RSA_PSS_SALTLEN_DIGEST })
}

/** A JSON Web Token (RFC 7519) in its compact form. */
export function signJwt(key: SigningKey, header: object, claims: object): string {
  const encoded = [{ alg: key.algorithm, ...header }, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.')
  return `${encoded}.${signBytes(key, encoded).toString('base64url')}`
}
