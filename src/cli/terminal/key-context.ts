import type { Config } from '../../config.ts'
import { openDatabase } from '../../database/open.ts'
import { type KeyEncryptionKeys, resolveKeyEncryptionKeys } from '../../keys/key-encryption-key.ts'
import type { RotationContext } from '../../keys/rotation.ts'
import { listKeys } from '../../keys/store.ts'
import type { Connection, Server } from './connect.ts'
import { note } from './output.ts'

/** What "serve", "start" and the commands for keys need to make, open and move signing keys. */

/** @param report told what an operator should know, in whole sentences. */
export async function findKeyEncryptionKeys(
  config: Config,
  server: Server,
  report: (message: string) => void,
): Promise<KeyEncryptionKeys> {
  return await resolveKeyEncryptionKeys({
    configured: config.keyEncryptionKey,
    previous: config.keyEncryptionKeyPrevious,
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

/** The key-encryption key is only looked for when a key is made: looking and calling back need none. */
export function keyContext({ config, database, clock, actor, server }: Connection): RotationContext {
  return {
    database,
    clock,
    actor,
    schedule: config.schedule,
    keyEncryptionKeys: () => findKeyEncryptionKeys(config, server, note),
  }
}
