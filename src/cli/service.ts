import type { Config } from '../config.ts'
import type { Log } from '../log.ts'
import type { Server } from './connect.ts'
import { findKeyEncryptionKeys } from './key-context.ts'
import type { Lifetime } from './lifetime.ts'

/** What "serve" and "start" have in common: from a migrated database to a service that listens. */
export interface RunningService {
  /** By which this machine reaches it: `http://127.0.0.1:8080`. */
  readonly baseUrl: string
  readonly firstKeyMade: boolean
}

export async function runService(
  config: Config,
  server: Server,
  log: Log,
  lifetime: Lifetime,
  report: (message: string) => void,
): Promise<RunningService> {
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
  await listen(service.app, config)
  return { baseUrl: baseUrlOf(config), firstKeyMade: service.firstKeyMade }
}

/** A certificate is made out to a name, so over TLS only the issuer's will do. */
export function baseUrlOf(config: Config): string {
  if (config.tls !== undefined) return config.issuer
  const host = config.host === '0.0.0.0' ? '127.0.0.1' : config.host === '::' ? '::1' : config.host
  return `http://${host.includes(':') ? `[${host}]` : host}:${config.port}`
}
