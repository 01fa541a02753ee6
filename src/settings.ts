import { OperatorError } from './errors.ts'
import { isSigningAlgorithm, signingAlgorithms } from './keys/signing-algorithm.ts'
import { fileProblem, readBounded, settingFileBytesMax } from './lib/bounded-file.ts'
import { splitHosts } from './lib/database-hosts.ts'
import { isHost, isLimitedNetwork, isNetwork } from './lib/network.ts'
import { readSecretFile, SecretFileProblem } from './lib/secret-file.ts'
import { isServiceLink } from './lib/service-links.ts'
import { isPlainPath, isUnwrapped, shownValue, wrapping } from './lib/setting-text.ts'
import { didYouMean } from './lib/suggest.ts'
import { listOf, matching, oneOf, type Parse, textLike, wholeNumber } from './lib/text-parsers.ts'
import { limits } from './limits.ts'

/**
 * All settings, each with its form and bounds. A test compares this list with .env.example. What they mean together is
 * in config.ts.
 *
 * Long because it is one table, with the forms of its values.
 */

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const

const keyForm = /^(?:[A-Za-z0-9+/]{43}=?|[A-Za-z0-9_-]{43}|[0-9A-Fa-f]{64})$/
const keyBytes: Parse<Buffer> = (text) =>
  keyForm.test(text) ? Buffer.from(text, text.length === 64 ? 'hex' : 'base64') : undefined

interface Setting {
  readonly parse: Parse<unknown>
  /** Completes the sentence "NAME must be …". */
  readonly must: string
  /** The value must never appear in a message. */
  readonly secret?: true
}

/**
 * Each variable with its form. Instead of NAME, NAME_FILE can be set to the path of a file with the value.
 */
const settings = {
  HOST: { parse: textLike(isHost), must: 'a host name or an IP address, without a port' },
  PORT: { parse: wholeNumber(1, 65_535), must: 'a whole number from 1 to 65535' },
  WORKERS: {
    parse: wholeNumber(1, limits.workersMax),
    must: `a whole number from 1 to ${limits.workersMax}`,
  },
  DATABASE_URL: {
    parse: textLike(namesDatabase),
    must: 'a URL like postgresql://user:password@host:5432/database',
    secret: true,
  },
  MINTMARK_DATA_DIR: {
    parse: textLike(isPlainPath),
    must: 'the path of a directory, without quotes, a comment, "~", "$" or spaces around it',
  },
  MINTMARK_ISSUER: {
    parse: textLike(isIssuer),
    must: 'a URL without query, fragment, upper-case host, trailing slash or special characters in its path, for example https://tokens.example.com',
  },
  MINTMARK_KEY_ENCRYPTION_KEY: {
    parse: keyBytes,
    must: '32 bytes in base64 or hex; create a key with "openssl rand -base64 32"',
    secret: true,
  },
  MINTMARK_KEY_ENCRYPTION_KEY_PREVIOUS: {
    parse: keyBytes,
    must: '32 bytes in base64 or hex: the previous key-encryption key, until "keys rewrap" is done',
    secret: true,
  },
  MINTMARK_SEALED_REGISTRY: { parse: oneOf(['yes', 'no']), must: '"yes" or "no"' },
  MINTMARK_DPOP_NONCES: { parse: oneOf(['yes', 'no']), must: '"yes" or "no"' },
  MINTMARK_KEY_LIFETIME_SECONDS: {
    parse: wholeNumber(6, 999_999_999),
    must: 'a whole number of seconds, 6 or more',
  },
  MINTMARK_TOKEN_LIFETIME_SECONDS_MAX: {
    parse: wholeNumber(1, limits.tokenLifetimeSecondsMax),
    must: `a whole number of seconds from 1 to ${limits.tokenLifetimeSecondsMax}`,
  },
  MINTMARK_JWKS_MAX_AGE_SECONDS: {
    parse: wholeNumber(0, 86_400),
    must: 'a whole number of seconds from 0 to 86400',
  },
  MINTMARK_VERIFIER_COOLDOWN_SECONDS: {
    parse: wholeNumber(0, 86_400),
    must: 'a whole number of seconds from 0 to 86400',
  },
  MINTMARK_CLOCK_SKEW_SECONDS: {
    parse: wholeNumber(0, 3_600),
    must: 'a whole number of seconds from 0 to 3600',
  },
  MINTMARK_SIGNING_ALGORITHMS: {
    parse: listOf(isSigningAlgorithm),
    must: `a comma-separated list of ${signingAlgorithms.join(', ')}`,
  },
  MINTMARK_TLS_CERTIFICATE: {
    parse: matching(/-----BEGIN CERTIFICATE-----/),
    must: 'a certificate chain in PEM; MINTMARK_TLS_CERTIFICATE_FILE names its file',
  },
  MINTMARK_TLS_PRIVATE_KEY: {
    // With a passphrase it may begin like one without.
    parse: matching(/-----BEGIN (?:RSA |EC )?PRIVATE KEY-----(?!\s+Proc-Type: 4,ENCRYPTED)/),
    must: 'an unencrypted private key in PEM; MINTMARK_TLS_PRIVATE_KEY_FILE names its file',
    secret: true,
  },
  MINTMARK_TLS_CLIENT_CA: {
    parse: matching(/-----BEGIN CERTIFICATE-----|^none$/),
    must: 'one or more certificates of CAs in PEM, or "none"; MINTMARK_TLS_CLIENT_CA_FILE names their file',
  },
  MINTMARK_TLS_CLIENT_CRL: {
    parse: matching(/-----BEGIN X509 CRL-----/),
    must: 'revocation lists in PEM; MINTMARK_TLS_CLIENT_CRL_FILE names their file',
  },
  MINTMARK_REQUIRE_CLIENT_CERTIFICATE: { parse: oneOf(['yes', 'no']), must: '"yes" or "no"' },
  MINTMARK_MTLS_PORT: { parse: wholeNumber(1, 65_535), must: 'a whole number from 1 to 65535' },
  MINTMARK_MTLS_URL: {
    parse: textLike((text) => text.startsWith('https:') && isIssuer(text)),
    must: 'an https URL like https://mtls.tokens.example.com, without a trailing slash',
  },
  MINTMARK_CLIENT_CERTIFICATE_HEADER: {
    parse: oneOf(['rfc9440', 'nginx', 'xfcc'] as const),
    must: '"rfc9440" (Client-Cert), "nginx" (ssl-client-cert) or "xfcc" (X-Forwarded-Client-Cert)',
  },
  MINTMARK_CLIENT_CERTIFICATE_PROXY: {
    parse: listOf(isProxyName),
    must: 'a comma-separated list of sha256:FINGERPRINT, dns:NAME and uri:URI, of the certificate of the proxy',
  },
  MINTMARK_PROXY_SOCKET: {
    // The system cuts off what is longer than 107 bytes, or 103 on macOS.
    parse: textLike((text) => /^\/[!-~]{1,102}$/.test(text) && !text.endsWith('/')),
    must: 'the absolute path of a Unix socket of at most 103 characters, for example /run/mintmark/proxy.sock',
  },
  MINTMARK_DANGEROUSLY_SERVE_PLAIN_HTTP: { parse: oneOf(['yes', 'no']), must: '"yes" or "no"' },
  MINTMARK_DANGEROUSLY_TRUST_SECRET_FILES: { parse: oneOf(['yes', 'no']), must: '"yes" or "no"' },
  MINTMARK_TRUSTED_PROXIES: {
    parse: listOf(isLimitedNetwork),
    must: 'a comma-separated list of addresses or networks, not all addresses, for example 10.0.0.0/8',
  },
  MINTMARK_FETCH_PRIVATE_NETWORKS: {
    parse: listOf(isNetwork),
    must: 'a comma-separated list of addresses or networks, for example 10.0.0.0/8',
  },
  MINTMARK_FETCH_CERTIFICATE_AUTHORITIES: {
    parse: matching(/-----BEGIN CERTIFICATE-----/),
    must: 'certificates in PEM; MINTMARK_FETCH_CERTIFICATE_AUTHORITIES_FILE names their file',
  },
  MINTMARK_REGISTRY_CLIENTS_MAX: {
    parse: wholeNumber(10, 10_000_000),
    must: 'a whole number from 10 to 10000000',
  },
  MINTMARK_ARGON2_PARALLEL_MAX: { parse: wholeNumber(1, 64), must: 'a whole number from 1 to 64' },
  MINTMARK_FAILURES_PER_CLIENT_MAX: {
    parse: wholeNumber(1, 1_000_000),
    must: 'a whole number from 1 to 1000000',
  },
  MINTMARK_FAILURES_PER_ADDRESS_MAX: {
    parse: wholeNumber(1, 1_000_000),
    must: 'a whole number from 1 to 1000000',
  },
  MINTMARK_LOG_LEVEL: { parse: oneOf(logLevels), must: `one of ${logLevels.join(', ')}` },
} as const satisfies Record<string, Setting>

export type SettingName = keyof typeof settings
export const settingNames = Object.keys(settings) as readonly SettingName[]

export type Environment = Readonly<Record<string, string | undefined>>

/** A Service "mintmark-mtls" of Kubernetes gives MINTMARK_MTLS_PORT=tcp://10.0.0.7:8443, which is not our setting. */
function directly(environment: Environment, name: SettingName): string {
  const text = environment[name] ?? ''
  return isServiceLink(name, text) ? '' : text
}

export function isSet(environment: Environment, name: SettingName): boolean {
  return directly(environment, name) !== '' || (environment[`${name}_FILE`] ?? '') !== ''
}

/** Reads one setting from NAME or from the file in NAME_FILE. An empty value counts as not set. */
export function readSetting<Name extends SettingName>(
  environment: Environment,
  name: Name,
): ReturnType<(typeof settings)[Name]['parse']> | undefined {
  const setting: Setting = settings[name]
  const direct = directly(environment, name)
  const path = environment[`${name}_FILE`] ?? ''
  if (direct !== '' && path !== '') throw new OperatorError(`${name}: set it or ${name}_FILE, not both.`)
  // An operator may set NAME_FILE to the secret itself by mistake, so the path of a secret is not shown.
  const text =
    path === ''
      ? direct
      : setting.secret === true
        ? readFileOf(name, path, () => readSecret(environment, path), 'the file it names')
        : readFileOf(
            name,
            path,
            () => readBounded(path, settingFileBytesMax).toString('utf8'),
            shownValue(path) ?? 'the file it names',
          )
  if (text === '') return undefined
  const value = setting.parse(text)
  if (value === undefined) {
    const shown = setting.secret === true || path !== '' ? undefined : shownValue(text)
    const is = shown === undefined ? '' : `; it is ${shown}`
    throw new OperatorError(`${name}: must be ${setting.must}${is}.${wrapping(text)}`)
  }
  return value as ReturnType<(typeof settings)[Name]['parse']>
}

/** Owner and mode count (lib/secret-file.ts), unless the operator says otherwise. */
function readSecret(environment: Environment, path: string): string {
  return readSecretFile(path, { trust: trustsSecretFiles(environment) })
}

export function trustsSecretFiles(environment: Environment): boolean {
  return readSetting(environment, 'MINTMARK_DANGEROUSLY_TRUST_SECRET_FILES') === 'yes'
}

function readFileOf(name: string, path: string, read: () => string, shown: string): string {
  let text: string
  try {
    text = read().trim()
  } catch (error) {
    if (error instanceof OperatorError) throw error
    if (error instanceof SecretFileProblem)
      throw new OperatorError(
        `${name}_FILE: ${shown} ${error.message}. MINTMARK_DANGEROUSLY_TRUST_SECRET_FILES=yes switches this check off.`,
        { cause: error },
      )
    throw new OperatorError(`${name}_FILE: cannot read ${shown}: ${fileProblem(error)}.${wrapping(path)}`)
  }
  if (text === '') throw new OperatorError(`${name}_FILE: ${shown} is empty.`)
  // What an ASN.1 structure begins with, and bytes that are no UTF-8.
  if (text.startsWith('0') && text.includes('\ufffd'))
    throw new OperatorError(
      `${name}_FILE: ${shown} is binary (DER or PKCS#12), and must be PEM. Convert it with openssl.`,
    )
  // Some shells of Windows write UTF-16, of which every second byte is zero.
  if (text.includes('\0'))
    throw new OperatorError(`${name}_FILE: ${shown} is not UTF-8 text. Save it as UTF-8.`)
  return text
}

/** Refuses unknown names. Otherwise a mistyped setting would silently have no effect. */
export function refuseUnknownNames(environment: Environment): void {
  for (const name of Object.keys(environment)) {
    if (isKnown(name)) continue
    const meant = inCapitals(name, environment)
    if (meant !== undefined)
      throw new OperatorError(`${name}: settings are written in capital letters: ${meant}.`)
    if (!name.startsWith('MINTMARK_') || isServiceLink(name, environment[name] ?? '')) continue
    const hint = hintFor(name)
    throw new OperatorError(`${name}: there is no such setting; .env.example lists them all.${hint}`)
  }
}

function isKnown(name: string): boolean {
  return settingNames.some((setting) => name === setting || name === `${setting}_FILE`)
}

/** The setting that is meant by a name in small letters. HOST, PORT and WORKERS are words that others use too. */
function inCapitals(name: string, environment: Environment): string | undefined {
  const meant = name.toUpperCase()
  if (!/^(?:MINTMARK|DATABASE)_/.test(meant) || !isKnown(meant)) return undefined
  const isGiven = (environment[meant] ?? '') !== '' || (environment[name] ?? '') === ''
  return isGiven ? undefined : meant
}

/** HOST, PORT, WORKERS and DATABASE_URL have no prefix, as with other programs. */
function hintFor(name: string): string {
  const bare = name.slice('MINTMARK_'.length)
  return isKnown(bare) ? ` Did you mean "${bare}"?` : didYouMean(name, settingNames)
}

/**
 * Whether a text is an issuer (RFC 8414 §2): a URL without query and fragment. Relying services compare it as
 * text, so only one spelling is accepted.
 */
function isIssuer(text: string): boolean {
  if (!URL.canParse(text)) return false
  const url = new URL(text)
  const spelledOnce = url.href === text || url.href === `${text}/`
  // What a name of DNS may have, or an address in brackets. A URL allows more, such as a comma after it.
  const plainHost = /^(?:[\w.-]+|\[.*\])$/.test(url.hostname)
  // The path becomes part of a route, in which other characters have a special meaning.
  const plainPath = /^(?:\/[\w.~-]+)*\/?$/.test(url.pathname)
  return (
    spelledOnce &&
    plainHost &&
    plainPath &&
    /^https?:$/.test(url.protocol) &&
    !/[?#@]/.test(text) &&
    !text.endsWith('/')
  )
}

/** Requires a host. Without one, the driver would silently use this machine or PGHOST. */
function namesDatabase(text: string): boolean {
  // What cannot be split gets its reason from the strict reader (database/address.ts).
  return (
    isUnwrapped(text) &&
    /^postgres(ql)?:\/\//.test(text) &&
    (splitHosts(text)?.urls ?? [text]).every(namesHost)
  )
}

function namesHost(url: string): boolean {
  // URL takes no user without a host. libpq does: //user@/database?host=/run/postgresql.
  const withoutUser = url.replace(/^([^:]*:\/\/)[^/?#]*@/, '$1')
  // The strict reader says which character is wrong: an "@" or a "#" of a password, or the port.
  if (!URL.canParse(withoutUser)) return true
  const { hostname, searchParams } = new URL(withoutUser)
  return hostname !== '' || (searchParams.get('host') ?? '') !== ''
}

/** A fingerprint as openssl prints it, with or without colons, or a name in the certificate. */
function isProxyName(text: string): text is string {
  return /^(?:sha256:[\dA-Fa-f]{2}(?::?[\dA-Fa-f]{2}){31}|(?:dns|uri):[!-~]+)$/.test(text)
}
