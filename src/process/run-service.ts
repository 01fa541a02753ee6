import type { DestinationStream } from 'pino'
import type { Config } from '../config.ts'
import { createLog, type Log } from '../telemetry/log.ts'
import type { DatabaseServer } from './database-server.ts'
import { findKeyEncryptionKeys } from './key-encryption-keys.ts'
import type { Lifetime } from './lifetime.ts'
import { Workers } from './workers.ts'

/** What "serve" and "start" have in common: from a migrated database to a service that listens. */

/** @returns by which URL this machine reaches it: `http://127.0.0.1:8080`. */
export async function runService(
  config: Config,
  server: DatabaseServer,
  log: Log,
  lifetime: Lifetime,
  report: (message: string) => void,
): Promise<string> {
  if (config.workers === 1) await serveAlone(config, server, log, lifetime, report)
  else await serveWithWorkers(config, server, log, lifetime, report)
  return baseUrlOf(config)
}

/** Serves in this process, be it the only one or one of several. */
export async function serveAlone(
  config: Config,
  server: DatabaseServer,
  log: Log,
  lifetime: Lifetime,
  report: (message: string) => void,
): Promise<void> {
  const keyEncryptionKeys = await findKeyEncryptionKeys(config, server, report)
  // Fastify and what comes with it is a third of the start; commands that serve nothing do without.
  const { listen, openService } = await import('../server.ts')
  const service = await openService({
    config,
    databaseUrl: server.url,
    keyEncryptionKeys,
    // "keys rewrap" replaces the embedded database's file while this runs.
    rereadKeyEncryptionKeys: () => findKeyEncryptionKeys(config, server, () => {}),
    log,
  })
  lifetime.onClose(() => service.close())
  // A full worker would hand a connection back, to be handed out again, round and round while all are full.
  Object.assign(service.app.server, { dropMaxConnection: true })
  await listen(service.app, config)
}

async function serveWithWorkers(
  config: Config,
  server: DatabaseServer,
  log: Log,
  lifetime: Lifetime,
  report: (message: string) => void,
): Promise<void> {
  // Made, if it has to be, and complained about by one process.
  await findKeyEncryptionKeys(config, server, report)
  const workers = new Workers(log)
  lifetime.onClose(() => workers.close())
  await workers.open(config.workers)
}

/** The log of a process that serves. Where it is one of several on one output, each line says whose it is. */
export function createServiceLog(config: Config, destination?: DestinationStream): Log {
  const log = createLog(config.logLevel, destination)
  return config.workers === 1 ? log : log.child({ processId: process.pid })
}

/** A certificate is made out to a name, so over TLS only the issuer's will do. */
export function baseUrlOf(config: Config): string {
  if (config.tls !== undefined) return config.issuer
  const host = config.host === '0.0.0.0' ? '127.0.0.1' : config.host === '::' ? '::1' : config.host
  return `http://${host.includes(':') ? `[${host}]` : host}:${config.port}`
}
