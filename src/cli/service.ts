import type { Config } from '../config.ts'
import { openDatabase } from '../database/open.ts'
import { resolveKeyEncryptionKey } from '../keys/key-encryption-key.ts'
import type { KeyEncryptionKey } from '../keys/seal.ts'
import { listKeys } from '../keys/store.ts'
import type { Log } from '../log.ts'
import type { Server } from './connect.ts'
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
  const keyEncryptionKey = await findKeyEncryptionKey(config, server, report)
  // Fastify and what comes with it is a third of the start; commands that serve nothing do without.
  const { listen, openService } = await import('../server.ts')
  const service = await openService({ config, databaseUrl: server.url, keyEncryptionKey, log })
  lifetime.onClose(() => service.close())
  await listen(service.app, config)
  return { baseUrl: baseUrlOf(config), firstKeyMade: service.firstKeyMade }
}

async function findKeyEncryptionKey(
  config: Config,
  server: Server,
  report: (message: string) => void,
): Promise<KeyEncryptionKey> {
  return await resolveKeyEncryptionKey({
    configured: config.keyEncryptionKey,
    databaseIsEmbedded: server.embedded,
    dataDirectory: config.dataDirectory,
    report,
    async hasSigningKeys() {
      const database = openDatabase(server.url)
      try {
        return (await listKeys(database.prisma)).length > 0
      } finally {
        await database.close()
      }
    },
  })
}

/** A certificate is made out to a name, so over TLS only the issuer's will do. */
export function baseUrlOf(config: Config): string {
  if (config.tls !== undefined) return config.issuer
  const host = config.host === '0.0.0.0' ? '127.0.0.1' : config.host === '::' ? '::1' : config.host
  return `http://${host.includes(':') ? `[${host}]` : host}:${config.port}`
}
