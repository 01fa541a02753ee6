import type { Statements } from '../database/open.ts'
import { plainText } from '../lib/plain-text.ts'
import { repeat } from '../lib/repeated.ts'
import { limits } from '../limits.ts'

/**
 * When secrets were last used, and by whom: noted in memory, and written in one statement now and then. No token waits
 * for it, and none causes a statement. Callers are what an operator has to find when a secret is replaced.
 */
export interface SecretUses {
  note(secretId: string, use: SecretUse): void
  close(): Promise<void>
}

/** One token. Address and user agent are as the ledger keeps them. */
export interface SecretUse {
  /** Milliseconds since 1970. */
  readonly time: number
  readonly address?: string | undefined
  readonly userAgent?: string | undefined
}

const writeEveryMilliseconds = 30_000

/** Writes between two searches for callers that have not come back: an hour. A new caller starts a search sooner. */
const writesPerLook = 120

/** Rows of one statement. */
const rowsPerStatementMax = 5_000

export function openSecretUses(database: Statements, onFault: (error: unknown) => void): SecretUses {
  let noted = new NotedUses()
  let writes = 0

  async function write(): Promise<void> {
    const rows = noted.rows()
    if (rows.length === 0) return
    noted = new NotedUses()
    let written = 0
    try {
      const news = new Set<string>()
      for (; written < rows.length; written += rowsPerStatementMax) {
        const part = rows.slice(written, written + rowsPerStatementMax)
        for (const secretId of await writeUses(database, part)) news.add(secretId)
      }
      writes += 1
      if (news.size > 0 || writes % writesPerLook === 1) await forgetCallers(database, [...news])
    } catch (error) {
      // Kept for the next time, within the same bounds.
      for (const row of rows.slice(written)) noted.addRow(row)
      onFault(error)
    }
  }

  const repeated = repeat(writeEveryMilliseconds, write, onFault)
  return {
    note: (secretId, use) => noted.add(secretId, use),
    async close() {
      await repeated.close()
      await write()
    },
  }
}

interface UseRow {
  readonly secretId: string
  readonly address: string
  readonly userAgent: string
  count: number
  /** The latest, in milliseconds since 1970. */
  time: number
}

/** Stands for all callers beyond the bounds. No caller has an empty address. */
const others = { address: '', userAgent: '' }

/** The uses since the last write. There is one entry for each secret, and a bounded number for its callers. */
export class NotedUses {
  readonly #secrets = new Map<string, Map<string, UseRow>>()
  #callers = 0

  add(secretId: string, { time, address = '', userAgent = '' }: SecretUse): void {
    this.#add(secretId, address, bounded(userAgent), 1, time)
  }

  addRow({ secretId, address, userAgent, count, time }: UseRow): void {
    this.#add(secretId, address, userAgent, count, time)
  }

  #add(secretId: string, address: string, userAgent: string, count: number, time: number): void {
    let callers = this.#secrets.get(secretId)
    if (callers === undefined) {
      callers = new Map()
      this.#secrets.set(secretId, callers)
    }
    const key = `${address} ${userAgent}`
    const row = callers.get(key) ?? this.#newRow(callers, key, secretId, address, userAgent)
    row.count += count
    if (time > row.time) row.time = time
  }

  #newRow(
    callers: Map<string, UseRow>,
    key: string,
    secretId: string,
    address: string,
    userAgent: string,
  ): UseRow {
    const isRoom = callers.size < limits.callersPerSecretMax && this.#callers < limits.callersNotedMax
    const othersKey = ' '
    const known = isRoom ? undefined : callers.get(othersKey)
    if (known !== undefined) return known
    const caller = isRoom ? { address, userAgent: plainText(userAgent) } : others
    const row = { secretId, ...caller, count: 0, time: 0 }
    callers.set(isRoom ? key : othersKey, row)
    this.#callers += 1
    return row
  }

  /** All replicas write in the same order, so that two of them do not wait for each other. */
  rows(): readonly UseRow[] {
    return [...this.#secrets]
      .toSorted(([one], [other]) => (one < other ? -1 : 1))
      .flatMap(([, callers]) => [...callers].toSorted(([one], [other]) => (one < other ? -1 : 1)))
      .map(([, row]) => row)
  }
}

/** A copy, not a slice: a slice would keep all of a long text in memory. */
function bounded(userAgent: string): string {
  const most = limits.callerUserAgentCharactersMax
  return userAgent.length <= most ? userAgent : Buffer.from(userAgent.slice(0, most)).toString()
}

/**
 * Counts stop at the end of their column: a hand may have written one that is as large.
 * @returns the secrets that have a caller who was not known.
 */
async function writeUses(database: Statements, rows: readonly UseRow[]): Promise<readonly string[]> {
  const written = await database.$queryRaw<{ secretId: string; isNew: boolean }[]>`
    WITH noted AS (
      SELECT u."secretId", u.address, u."userAgent", sum(u.count)::bigint AS count,
             timestamptz 'epoch' + max(u.time) * interval '1 millisecond' AS moment
        FROM jsonb_to_recordset(${JSON.stringify(rows)}::jsonb)
          AS u ("secretId" text, address text, "userAgent" text, count bigint, time bigint)
        JOIN client_secret s ON s.secret_id = u."secretId"
       GROUP BY u."secretId", u.address, u."userAgent"
    ), used AS (
      INSERT INTO client_secret_use (secret_id, last_used_at)
      SELECT "secretId", max(moment) FROM noted GROUP BY "secretId" ORDER BY "secretId"
      ON CONFLICT (secret_id) DO UPDATE
        SET last_used_at = greatest(client_secret_use.last_used_at, excluded.last_used_at)
    )
    INSERT INTO client_secret_caller AS c (secret_id, address, user_agent, count, last_used_at)
    SELECT "secretId", address, "userAgent", count, moment FROM noted ORDER BY "secretId", address, "userAgent"
    ON CONFLICT (secret_id, address, user_agent) DO UPDATE
      SET count = least(c.count::numeric + excluded.count, 9223372036854775807), last_used_at = greatest(c.last_used_at, excluded.last_used_at)
    RETURNING c.secret_id AS "secretId", c.xmax = 0 AS "isNew"`
  return written.filter(({ isNew }) => isNew).map(({ secretId }) => secretId)
}

/** Keeps the latest callers of these secrets, and counts the rest with the others. Old callers are deleted. */
async function forgetCallers(database: Statements, secretIds: readonly string[]): Promise<void> {
  await database.$executeRaw`
    DELETE FROM client_secret_caller WHERE last_used_at < now() - ${limits.callerKeptDays} * interval '1 day'`
  await database.$executeRaw`
    WITH ranked AS (
      SELECT secret_id, address, user_agent,
             row_number() OVER (PARTITION BY secret_id ORDER BY last_used_at DESC, address, user_agent) AS place
        FROM client_secret_caller WHERE secret_id = ANY(${secretIds}::text[]) AND address <> ''
    ), removed AS (
      DELETE FROM client_secret_caller c USING ranked r
       WHERE r.place > ${limits.callersPerSecretMax}::int AND c.secret_id = r.secret_id AND c.address = r.address
         AND c.user_agent = r.user_agent
      RETURNING c.secret_id, c.count, c.last_used_at
    )
    INSERT INTO client_secret_caller AS c (secret_id, address, user_agent, count, last_used_at)
    SELECT secret_id, '', '', least(sum(count), 9223372036854775807), max(last_used_at) FROM removed GROUP BY secret_id ORDER BY secret_id
    ON CONFLICT (secret_id, address, user_agent) DO UPDATE
      SET count = least(c.count::numeric + excluded.count, 9223372036854775807), last_used_at = greatest(c.last_used_at, excluded.last_used_at)`
}

/** Who used a secret. Without an address: all callers that are only counted. */
export interface SecretCaller {
  readonly secretId: string
  readonly address: string | undefined
  readonly userAgent: string | undefined
  readonly count: number
  /** Seconds since 1970. */
  readonly lastUsedAt: number
}

/** The callers of these secrets, the latest first. */
export async function readSecretCallers(
  database: Pick<Statements, '$queryRaw'>,
  secretIds: readonly string[],
): Promise<SecretCaller[]> {
  const rows = await database.$queryRaw<
    { secretId: string; address: string; userAgent: string; count: number; lastUsedAt: number }[]
  >`
    SELECT secret_id AS "secretId", address, user_agent AS "userAgent", count::float8 AS count,
           floor(extract(epoch FROM last_used_at))::float8 AS "lastUsedAt"
      FROM client_secret_caller WHERE secret_id = ANY(${[...secretIds]}::text[])
     ORDER BY address = '', last_used_at DESC, address, user_agent`
  return rows.map(({ address, userAgent, ...row }) => ({
    ...row,
    address: address === '' ? undefined : address,
    userAgent: userAgent === '' ? undefined : userAgent,
  }))
}
