import { createPrivateKey, X509Certificate } from 'node:crypto'
import { createSecureContext, type SecureContextOptions } from 'node:tls'
import { OperatorError } from './errors.ts'
import { type Environment, isSet, readSetting, type SettingName } from './settings.ts'

/** What the settings of TLS and of certificates mean, and which of them make no sense together. For config.ts. */

export interface TlsPair {
  readonly certificate: string
  readonly privateKey: string
}

export interface MtlsListener {
  readonly port: number
  readonly url: string
}

export interface CertificateProxy {
  /** The form of its header. */
  readonly form: 'rfc9440' | 'nginx' | 'xfcc'
  /** What its own certificate is known by: `sha256:…`, `dns:…` or `uri:…`. */
  readonly names: readonly string[]
}

/** In PEM. Without authorities only those certificates count that clients are registered with. */
export interface CertificateTrust {
  readonly authorities: string | undefined
  readonly revocationLists: string | undefined
}

interface TlsConfig {
  readonly port: number
  readonly tls: TlsPair | undefined
  readonly clientTrust: CertificateTrust | undefined
  readonly requiresClientCertificate: boolean
  readonly mtls: MtlsListener | undefined
  readonly certificateProxy: CertificateProxy | undefined
  readonly proxySocket: string | undefined
}

const mtlsSettings = [
  'MINTMARK_REQUIRE_CLIENT_CERTIFICATE',
  'MINTMARK_TLS_CLIENT_CRL',
  'MINTMARK_MTLS_PORT',
  'MINTMARK_MTLS_URL',
  'MINTMARK_CLIENT_CERTIFICATE_HEADER',
  'MINTMARK_CLIENT_CERTIFICATE_PROXY',
] as const satisfies readonly SettingName[]

/**
 * Refuses settings about certificates if no caller is asked for one: they would look like protection, but protect
 * nothing.
 */
export function refuseUselessMtls(config: TlsConfig, environment: Environment): void {
  if (config.clientTrust === undefined) {
    const useless = mtlsSettings.find(
      (name) => isSet(environment, name) && readSetting(environment, name) !== 'no',
    )
    if (useless !== undefined)
      throw new OperatorError(
        `${useless}: needs MINTMARK_TLS_CLIENT_CA, so that callers are asked for a certificate.`,
      )
    return
  }
  if (config.tls === undefined && config.proxySocket === undefined)
    throw new OperatorError(
      'MINTMARK_TLS_CLIENT_CA: needs MINTMARK_TLS_CERTIFICATE: certificates are for TLS. Or set MINTMARK_PROXY_SOCKET: then a proxy has them.',
    )
  if (config.requiresClientCertificate && config.clientTrust.authorities === undefined)
    throw new OperatorError(
      'MINTMARK_REQUIRE_CLIENT_CERTIFICATE: needs CAs in MINTMARK_TLS_CLIENT_CA. With "none", every request would be refused.',
    )
  refuseHalfAProxy(config, environment, config.clientTrust.authorities)
  if (config.mtls?.port === config.port)
    throw new OperatorError('MINTMARK_MTLS_PORT: must be another port than PORT.')
  if (config.mtls === undefined && isSet(environment, 'MINTMARK_MTLS_URL'))
    throw new OperatorError(
      'MINTMARK_MTLS_URL: needs MINTMARK_MTLS_PORT: it is the URL of the listener there.',
    )
}

/** Without a named proxy anybody could send the header, and without a CA anybody could use the name. */
function refuseHalfAProxy(
  { certificateProxy }: TlsConfig,
  environment: Environment,
  authorities: string | undefined,
): void {
  const [header, proxy] = ['MINTMARK_CLIENT_CERTIFICATE_HEADER', 'MINTMARK_CLIENT_CERTIFICATE_PROXY'] as const
  if (isSet(environment, proxy) && !isSet(environment, header))
    throw new OperatorError(`${header}: must be set with the proxy.`)
  if (isSet(environment, header) && certificateProxy === undefined)
    throw new OperatorError(
      `${proxy}: must be set with the header: it names the certificate by which the proxy proves itself. Or set MINTMARK_PROXY_SOCKET for a proxy on this machine.`,
    )
  const name = certificateProxy?.names.find((each) => !each.startsWith('sha256:'))
  if (name !== undefined && authorities === undefined)
    throw new OperatorError(
      `${proxy}: "${name}" needs CAs in MINTMARK_TLS_CLIENT_CA: anybody can write a name into a certificate. Or name its fingerprint with sha256:.`,
    )
}

export function pairOfTls(
  certificate: string | undefined,
  privateKey: string | undefined,
): TlsPair | undefined {
  if (certificate === undefined && privateKey === undefined) return undefined
  if (certificate === undefined)
    throw new OperatorError('MINTMARK_TLS_CERTIFICATE: must be set with the private key.')
  if (privateKey === undefined)
    throw new OperatorError('MINTMARK_TLS_PRIVATE_KEY: must be set with the certificate.')
  tryTls('MINTMARK_TLS_CERTIFICATE', { cert: certificate })
  tryTls('MINTMARK_TLS_PRIVATE_KEY', { cert: certificate, key: privateKey })
  // TLS notices this only if both are of the same kind. A key of another kind would be loaded beside the
  // certificate, and every connection would fail.
  const key = createPrivateKey(privateKey)
  if (!new X509Certificate(certificate).checkPrivateKey(key)) throw new OperatorError(otherKey)
  // It would be loaded, and no connection could be made.
  const curve = key.asymmetricKeyDetails?.namedCurve
  if (curve !== undefined && !['prime256v1', 'secp384r1', 'secp521r1'].includes(curve))
    throw new OperatorError(
      `MINTMARK_TLS_PRIVATE_KEY: TLS cannot use it: its curve is ${curve}. Use P-256 (prime256v1), Ed25519 or RSA.`,
    )
  return { certificate, privateKey }
}

export function trustOf(
  authorities: string | undefined,
  revocationLists: string | undefined,
): CertificateTrust | undefined {
  if (authorities === undefined) return undefined
  return { authorities: authorities === 'none' ? undefined : authorities, revocationLists }
}

/** One without the other stops the start (`refuseHalfAProxy`). */
export function certificateProxyOf(
  form: CertificateProxy['form'] | undefined,
  names: readonly string[] | undefined,
): CertificateProxy | undefined {
  return form === undefined || names === undefined ? undefined : { form, names }
}

/**
 * Callers reach it under the issuer's name and path, unless it is said otherwise.
 * @param issuer is asked for only if it is needed.
 */
export function mtlsOf(
  port: number | undefined,
  url: string | undefined,
  issuer: () => string,
): MtlsListener | undefined {
  if (port === undefined) return undefined
  if (url !== undefined) return { port, url }
  const own = new URL(issuer())
  own.port = String(port)
  return { port, url: own.href.replace(/\/$/, '') }
}

const otherKey =
  'MINTMARK_TLS_PRIVATE_KEY: TLS cannot use it: it is not the key of the certificate. In the file of the certificate, ' +
  'that of the service is the first one, and those of CAs stand behind it.'

/**
 * Checks that TLS can use the values. Otherwise broken PEM or a key of another certificate would fail later.
 */
function tryTls(name: SettingName, options: SecureContextOptions): void {
  try {
    createSecureContext(options)
  } catch (error) {
    const problem = (error as Error).message.split(':').at(-1)
    if (problem === 'key values mismatch') throw new OperatorError(otherKey, { cause: error })
    throw new OperatorError(`${name}: TLS cannot use it: ${problem}.`, { cause: error })
  }
}

const certificateBlock = /-----BEGIN CERTIFICATE-----[\s\S]*?(?:-----END CERTIFICATE-----|$)/g

export function checkedAuthorities(authorities: string | undefined): string | undefined {
  try {
    for (const [block] of authorities?.matchAll(certificateBlock) ?? []) new X509Certificate(block)
  } catch (error) {
    const problem = 'a certificate in it cannot be read'
    throw new OperatorError(`MINTMARK_FETCH_CERTIFICATE_AUTHORITIES: ${problem}.`, { cause: error })
  }
  return authorities
}
