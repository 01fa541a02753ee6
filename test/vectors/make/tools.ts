/** Keys, signatures and certificates for the vectors. All keys are made for one run of the script and dropped after it. */
import {
  checkPrimeSync,
  constants,
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  randomInt,
  sign,
} from 'node:crypto'

/** The moment of most cases: 2027-01-15T08:00:00Z. */
export const now = 1_800_000_000
export const issuer = 'https://mint.example'
export const audience = 'https://orders.example'

export type Algorithm = 'ES256' | 'EdDSA' | 'PS256' | 'RS256'
export type Jwk = Record<string, unknown>

export interface TestKey {
  readonly kid: string
  readonly alg: Algorithm
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
  /** As it is published, with `kid`, `alg` and `use`. */
  readonly jwk: Jwk
}

export function makeKey(alg: Algorithm, kid: string, modulusLength = 2048): TestKey {
  const { publicKey, privateKey } =
    alg === 'ES256'
      ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
      : alg === 'EdDSA'
        ? generateKeyPairSync('ed25519')
        : generateKeyPairSync('rsa', { modulusLength })
  return { kid, alg, privateKey, publicKey, jwk: { ...bareJwk(publicKey), kid, alg, use: 'sig' } }
}

/** A key as the chips of CVE-2017-15361 ("ROCA") made them: its primes are k·M + 65537^a mod M. Whoever knows that can factor it. */
export function makeRocaKey(kid: string): TestKey {
  const e = 65_537n
  const primes = Array.from({ length: 702 }, (_, n) => BigInt(n)).filter((n) => n > 1n && checkPrimeSync(n))
  const product = primes.reduce((left, right) => left * right)
  const find = (): bigint => {
    for (;;) {
      const k = BigInt(`0x${randomBytes(7).toString('hex')}`)
      const prime = k * product + powerModulo(e, BigInt(randomInt(1_000_000_000)), product)
      // The two highest bits are set, so that the modulus has 2,048.
      if (prime >> 1022n === 3n && checkPrimeSync(prime)) return prime
    }
  }
  const [p, q] = [find(), find()]
  const d = inverse(e, (p - 1n) * (q - 1n))
  const text = (value: bigint): string => {
    const digits = value.toString(16)
    return Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, 'hex').toString('base64url')
  }
  const [dp, dq, qi] = [d % (p - 1n), d % (q - 1n), inverse(q, p)]
  const key = {
    kty: 'RSA',
    n: text(p * q),
    e: text(e),
    d: text(d),
    p: text(p),
    q: text(q),
    dp: text(dp),
    dq: text(dq),
    qi: text(qi),
  }
  const privateKey = createPrivateKey({ key, format: 'jwk' })
  const publicKey = createPublicKey(privateKey)
  return {
    kid,
    alg: 'RS256',
    privateKey,
    publicKey,
    jwk: { ...bareJwk(publicKey), kid, alg: 'RS256', use: 'sig' },
  }
}

function powerModulo(base: bigint, exponent: bigint, modulus: bigint): bigint {
  let result = 1n
  for (
    let square = base % modulus, rest = exponent;
    rest > 0n;
    rest >>= 1n, square = (square * square) % modulus
  )
    if (rest & 1n) result = (result * square) % modulus
  return result
}

/** By Euclid's algorithm. */
function inverse(value: bigint, modulus: bigint): bigint {
  let [left, right, x, y] = [value % modulus, modulus, 1n, 0n]
  while (left !== 1n) {
    const quotient = right / left
    ;[left, right, x, y] = [right - quotient * left, left, y - quotient * x, x]
  }
  return ((x % modulus) + modulus) % modulus
}

/** Only what the key is. */
export const bareJwk = (key: KeyObject): Jwk => ({ ...key.export({ format: 'jwk' }) })

/** RFC 7638: the required members in the order of their names. */
export function thumbprint(key: KeyObject): string {
  const { crv, e, kty, n, x, y } = bareJwk(key)
  return sha256(JSON.stringify({ crv, e, kty, n, x, y }))
}

export const sha256 = (data: string | Buffer): string => createHash('sha256').update(data).digest('base64url')

export function signBytes(input: string, alg: Algorithm, key: KeyObject): Buffer {
  const data = Buffer.from(input)
  if (alg === 'EdDSA') return sign(null, data, key)
  if (alg === 'ES256') return sign('sha256', data, { key, dsaEncoding: 'ieee-p1363' })
  if (alg === 'RS256') return sign('sha256', data, key)
  const padding = constants.RSA_PKCS1_PSS_PADDING
  return sign('sha256', data, { key, padding, saltLength: constants.RSA_PSS_SALTLEN_DIGEST })
}

/** One part of a token. A text is taken as it is, a value becomes JSON. */
export const part = (value: unknown): string =>
  (Buffer.isBuffer(value)
    ? value
    : Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))
  ).toString('base64url')

/** @param header, payload a text or bytes are taken as they are. */
export function makeToken(key: TestKey, header: unknown, payload: unknown): string {
  return signParts(key, part(header), part(payload))
}

/** Signs parts that need not be encoded as they should be. */
export function signParts(key: TestKey, header: string, payload: string): string {
  const input = `${header}.${payload}`
  return `${input}.${signBytes(input, key.alg, key.privateKey).toString('base64url')}`
}

/** The order of the group of P-256. */
export const orderP256 = BigInt('0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551')

export const scalar = (value: bigint): Buffer => Buffer.from(value.toString(16).padStart(64, '0'), 'hex')

/** An ECDSA signature in DER, as OpenSSL writes it and JWS does not. */
export const derSignature = (input: string, key: KeyObject): Buffer => sign('sha256', Buffer.from(input), key)

// ── Certificates (RFC 5280), as small as they can be ───────────────────────────────────────────────────────────────

const der = (tag: number, ...contents: readonly Buffer[]): Buffer => {
  const content = Buffer.concat(contents)
  const { length } = content
  const head = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255]
  return Buffer.concat([Buffer.from([tag, ...head]), content])
}
const sequence = (...contents: readonly Buffer[]): Buffer => der(0x30, ...contents)
const ecdsaWithSha256 = sequence(Buffer.from('06082a8648ce3d040302', 'hex'))

/** UTCTime ends with the year 2049. */
const utcTime = (seconds: number): Buffer =>
  der(
    0x17,
    Buffer.from(
      `${new Date(seconds * 1000)
        .toISOString()
        .replace(/\.\d+|[-:T]/g, '')
        .slice(2)}`,
    ),
  )

function commonName(name: string): Buffer {
  const attribute = sequence(Buffer.from('0603550403', 'hex'), der(0x0c, Buffer.from(name)))
  return sequence(der(0x31, attribute))
}

/** Self-signed. Who trusts it is decided elsewhere: here only its bytes and its times count. */
export function makeCertificate(
  name: string,
  notBefore: number,
  notAfter: number,
  key = makeKey('ES256', name),
): string {
  const body = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.from([1])),
    ecdsaWithSha256,
    commonName(name),
    sequence(utcTime(notBefore), utcTime(notAfter)),
    commonName(name),
    key.publicKey.export({ type: 'spki', format: 'der' }),
  )
  const signature = sign('sha256', body, key.privateKey)
  const bytes = sequence(body, ecdsaWithSha256, der(0x03, Buffer.from([0]), signature))
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}

export const certificateThumbprint = (pem: string): string =>
  sha256(Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64'))
