import { X509Certificate } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { type Config, readConfig } from '../config.ts'
import type { Log } from '../telemetry/log.ts'
import { explain } from './explain.ts'

/** Starts to use a certificate, for new connections, and CAs and revocation lists, for all of them. */
export type ReplaceTls = (files: Pick<Config, 'tls' | 'clientTrust'>) => void

/** Settings that a running process can take over. */
const replaceable: readonly string[] = ['tls', 'clientTrust']

/**
 * Reads the settings and their files again. New connections get the new certificate. Another setting that
 * changed needs a restart, and the log says so. If a setting is wrong, everything stays as it was.
 * @param onlyIfChanged logs nothing if the files have what is already in use, because nobody has asked.
 * @returns the configuration that is in use from now on.
 */
export function reload(config: Config, replaceTls: ReplaceTls, log: Log, onlyIfChanged = false): Config {
  let fresh: Config
  try {
    fresh = readConfig()
    const isSame = replaceable.every((name) => isSameSetting(fresh, config, name as keyof Config))
    if (isSame && onlyIfChanged) return config
    if (!isSame) replaceTls(fresh)
  } catch (error) {
    const message = 'a setting or its file is wrong; what was read before stays in use'
    log.error({ event: 'reload_failed', reason: explain(error).message }, message)
    return config
  }
  const names = Object.keys(fresh) as (keyof Config)[]
  const needRestart = names.filter(
    (name) =>
      !isSameSetting(fresh, config, name) &&
      // Whether callers are asked for certificates is said once, before the service listens.
      (!replaceable.includes(name) || (fresh[name] === undefined) !== (config[name] === undefined)),
  )
  if (needRestart.length > 0)
    log.warn({ event: 'notice', needRestart }, 'settings have changed that only a restart can change')
  const lostNames = namesLost(config.tls?.certificate, fresh.tls?.certificate)
  if (lostNames.length > 0)
    log.warn(
      { event: 'notice', lostNames },
      'the new certificate is not for all names of the one before; callers that use these names refuse it',
    )
  if (fresh.tls === undefined) log.info({ event: 'reloaded' }, 'there is no certificate to read again')
  else
    log.info(
      { event: 'reloaded', ...describe(fresh.tls.certificate) },
      'new connections get this certificate',
    )
  return Object.freeze({ ...config, tls: fresh.tls, clientTrust: fresh.clientTrust })
}

const isSameSetting = (one: Config, other: Config, name: keyof Config): boolean =>
  isDeepStrictEqual(one[name], other[name])

/** The names of a certificate for which the next one is not. A file of another service is easily put into the place. */
export function namesLost(before: string | undefined, next: string | undefined): readonly string[] {
  if (before === undefined || next === undefined) return []
  const certificate = new X509Certificate(next)
  const names = (new X509Certificate(before).subjectAltName ?? '').split(', ')
  return names.filter((name) => {
    const [, kind, value = ''] = /^(DNS|IP Address):(.+)$/.exec(name) ?? []
    if (kind === undefined || (certificate.subjectAltName ?? '').split(', ').includes(name)) return false
    try {
      return (kind === 'DNS' ? certificate.checkHost(value) : certificate.checkIP(value)) === undefined
    } catch {
      // No name that a caller could ask for.
      return false
    }
  })
}

/** What an operator can compare with the file. A certificate is public. */
function describe(certificate: string): { readonly serialNumber: string; readonly validTo: string } {
  const { serialNumber, validToDate } = new X509Certificate(certificate)
  return { serialNumber, validTo: validToDate.toISOString() }
}
