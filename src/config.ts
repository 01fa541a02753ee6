import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import { checkedIssuer, defaultIssuer, isLoopback, requireTls } from './config-address.ts'
import {
  type CertificateProxy,
  type CertificateTrust,
  certificateProxyOf,
  checkedAuthorities,
  type MtlsListener,
  mtlsOf,
  pairOfTls,
  refuseUselessMtls,
  type TlsPair,
  trustOf,
} from './config-tls.ts'
import { OperatorError } from './errors.ts'
import { scheduleProblem } from './keys/schedule.ts'
import type { SigningAlgorithm } from './keys/signing-algorithm.ts'
import type { ScheduleSettings } from './keys/state.ts'
import { limits } from './limits.ts'
import {
  type Environment,
  isSet,
  type logLevels,
  readSetting,
  refuseUnknownNames,
  type SettingName,
  trustsSecretFiles,
} from './settings.ts'

/**
 * Reads the environment. No other file does. Each variable is declared in settings.ts. An invalid value stops the start
 * with one line that names the variable.
 */
export interface Config {
  readonly host: string
  readonly port: number
  /**
   * The number of worker processes. A value marked "per worker" is the share of one worker in the setting.
   */
  readonly workers: number
  /** Undefined for the embedded database in `dataDirectory`. */
  readonly databaseUrl: string | undefined
  readonly dataDirectory: string
  /** The `iss` of every token, without a trailing slash. */
  readonly issuer: string
  /** 32 bytes. Undefined with the embedded database if the key is a file in the data directory. */
  readonly keyEncryptionKey: Buffer | undefined
  readonly tls: TlsPair | undefined
  /** Whether the service speaks TLS. A command that calls the service need not be able to read the private key. */
  readonly speaksTls: boolean
  /** What decides about certificates of callers. Undefined: callers are not asked for one. */
  readonly clientTrust: CertificateTrust | undefined
  /** Whether a token request needs a certificate of the CAs, whatever else it brings. */
  readonly requiresClientCertificate: boolean
  /** The listener that asks for certificates, where it is not the one at `port`. */
  readonly mtls: MtlsListener | undefined
  /** The proxy that is believed about the certificates of its callers. Undefined: none. */
  readonly certificateProxy: CertificateProxy | undefined
  /** The path of a Unix socket for a proxy on this machine. */
  readonly proxySocket: string | undefined
  readonly trustedProxies: readonly string[]
  /** Networks that are not public, and from which keys of others may be fetched. */
  readonly fetchPrivateNetworks: readonly string[]
  /** Authorities that are trusted for it beside the usual ones, in PEM. */
  readonly fetchCertificateAuthorities: string | undefined
  readonly registryClientsMax: number
  /** Per worker. */
  readonly argon2ParallelMax: number
  /** Per worker. */
  readonly failuresPerClientMax: number
  /** Per worker. */
  readonly failuresPerAddressMax: number
  readonly keyEncryptionKeyPrevious: Buffer | undefined
  /** Whether rows of the registry count only as far as a holder of the key-encryption key registered them. */
  readonly sealedRegistry: boolean
  /** Whether DPoP proofs must bring a nonce of this service. */
  readonly dpopNonces: boolean
  readonly schedule: ScheduleSettings
  readonly signingAlgorithms: readonly SigningAlgorithm[]
  readonly logLevel: (typeof logLevels)[number]
}

/**
 * All settings, for a process that serves.
 * @throws OperatorError that names every invalid variable.
 */
// biome-ignore lint/style/noProcessEnv: only this file reads the environment.
export function readConfig(environment: Environment = process.env): Config {
  const problems = new Problems()
  const config = lazyConfig(environment)
  problems.collect(() => refuseUnknownNames(environment))
  for (const name of Object.keys(config) as (keyof Config)[]) problems.collect(() => config[name])
  // Refused if it is wrong, also where no secret is in a file.
  problems.collect(() => trustsSecretFiles(environment))
  problems.collect(() => requireTls(config, environment))
  problems.collect(() => refuseUselessMtls(config, environment))
  problems.throwAny()
  return Object.freeze({ ...config })
}

/**
 * Like `readConfig`, for the process that finds the key-encryption key in these settings. It is asked for before the
 * database, which may take long to answer.
 */
// biome-ignore lint/style/noProcessEnv: only this file reads the environment.
export function readServiceConfig(environment: Environment = process.env): Config {
  const problems = new Problems()
  const config = problems.collect(() => readConfig(environment))
  problems.collect(() => requireKeyEncryptionKey(environment))
  problems.throwAny()
  return config as Config
}

/** What is wrong with the settings, told at once. One mistake may be found on several ways. */
class Problems {
  readonly #messages = new Set<string>()

  collect<Value>(read: () => Value): Value | undefined {
    try {
      return read()
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error
      for (const line of error.message.split('\n')) this.#messages.add(line)
      return undefined
    }
  }

  throwAny(): void {
    if (this.#messages.size > 0) throw new OperatorError([...this.#messages].join('\n'))
  }
}

function requireKeyEncryptionKey(environment: Environment): void {
  if (!isSet(environment, 'DATABASE_URL') || isSet(environment, 'MINTMARK_KEY_ENCRYPTION_KEY')) return
  throw new OperatorError(
    'MINTMARK_KEY_ENCRYPTION_KEY: must be set when DATABASE_URL is. It seals the signing keys in the database: ' +
      'make one with "openssl rand -base64 32" and keep it outside the database.',
  )
}

/**
 * The settings for a command that does not serve. Each one is read when the command first uses it. So a
 * command needs only the settings and the files that it uses: "migrate" needs no key, and nothing but a
 * listener needs TLS. An unknown name is refused at once.
 */
// biome-ignore lint/style/noProcessEnv: only this file reads the environment.
export function readCommandConfig(environment: Environment = process.env): Config {
  refuseUnknownNames(environment)
  return lazyConfig(environment)
}

function lazyConfig(environment: Environment): Config {
  const read = <Name extends SettingName>(name: Name) => readSetting(environment, name)
  const config: Config = readWhenUsed({
    host: () => read('HOST') ?? '127.0.0.1',
    port: () => read('PORT') ?? 8080,
    workers: () => read('WORKERS') ?? 1,
    databaseUrl: () => read('DATABASE_URL'),
    tls: () => pairOfTls(read('MINTMARK_TLS_CERTIFICATE'), read('MINTMARK_TLS_PRIVATE_KEY')),
    speaksTls: () => isSet(environment, 'MINTMARK_TLS_CERTIFICATE'),
    dataDirectory: () => resolve(read('MINTMARK_DATA_DIR') ?? 'data'),
    issuer: () =>
      checkedIssuer(
        read('MINTMARK_ISSUER') ?? defaultIssuer(config.host, config.port, config.speaksTls),
        config.speaksTls,
        environment,
      ),
    keyEncryptionKey: () => read('MINTMARK_KEY_ENCRYPTION_KEY'),
    clientTrust: () => trustOf(read('MINTMARK_TLS_CLIENT_CA'), read('MINTMARK_TLS_CLIENT_CRL')),
    requiresClientCertificate: () => read('MINTMARK_REQUIRE_CLIENT_CERTIFICATE') === 'yes',
    mtls: () => mtlsOf(read('MINTMARK_MTLS_PORT'), read('MINTMARK_MTLS_URL'), () => config.issuer),
    proxySocket: () => read('MINTMARK_PROXY_SOCKET'),
    certificateProxy: () =>
      certificateProxyOf(
        read('MINTMARK_CLIENT_CERTIFICATE_HEADER'),
        read('MINTMARK_CLIENT_CERTIFICATE_PROXY') ?? (config.proxySocket === undefined ? undefined : []),
      ),
    trustedProxies: () => read('MINTMARK_TRUSTED_PROXIES') ?? [],
    fetchPrivateNetworks: () => read('MINTMARK_FETCH_PRIVATE_NETWORKS') ?? [],
    fetchCertificateAuthorities: () => checkedAuthorities(read('MINTMARK_FETCH_CERTIFICATE_AUTHORITIES')),
    registryClientsMax: () => read('MINTMARK_REGISTRY_CLIENTS_MAX') ?? 100_000,
    argon2ParallelMax: () => argon2Share(read('MINTMARK_ARGON2_PARALLEL_MAX'), config.workers),
    // Connections go to the workers in turn, so a guesser can use all workers. Shares keep the total at the
    // setting.
    failuresPerClientMax: () => Math.ceil((read('MINTMARK_FAILURES_PER_CLIENT_MAX') ?? 30) / config.workers),
    failuresPerAddressMax: () =>
      Math.ceil((read('MINTMARK_FAILURES_PER_ADDRESS_MAX') ?? 100) / config.workers),
    keyEncryptionKeyPrevious: () => read('MINTMARK_KEY_ENCRYPTION_KEY_PREVIOUS'),
    sealedRegistry: () => read('MINTMARK_SEALED_REGISTRY') === 'yes',
    dpopNonces: () => read('MINTMARK_DPOP_NONCES') === 'yes',
    schedule: () =>
      checkedSchedule({
        keyLifetimeSeconds: read('MINTMARK_KEY_LIFETIME_SECONDS') ?? 90 * 86_400,
        tokenLifetimeSecondsMax:
          read('MINTMARK_TOKEN_LIFETIME_SECONDS_MAX') ?? limits.tokenLifetimeSecondsMax,
        jwksMaxAgeSeconds: read('MINTMARK_JWKS_MAX_AGE_SECONDS') ?? 300,
        verifierCooldownSeconds: read('MINTMARK_VERIFIER_COOLDOWN_SECONDS') ?? 60,
        clockSkewSeconds: read('MINTMARK_CLOCK_SKEW_SECONDS') ?? 60,
      }),
    signingAlgorithms: () => read('MINTMARK_SIGNING_ALGORITHMS') ?? (['ES256'] as const),
    logLevel: () => read('MINTMARK_LOG_LEVEL') ?? 'info',
  })
  return config
}

/** An object whose properties are computed at their first use. */
function readWhenUsed<Shape extends object>(
  readers: { readonly [Name in keyof Shape]: () => Shape[Name] },
): Shape {
  const names = Object.keys(readers) as (keyof Shape)[]
  const shape = {} as Shape
  for (const name of names) {
    const get = (): Shape[keyof Shape] => {
      const value = readers[name]()
      Object.defineProperty(shape, name, { value, enumerable: true })
      return value
    }
    Object.defineProperty(shape, name, { get, enumerable: true, configurable: true })
  }
  return shape
}

/** The settings that all processes on one database must share. */
export function sharedSettings(config: Config) {
  const { issuer, host, port, tls, schedule, signingAlgorithms, sealedRegistry, requiresClientCertificate } =
    config
  // Without the setting the issuer is the address of the process, which no other machine can reach. Several processes
  // on one machine then have several, for a trial.
  const isOwnAddress = isLoopback(host) && issuer === defaultIssuer(host, port, tls !== undefined)
  return {
    issuer: isOwnAddress ? 'its own address' : issuer,
    ...schedule,
    signingAlgorithms: [...signingAlgorithms].sort(),
    sealedRegistry: sealedRegistry ? 'yes' : 'no',
    requiresClientCertificate: requiresClientCertificate ? 'yes' : 'no',
  }
}

/**
 * Reads DATABASE_URL again, for a password that changed while the service runs.
 * @returns undefined if it does not come from a file, and so cannot change.
 */
export function databaseUrlReader(
  // biome-ignore lint/style/noProcessEnv: see readConfig.
  environment: Environment = process.env,
): (() => string | undefined) | undefined {
  if ((environment['DATABASE_URL_FILE'] ?? '') === '') return undefined
  return () => readSetting(environment, 'DATABASE_URL')
}

/**
 * How many verifications one worker may run at a time. The share is rounded down, because all workers
 * together must leave a core for other work. Each worker may run at least one. By default a worker runs at
 * most four, because a process has four threads for them.
 */
function argon2Share(chosen: number | undefined, workers: number): number {
  const share = Math.max(1, Math.floor((chosen ?? availableParallelism() - 1) / workers))
  return chosen === undefined ? Math.min(4, share) : share
}

/** The files of TLS that are read again when they change, where settings name files. */
export function tlsFilePaths(
  // biome-ignore lint/style/noProcessEnv: see readConfig.
  environment: Environment = process.env,
): readonly string[] {
  const names = ['CERTIFICATE', 'PRIVATE_KEY', 'CLIENT_CA', 'CLIENT_CRL']
  return names.flatMap((name) => environment[`MINTMARK_TLS_${name}_FILE`] || [])
}

function checkedSchedule(schedule: ScheduleSettings): ScheduleSettings {
  const problem = scheduleProblem(schedule)
  if (problem !== undefined) throw new OperatorError(`MINTMARK_KEY_LIFETIME_SECONDS: ${problem}`)
  return schedule
}
