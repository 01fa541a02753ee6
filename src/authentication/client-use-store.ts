import type { Statements } from '../database/open.ts'
import { repeat } from '../lib/repeated.ts'

/** When clients last got a token, with any method: noted in memory, written now and then. */
export interface ClientUses {
  /** `time` in milliseconds since 1970. */
  note(clientId: string, time: number): void
  close(): Promise<void>
}

const writeEveryMilliseconds = 30_000

export function openClientUses(database: Statements, onFault: (error: unknown) => void): ClientUses {
  /** One entry for each client, so it cannot grow past the registry. */
  let uses = new Map<string, number>()

  async function write(): Promise<void> {
    if (uses.size === 0) return
    const written = uses
    uses = new Map()
    // All replicas write in the same order, so that two of them do not wait for each other.
    const rows = [...written].toSorted(([one], [other]) => (one < other ? -1 : 1))
    const json = JSON.stringify(rows.map(([id, time]) => ({ id, time })))
    try {
      await database.$executeRaw`
        INSERT INTO client_use (client_id, last_used_at)
        SELECT u.id, timestamptz 'epoch' + u.time * interval '1 millisecond'
          FROM jsonb_to_recordset(${json}::jsonb) AS u (id text, time bigint)
          JOIN client c ON c.client_id = u.id
         ORDER BY u.id
        ON CONFLICT (client_id) DO UPDATE
          SET last_used_at = greatest(client_use.last_used_at, excluded.last_used_at)`
    } catch (error) {
      for (const [id, time] of written) if (!uses.has(id)) uses.set(id, time)
      onFault(error)
    }
  }

  const writes = repeat(writeEveryMilliseconds, write, onFault)
  return {
    note: (clientId, time) => void uses.set(clientId, time),
    async close() {
      await writes.close()
      await write()
    },
  }
}
