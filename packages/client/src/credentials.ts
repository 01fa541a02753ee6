import { randomUUID } from 'node:crypto'
import { TokenError } from './errors.ts'
import { readCredentialFile } from './file.ts'
import { type PrivateKey, readPrivateKey, type SigningAlgorithm, type SigningKey, signJwt } from './key.ts'

/** What a token request carries to prove who sends it. */
export interface Proof {
  readonly headers?: Readonly<Record<string, string>>
  readonly parameters: Readonly<Record<string, string>>
}

/** Makes a proof for one request. An assertion counts once, so a request that is sent again needs another. */
export type Credentials = (context: { readonly issuer: string; readonly nowSeconds: number }) => Proof

export interface CredentialOptions {
  /** Only an assertion of another issuer can say by itself who the client is. */
  readonly clientId?: string | undefined
  readonly clientSecret?: string | undefined
  /** The path of a file with the secret, read for every use. */
  readonly clientSecretFile?: string | undefined
  readonly privateKey?: PrivateKey | undefined
  /** The path of a file with the private key, in PEM or as a JSON Web Key. Read for every use. */
  readonly privateKeyFile?: string | undefined
  /** The `kid` under which the public key is registered. Default: its thumbprint, which Mintmark knows too. */
  readonly keyId?: string | undefined
  /** RS256 for an RSA key that is registered for it. Otherwise the key says what it signs with. */
  readonly signingAlgorithm?: SigningAlgorithm | undefined
  /** The path of a file with an assertion of another issuer, such as a token of Kubernetes. Read for every use. */
  readonly assertionFile?: string | undefined
}

const ways = ['clientSecret', 'clientSecretFile', 'privateKey', 'privateKeyFile', 'assertionFile'] as const

/**
 * @param hasCertificate whether the connection proves who we are (RFC 8705 §2), if nothing else does.
 * @throws TypeError if the options do not say exactly one way.
 */
export function readCredentials(options: CredentialOptions, hasCertificate: boolean): Credentials {
  const given = ways.filter((way) => options[way] !== undefined)
  if (given.length > 1)
    throw new TypeError(`createTokenSource: give one of ${given.join(' and ')}, not both.`)
  if (given.length === 0 && !hasCertificate)
    throw new TypeError(`createTokenSource: give one of ${ways.join(', ')} or certificate.`)
  const { clientId, assertionFile } = options
  if (clientId === '' || (clientId === undefined && assertionFile === undefined))
    throw new TypeError('createTokenSource: clientId must be the id of the client.')
  const client = clientId === undefined ? {} : { client_id: clientId }
  if (assertionFile !== undefined)
    return () => ({ parameters: { ...client, ...assertion(readCredentialFile(assertionFile, 'assertion')) } })
  if (clientId === undefined || given.length === 0) return () => ({ parameters: client })
  return secretCredentials(clientId, options) ?? keyCredentials(clientId, options)
}

const assertion = (text: string) => ({
  client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
  client_assertion: text,
})

function secretCredentials(clientId: string, options: CredentialOptions): Credentials | undefined {
  const { clientSecret, clientSecretFile } = options
  if (clientSecret === '') throw new TypeError('createTokenSource: clientSecret is empty.')
  if (clientSecretFile === undefined && clientSecret === undefined) return undefined
  return () => {
    const secret = clientSecret ?? readCredentialFile(clientSecretFile ?? '', 'secret')
    // RFC 6749 §2.3.1: both parts are encoded as in a form before they are joined.
    const pair = [clientId, secret].map(formEncoded).join(':')
    return { headers: { authorization: `Basic ${Buffer.from(pair).toString('base64')}` }, parameters: {} }
  }
}

const formEncoded = (text: string): string => new URLSearchParams([['', text]]).toString().slice(1)

const assertionSeconds = 60

function keyCredentials(clientId: string, options: CredentialOptions): Credentials {
  const { privateKey, privateKeyFile, keyId, signingAlgorithm } = options
  const fixed = privateKey === undefined ? undefined : readPrivateKey(privateKey, signingAlgorithm)
  return ({ issuer, nowSeconds }) => {
    const key = fixed ?? readKeyFile(privateKeyFile ?? '', signingAlgorithm)
    const issuedAt = Math.floor(nowSeconds)
    const header = { typ: 'client-authentication+jwt', kid: keyId ?? key.thumbprint }
    const claims = {
      iss: clientId,
      sub: clientId,
      // RFC 10070: the issuer, and one text.
      aud: issuer,
      jti: randomUUID(),
      iat: issuedAt,
      exp: issuedAt + assertionSeconds,
    }
    return { parameters: assertion(signJwt(key, header, claims)) }
  }
}

/** @throws TokenError if the file has no key that can sign. */
function readKeyFile(path: string, algorithm?: SigningAlgorithm): SigningKey {
  const text = readCredentialFile(path, 'private key')
  try {
    return readPrivateKey(text.startsWith('{') ? JSON.parse(text) : text, algorithm)
  } catch (error) {
    // Of a text that is no JSON, the message of the parser quotes the beginning.
    const reason = error instanceof TypeError ? error.message : 'It is not JSON.'
    throw new TokenError('credential_unreadable', `${path}: ${reason}`)
  }
}
