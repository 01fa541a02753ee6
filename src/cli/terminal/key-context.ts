import type { RotationContext } from '../../keys/rotation.ts'
import { findKeyEncryptionKeys } from '../../process/key-encryption-keys.ts'
import type { Connection } from './connect.ts'
import { note } from './output.ts'

/**
 * The context of a key command. The key-encryption key is read only to create a key, not to list or revoke
 * one.
 */
export function keyContext({ config, database, clock, actor, server }: Connection): RotationContext {
  return {
    database,
    clock,
    actor,
    schedule: config.schedule,
    keyEncryptionKeys: () => findKeyEncryptionKeys(config, server, note),
  }
}
