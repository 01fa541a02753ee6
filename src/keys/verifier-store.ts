import type { Queryable, Statements } from '../database/open.ts'
import { limits } from '../limits.ts'

/**
 * Remembers which verifier has fetched which keys. A verifier can name itself in the header
 * `Mintmark-Verifier`. Others are known by address and user agent. Before an early rotation, this list shows
 * which verifiers have not fetched the next key yet. Fetches are noted in memory and written in one statement
 * every few seconds. No request waits for this write.
 */
export interface Verifiers {
  note(fetch: Fetch): void
  close(): Promise<void>
}

export interface Fetch {
  readonly name: string | undefined
  readonly address: string
  readonly userAgent: string | undefined
  /** The keys in the set that it was given. */
  readonly kids: readonly string[]
  /** Milliseconds since 1970. */
  readonly time: number
}

export interface SeenVerifier {
  readonly name: string
  readonly named: boolean
  readonly address: string
  readonly userAgent: string | undefined
  /** Seconds since 1970. */
  readonly lastFetchedAt: number
  readonly kids: readonly string[]
}

const writeEveryMilliseconds = 10_000

/** Days after which a verifier is forgotten if it does not fetch again. */
const rememberedDays = 30

export function openVerifiers(database: Statements, onFault: (error: unknown) => void): Verifiers {
  let fetches = new Map<string, Fetch>()

  async function write(): Promise<void> {
    if (fetches.size === 0) return
    const written = fetches
    fetches = new Map()
    const json = JSON.stringify(
      // All replicas write in the same order, so that two of them cannot wait for each other's rows
      // (deadlock).
      [...written]
        .sort(([left], [right]) => (left < right ? -1 : 1))
        .map(([name, fetch]) => ({ ...fetch, name, named: fetch.name !== undefined })),
    )
    try {
      await database.$executeRaw`
        INSERT INTO verifier (name, named, address, user_agent, last_fetched_at, kids)
        SELECT v.name, v.named, v.address, v."userAgent", timestamptz 'epoch' + v.time * interval '1 millisecond', v.kids
          FROM jsonb_to_recordset(${json}::jsonb)
            AS v (name text, named bool, address text, "userAgent" text, time bigint, kids text[])
        ON CONFLICT (name) DO UPDATE SET address = excluded.address, user_agent = excluded.user_agent,
          last_fetched_at = excluded.last_fetched_at, kids = excluded.kids
          WHERE verifier.last_fetched_at < excluded.last_fetched_at`
      await database.$executeRaw`
        DELETE FROM verifier WHERE last_fetched_at < now() - ${rememberedDays} * interval '1 day'
          OR name IN (SELECT name FROM verifier ORDER BY last_fetched_at DESC OFFSET ${limits.verifiersNotedMax})`
    } catch (error) {
      onFault(error)
    }
  }

  const timer = setInterval(() => void write(), writeEveryMilliseconds).unref()
  return {
    note(fetch) {
      const userAgent = printable(fetch.userAgent)
      const name = printable(fetch.name) ?? `${fetch.address} ${userAgent ?? ''}`.trim()
      if (fetches.size >= limits.verifiersNotedMax && !fetches.has(name)) return
      fetches.set(name, { ...fetch, name: printable(fetch.name), userAgent })
    },
    async close() {
      clearInterval(timer)
      await write()
    },
  }
}

/**
 * A caller chooses its header values and a terminal shows them later. So they become short printable ASCII.
 */
function printable(text: string | undefined): string | undefined {
  const plain = text
    ?.replace(/[^\x20-\x7e]/g, '?')
    .slice(0, limits.verifierNameCharactersMax)
    .trim()
  return plain === '' ? undefined : plain
}

/** The time of the last fetch by any verifier, in seconds since 1970; undefined if no verifier is noted. */
export async function lastFetchAt(database: Queryable): Promise<number | undefined> {
  const row = await database.verifier.findFirst({ orderBy: { lastFetchedAt: 'desc' } })
  return row === null ? undefined : Math.floor(row.lastFetchedAt.getTime() / 1000)
}

/** The verifiers that fetched the set, the latest first. */
export async function listVerifiers(database: Queryable): Promise<SeenVerifier[]> {
  const rows = await database.verifier.findMany({ orderBy: { lastFetchedAt: 'desc' }, take: 10_000 })
  return rows.map(({ userAgent, lastFetchedAt, ...row }) => ({
    ...row,
    userAgent: userAgent ?? undefined,
    lastFetchedAt: Math.floor(lastFetchedAt.getTime() / 1000),
  }))
}

/**
 * Until when caches may hold a set that was served with a longer max-age than the given one, by a process that has ended
 * since or has other settings.
 * @returns seconds since 1970, by the database's clock; undefined if no such set is known.
 */
export async function longerCachesEndAt(
  database: Statements,
  maxAgeSeconds: number,
): Promise<number | undefined> {
  const [row] = await database.$queryRaw<{ at: number | null }[]>`
    SELECT max(extract(epoch FROM seen_at) + (settings ->> 'jwksMaxAgeSeconds')::float8)::float8 AS at
      FROM running_process WHERE (settings ->> 'jwksMaxAgeSeconds')::float8 > ${maxAgeSeconds}::float8`
  // A process that was killed served sets after it was seen last.
  return row?.at == null ? undefined : Math.ceil(row.at + limits.settingsCheckMilliseconds / 1_000)
}
