import type { Statements } from '../database/open.ts'

/** When secrets were last used: noted in memory, written in one statement now and then. */
export interface SecretUses {
  /** `time` in milliseconds since 1970. */
  note(secretId: string, time: number): void
  close(): Promise<void>
}

const writeEveryMilliseconds = 30_000

export function openSecretUses(database: Statements, onFault: (error: unknown) => void): SecretUses {
  let uses = new Map<string, number>()

  async function write(): Promise<void> {
    if (uses.size === 0) return
    const written = uses
    uses = new Map()
    const json = JSON.stringify([...written].map(([id, time]) => ({ id, time })))
    try {
      await database.$executeRaw`
        INSERT INTO client_secret_use (secret_id, last_used_at)
        SELECT u.id, timestamptz 'epoch' + u.time * interval '1 millisecond'
          FROM jsonb_to_recordset(${json}::jsonb) AS u (id text, time bigint)
          JOIN client_secret s ON s.secret_id = u.id
        ON CONFLICT (secret_id) DO UPDATE
          SET last_used_at = greatest(client_secret_use.last_used_at, excluded.last_used_at)`
    } catch (error) {
      // Kept for the next time; the map holds one entry per secret, so it cannot grow past the registry.
      for (const [id, time] of written) if (!uses.has(id)) uses.set(id, time)
      onFault(error)
    }
  }

  const timer = setInterval(() => void write(), writeEveryMilliseconds).unref()
  return {
    note: (secretId, time) => void uses.set(secretId, time),
    async close() {
      clearInterval(timer)
      await write()
    },
  }
}
