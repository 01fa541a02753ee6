import type { SecretContext } from '../../administration/secret-store.ts'
import { openTagMaker } from '../../authentication/secret-tag-store.ts'
import type { Config } from '../../config.ts'
import { AdministrationError } from '../../errors.ts'
import { type BelievedKeys, believedKeys } from '../../keys/believed.ts'
import type { RotationContext } from '../../keys/key-change.ts'
import type { KeyEncryptionKeys } from '../../keys/key-encryption-key.ts'
import type { DatabaseServer } from '../../process/database-server.ts'
import { availableKeyEncryptionKeys, findKeyEncryptionKeys } from '../../process/key-encryption-keys.ts'
import type { Connection } from './connect.ts'

/**
 * The context of a key command. The key-encryption key is read only to create a key, not to list or revoke
 * one.
 */
export function keyContext(connection: Connection): RotationContext {
  const { config, database, clock, elapsedSeconds, actor, server } = connection
  return {
    database,
    clock,
    elapsedSeconds,
    actor,
    schedule: config.schedule,
    keyEncryptionKeys: () => findKeyEncryptionKeys(config, server),
    keysAtHand: () => keysAtHand(config, server),
  }
}

/** The keys for a command that shows them. */
export async function keysToShow({ config, database, server }: Connection): Promise<BelievedKeys> {
  return await believedKeys(database.prisma, keysAtHand(config, server))
}

/** If keys are only shown, a file that cannot be read counts as missing. */
function keysAtHand(config: Config, server: DatabaseServer): KeyEncryptionKeys | undefined {
  try {
    return availableKeyEncryptionKeys(config, server)
  } catch (error) {
    if (error instanceof AdministrationError) return undefined
    throw error
  }
}

/** The context of a command that creates secrets. Their tags need the key-encryption key; the secrets do not. */
export async function secretContext(connection: Connection): Promise<SecretContext> {
  const { config, database, clock, actor, server, sealing, onUnsealed } = connection
  const keys = availableKeyEncryptionKeys(config, server)
  const tagMaker = await openTagMaker(database.prisma, keys)
  return { database, clock, actor, sealing, onUnsealed, tagMaker }
}
