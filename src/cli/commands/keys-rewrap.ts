import { countTagsOfOtherKeys } from '../../authentication/secret-tag-store.ts'
import { type FileRewrap, rewrap, rewrapFile } from '../../keys/rewrap.ts'
import { findKeyEncryptionKeys } from '../../process/key-encryption-keys.ts'
import { defineCommand, jsonOption } from '../terminal/command.ts'
import { withDatabase } from '../terminal/connect.ts'
import { keyContext } from '../terminal/key-context.ts'
import { counted, json, note, print } from '../terminal/output.ts'

export const keysRewrap = defineCommand({
  path: ['keys', 'rewrap'],
  summary: 'seal the signing keys with another key-encryption key, without downtime',
  details:
    'With DATABASE_URL: restart the replicas one after the other, with the new key in MINTMARK_KEY_ENCRYPTION_KEY and\n' +
    'the old key in MINTMARK_KEY_ENCRYPTION_KEY_PREVIOUS. Then run this command once, with both. With the embedded\n' +
    'database the command also creates the new key and replaces the file in the data directory. No restart is needed\n' +
    'then. If the command was interrupted, run it again. Earlier backups still need the old key.',
  options: { ...jsonOption },
  examples: [
    ['bin/mintmark keys rewrap', 'the embedded database gets a new key-encryption key'],
    [
      'MINTMARK_KEY_ENCRYPTION_KEY_FILE=new MINTMARK_KEY_ENCRYPTION_KEY_PREVIOUS_FILE=old bin/mintmark keys rewrap',
      'with DATABASE_URL set',
    ],
  ],
  async run(options) {
    await withDatabase(async (connection) => {
      const { config, server } = connection
      const context = keyContext(connection)
      const ownFile = server.embedded && config.keyEncryptionKey === undefined
      const done: FileRewrap = ownFile
        ? await rewrapFile(context, config.dataDirectory)
        : { ...(await rewrap(context, await findKeyEncryptionKeys(config, server))), completed: false }
      const { keyEncryptionKeyId: id, resealed, completed } = done
      const cold = await countTagsOfOtherKeys(connection.database.prisma, id)
      if (options.json) {
        const keys = resealed.map(({ kid, from }) => ({ kid, from }))
        const fields = { key_encryption_key_id: id, resealed: keys, completed_earlier_run: completed }
        print(`${json({ ...fields, secrets_tagged_with_other_keys: cold })}\n`)
        return
      }
      if (completed) print('An earlier run was interrupted. It is completed now.\n')
      const count = counted(resealed.length, 'signing key')
      print(
        resealed.length === 0
          ? `Every signing key is sealed with key-encryption key ${id} already.\n`
          : `${count} sealed with key-encryption key ${id}.\n`,
      )
      if (!ownFile && config.keyEncryptionKeyPrevious !== undefined) {
        note(
          'No key is sealed with MINTMARK_KEY_ENCRYPTION_KEY_PREVIOUS any more. You can remove this setting.',
        )
      }
      if (cold > 0) note(describeCold(cold, ownFile))
    })
  },
})

/** Secrets whose tag only the old key can read. Each gets a new one when it is used while that key is there. */
function describeCold(count: number, ownFile: boolean): string {
  const secrets = `${counted(count, 'secret')} ${count === 1 ? 'has' : 'have'} a tag of the old key.`
  return ownFile
    ? `${secrets} Each one that is not used before the service starts again costs one argon2 hash then.`
    : `${secrets} Each gets a new one when it is used. Remove the setting later and run this command again to see ` +
        'how many are left: each costs one argon2 hash after that.'
}
