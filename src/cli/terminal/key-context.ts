import type { RotationContext } from '../../keys/rotation.ts'
import { findKeyEncryptionKeys } from '../../process/key-encryption-keys.ts'
import type { Connection } from './connect.ts'
import { note } from './output.ts'

/** The key-encryption key is only looked for when a key is made: looking and calling back need none. */
export function keyContext({ config, database, clock, server }: Connection): RotationContext {
  return {
    database,
    clock,
    schedule: config.schedule,
    keyEncryptionKeys: () => findKeyEncryptionKeys(config, server, note),
  }
}
