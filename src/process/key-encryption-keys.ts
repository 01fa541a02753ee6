import type { Config } from '../config.ts'
import { openDatabase } from '../database/open.ts'
import {
  type KeyEncryptionKeys,
  keyEncryptionKeysAtHand,
  resolveKeyEncryptionKeys,
} from '../keys/key-encryption-key.ts'
import { listKeys } from '../keys/store.ts'
import type { DatabaseServer } from './database-server.ts'

export async function findKeyEncryptionKeys(
  config: Config,
  server: DatabaseServer,
): Promise<KeyEncryptionKeys> {
  return await resolveKeyEncryptionKeys({
    configured: config.keyEncryptionKey,
    previous: config.keyEncryptionKeyPrevious,
    databaseIsEmbedded: server.embedded,
    dataDirectory: config.dataDirectory,
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

/** The key-encryption keys that are set or stored already; undefined if there are none. */
export function availableKeyEncryptionKeys(
  config: Config,
  server: DatabaseServer,
): KeyEncryptionKeys | undefined {
  return keyEncryptionKeysAtHand({
    configured: config.keyEncryptionKey,
    previous: config.keyEncryptionKeyPrevious,
    databaseIsEmbedded: server.embedded,
    dataDirectory: config.dataDirectory,
  })
}

/** Like `findKeyEncryptionKeys`, for a key that is lost: with the embedded database a missing file is created again. */
export async function otherKeyEncryptionKeys(
  config: Config,
  server: DatabaseServer,
): Promise<KeyEncryptionKeys> {
  return await resolveKeyEncryptionKeys({
    configured: config.keyEncryptionKey,
    previous: config.keyEncryptionKeyPrevious,
    databaseIsEmbedded: server.embedded,
    dataDirectory: config.dataDirectory,
    hasSigningKeys: async () => false,
  })
}
