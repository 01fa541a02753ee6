import type { DestinationStream } from 'pino'
import { type Config, databaseUrlReader, tlsFilePaths } from '../config.ts'
import { untilDatabaseAnswers } from '../database/check.ts'
import { removeDeadSocket } from '../lib/dead-socket.ts'
import { createLog, type Log } from '../telemetry/log.ts'
import type { DatabaseServer } from './database-server.ts'
import { findKeyEncryptionKeys } from './key-encryption-keys.ts'
import type { Lifetime } from './lifetime.ts'
import { reload } from './reload.ts'
import { WatchedFiles } from './watched-files.ts'
import { Workers } from './workers.ts'

/** Starts the service on a migrated database. "serve" and "start" share this. */

/** @returns the URL of the service for callers on this machine, for example `http://127.0.0.1:8080`. */
export async function runService(
  config: Config,
  server: DatabaseServer,
  log: Log,
  lifetime: Lifetime,
): Promise<string> {
  if (config.proxySocket !== undefined) await removeDeadSocket(config.proxySocket)
  if (config.workers === 1) await serveAlone(config, server, log, lifetime)
  else await serveWithWorkers(config, server, log, lifetime)
  return baseUrlOf(config)
}

/** Serves in this process, which is the only one or one of several workers. */
export async function serveAlone(
  config: Config,
  server: DatabaseServer,
  log: Log,
  lifetime: Lifetime,
): Promise<void> {
  const keyEncryptionKeys = await findKeyEncryptionKeys(config, server)
  // Loading Fastify takes a third of the start time. Commands that do not serve must not load it.
  const { openService } = await import('../server.ts')
  const open = () =>
    openService({
      config,
      databaseUrl: server.url,
      rereadDatabaseUrl: databaseUrlReader(),
      keyEncryptionKeys,
      // "keys rewrap" replaces the key file beside the embedded database while this process runs.
      rereadKeyEncryptionKeys: () => findKeyEncryptionKeys(config, server),
      log,
    })
  const service = await untilDatabaseAnswers(open, (message) => log.warn({ event: 'notice' }, message))
  lifetime.onClose(() => service.close())
  let current = config
  const files = new WatchedFiles(tlsFilePaths(), () => {
    current = reload(current, service.replaceTls, log, true)
  })
  lifetime.onClose(async () => files.close())
  lifetime.onReload(() => {
    // First, so that a file that changes while it is read is read again.
    files.noteRead()
    current = reload(current, service.replaceTls, log)
  })
  await service.listen()
}

async function serveWithWorkers(
  config: Config,
  server: DatabaseServer,
  log: Log,
  lifetime: Lifetime,
): Promise<void> {
  // The primary creates the key if necessary and reports problems, so that only one process does this.
  await findKeyEncryptionKeys(config, server)
  const workers = new Workers(log)
  lifetime.onClose(() => workers.close())
  lifetime.onReload(() => workers.reload())
  await workers.open(config.workers)
}

/**
 * The log of a process that serves. Several workers share one output, so each of their lines has a process
 * id.
 */
export function createServiceLog(config: Config, destination?: DestinationStream): Log {
  const log = createLog(config.logLevel, destination)
  return config.workers === 1 ? log : log.child({ processId: process.pid })
}

/**
 * The URL of the service for callers on this machine. With TLS it is the issuer, because the certificate is
 * valid only for that name.
 */
export function baseUrlOf(config: Config): string {
  if (config.speaksTls) return config.issuer
  const host = config.host === '0.0.0.0' ? '127.0.0.1' : config.host === '::' ? '::1' : config.host
  return `http://${host.includes(':') ? `[${host}]` : host}:${config.port}`
}
