import type { Statements } from '../database/open.ts'
import { repeat } from '../lib/repeated.ts'

/** When keys of clients were last used: noted in memory, written in one statement now and then. */
export interface ClientKeyUses {
  note(use: ClientKeyUse): void
  close(): Promise<void>
}

export interface ClientKeyUse {
  readonly clientId: string
  readonly thumbprint: string
  /** Milliseconds since 1970. */
  readonly time: number
  /** What the assertion named as its audience. */
  readonly audience: 'issuer' | 'token_endpoint' | 'other'
}

interface Noted {
  readonly clientId: string
  readonly thumbprint: string
  time: number
  /** How many assertions named the token endpoint, and when the last one did. */
  tokenEndpointCount: number
  tokenEndpointTime: number | null
}

const writeEveryMilliseconds = 30_000

export function openClientKeyUses(database: Statements, onFault: (error: unknown) => void): ClientKeyUses {
  /** One entry per key, so it cannot grow past the registry. */
  let uses = new Map<string, Noted>()

  function add({ clientId, thumbprint, time, tokenEndpointCount, tokenEndpointTime }: Noted): void {
    const key = `${thumbprint} ${clientId}`
    const noted = uses.get(key)
    if (noted === undefined) {
      uses.set(key, { clientId, thumbprint, time, tokenEndpointCount, tokenEndpointTime })
      return
    }
    noted.time = Math.max(noted.time, time)
    noted.tokenEndpointCount += tokenEndpointCount
    if (tokenEndpointTime !== null) {
      noted.tokenEndpointTime = Math.max(noted.tokenEndpointTime ?? 0, tokenEndpointTime)
    }
  }

  async function write(): Promise<void> {
    if (uses.size === 0) return
    const written = uses
    uses = new Map()
    // All replicas write in the same order, so that two of them do not wait for each other.
    const json = JSON.stringify([...written.values()])
    try {
      await database.$executeRaw`
        INSERT INTO client_key_use AS before
          (client_id, thumbprint, last_used_at, token_endpoint_audience_count, token_endpoint_audience_at)
        SELECT u."clientId", u.thumbprint, timestamptz 'epoch' + u.time * interval '1 millisecond',
               u."tokenEndpointCount", timestamptz 'epoch' + u."tokenEndpointTime" * interval '1 millisecond'
          FROM jsonb_to_recordset(${json}::jsonb)
            AS u ("clientId" text, thumbprint text, time bigint, "tokenEndpointCount" bigint, "tokenEndpointTime" bigint)
          JOIN client_key k ON k.client_id = u."clientId" AND k.thumbprint = u.thumbprint
         ORDER BY u."clientId", u.thumbprint
        ON CONFLICT (client_id, thumbprint) DO UPDATE
          SET last_used_at = greatest(before.last_used_at, excluded.last_used_at),
              token_endpoint_audience_count =
                -- As far as the column goes: a hand may have written any number.
                least(before.token_endpoint_audience_count::numeric + excluded.token_endpoint_audience_count,
                  9223372036854775807),
              token_endpoint_audience_at =
                greatest(before.token_endpoint_audience_at, excluded.token_endpoint_audience_at)`
    } catch (error) {
      for (const use of written.values()) add(use)
      onFault(error)
    }
  }

  const writes = repeat(writeEveryMilliseconds, write, onFault)
  return {
    note({ clientId, thumbprint, time, audience }) {
      const isOld = audience === 'token_endpoint'
      add({
        clientId,
        thumbprint,
        time,
        tokenEndpointCount: isOld ? 1 : 0,
        tokenEndpointTime: isOld ? time : null,
      })
    },
    async close() {
      await writes.close()
      await write()
    },
  }
}
