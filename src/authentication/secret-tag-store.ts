import type { Statements } from '../database/open.ts'
import type { SecretTag, TaggedSecret } from './secret-tag.ts'

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
  let writing: Promise<void> | undefined

  async function write(): Promise<void> {
    const rows = [...tags.values()]
    tags = new Map()
    try {
      for (let start = 0; start < rows.length; start += rowsPerStatementMax) {
        await writeTags(database, rows.slice(start, start + rowsPerStatementMax))
      }
    } catch (error) {
      // Not kept: each is made again when its secret is verified again.
      onFault(error)
    }
  }

  const timer = setInterval(() => {
    if (tags.size === 0) return
    writing ??= write().finally(() => {
      writing = undefined
    })
  }, writeEveryMilliseconds).unref()
  return {
    note: (tagged, tag) => void tags.set(tagged.secretId, toRow(tagged, tag)),
    async close() {
      clearInterval(timer)
      await writing
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

export function toRow({ secretId }: TaggedSecret, { keyEncryptionKeyId, bytes }: SecretTag): TagRow {
  const hex = Buffer.from(bytes, 'latin1').toString('hex')
  return { secretId, keyEncryptionKeyId, tag: hex.slice(0, 64), seal: hex.slice(64) }
}

/** A secret whose row is gone is passed over. In one order, so that two replicas do not wait for each other. */
export async function writeTags(database: Statements, rows: readonly TagRow[]): Promise<void> {
  if (rows.length === 0) return
  const sorted = rows.toSorted((left, right) => (left.secretId < right.secretId ? -1 : 1))
  await database.$executeRaw`
    INSERT INTO client_secret_tag (secret_id, key_encryption_key_id, tag, seal)
    SELECT t."secretId", t."keyEncryptionKeyId", decode(t.tag, 'hex'), decode(t.seal, 'hex')
      FROM jsonb_to_recordset(${JSON.stringify(sorted)}::jsonb)
        AS t ("secretId" text, "keyEncryptionKeyId" text, tag text, seal text)
      JOIN client_secret s ON s.secret_id = t."secretId"
    ON CONFLICT (secret_id) DO UPDATE SET key_encryption_key_id = excluded.key_encryption_key_id,
      tag = excluded.tag, seal = excluded.seal, written_at = now()`
}
