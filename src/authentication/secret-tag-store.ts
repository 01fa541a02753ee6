import type { Statements } from '../database/open.ts'
import { believedKeys } from '../keys/believed.ts'
import type { KeyEncryptionKeys } from '../keys/key-encryption-key.ts'
import { newestSealedWith } from '../keys/seal.ts'
import { repeat } from '../lib/repeated.ts'
import { makeTag, type SecretTag, type TaggedSecret, tagKey } from './secret-tag.ts'

/** Tags of verified secrets on their way into the database: collected in memory, written many in one statement. */
export interface SecretTagWriter {
  note(tagged: TaggedSecret, tag: SecretTag): void
  close(): Promise<void>
}

/** Milliseconds between two writes. A process that is killed loses the tags of the last second: a hash for each. */
const writeEveryMilliseconds = 1_000

/** Rows in one statement. */
const rowsPerStatementMax = 5_000

export function openSecretTagWriter(
  database: Statements,
  onFault: (error: unknown) => void,
): SecretTagWriter {
  let tags = new Map<string, TagRow>()

  async function write(): Promise<void> {
    const rows = [...tags.values()]
    if (rows.length === 0) return
    tags = new Map()
    try {
      for (let start = 0; start < rows.length; start += rowsPerStatementMax) {
        await writeTags(database, rows.slice(start, start + rowsPerStatementMax))
      }
    } catch (error) {
      // Tags that could not be written are dropped. Each is made again when its secret is verified again.
      onFault(error)
    }
  }

  const writes = repeat(writeEveryMilliseconds, write, onFault)
  return {
    note: (tagged, tag) => void tags.set(tagged.secretId, toRow(tagged, tag)),
    async close() {
      await writes.close()
      await write()
    },
  }
}

interface TagRow {
  readonly secretId: string
  readonly keyEncryptionKeyId: string
  /** Hex. */
  readonly tag: string
  readonly seal: string
}

function toRow({ secretId }: TaggedSecret, { keyEncryptionKeyId, bytes }: SecretTag): TagRow {
  const hex = Buffer.from(bytes, 'latin1').toString('hex')
  return { secretId, keyEncryptionKeyId, tag: hex.slice(0, 64), seal: hex.slice(64) }
}

/**
 * A secret whose row was deleted is skipped. All replicas write in the same order, so that two of them do not wait for
 * each other.
 */
async function writeTags(database: Statements, rows: readonly TagRow[]): Promise<void> {
  if (rows.length === 0) return
  const sorted = rows.toSorted((left, right) => (left.secretId < right.secretId ? -1 : 1))
  await database.$executeRaw`
    INSERT INTO client_secret_tag (secret_id, key_encryption_key_id, tag, seal)
    SELECT t."secretId", t."keyEncryptionKeyId", decode(t.tag, 'hex'), decode(t.seal, 'hex')
      FROM jsonb_to_recordset(${JSON.stringify(sorted)}::jsonb)
        AS t ("secretId" text, "keyEncryptionKeyId" text, tag text, seal text)
      JOIN client_secret s ON s.secret_id = t."secretId"
     ORDER BY t."secretId"
    ON CONFLICT (secret_id) DO UPDATE SET key_encryption_key_id = excluded.key_encryption_key_id,
      tag = excluded.tag, seal = excluded.seal, written_at = now()`
}

/** Makes tags of new secrets, for a command that creates them and has the key-encryption key. */
export interface TagMaker {
  write(database: Statements, secrets: readonly (TaggedSecret & { readonly secret: string })[]): Promise<void>
}

/**
 * Tags are made under the key that seals the newest signing key, as a process that serves makes them.
 * @returns undefined when that key is not at hand: then the first use of each secret makes its tag.
 */
export async function openTagMaker(
  database: Statements,
  keys: KeyEncryptionKeys | undefined,
): Promise<TagMaker | undefined> {
  if (keys === undefined) return undefined
  const id = newestSealedWith((await believedKeys(database, keys)).keys) ?? keys[0].id
  const sealing = keys.find((key) => key.id === id)
  if (sealing === undefined) return undefined
  const key = tagKey(sealing)
  return {
    async write(transaction, secrets) {
      const rows = secrets.map(({ secret, ...tagged }) => toRow(tagged, makeTag(key, id, tagged, secret)))
      for (let start = 0; start < rows.length; start += rowsPerStatementMax) {
        await writeTags(transaction, rows.slice(start, start + rowsPerStatementMax))
      }
    },
  }
}

/**
 * Secrets whose tag was made under another key-encryption key than this one: without that key, the next use of each
 * needs a hash.
 */
export async function countTagsOfOtherKeys(
  database: Statements,
  keyEncryptionKeyId: string,
): Promise<number> {
  const [row] = await database.$queryRaw<{ count: number }[]>`
    SELECT count(*)::int AS count FROM client_secret_tag t JOIN client_secret s USING (secret_id)
     WHERE t.key_encryption_key_id <> ${keyEncryptionKeyId} AND s.revoked_at IS NULL`
  return row?.count ?? 0
}
