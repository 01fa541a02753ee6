import type { Queryable, Statements } from '../database/open.ts'
import { limits } from '../limits.ts'

/**
 * Who has seen which keys. Relying services that name themselves (header `Mintmark-Verifier`) are known by
 * that name, others by user agent and address. Before an early rotation an operator can see who has not fetched
 * the next key yet. Noted in memory, written in one statement now and then, never waited for.
 */
export interface Verifiers {
  note(fetch: Fetch): void
  close(): Promise<void>
}

export interface Fetch {
  readonly name: string | undefined
  readonly address: string
  readonly userAgent: string | undefined
  /** Of the keys that it was given. */
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

/** Days after which a verifier that did not come again is forgotten. */
const rememberedDays = 30

export function openVerifiers(database: Statements, onFault: (error: unknown) => void): Verifiers {
  let fetches = new Map<string, Fetch>()

  async function write(): Promise<void> {
    if (fetches.size === 0) return
    const written = fetches
    fetches = new Map()
    const json = JSON.stringify(
      // In one order everywhere, so that two replicas that write the same names do not wait for each other.
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

/** Header values are a stranger's; what is shown in a terminal later is plain and short. */
function printable(text: string | undefined): string | undefined {
  const plain = text
    ?.replace(/[^\x20-\x7e]/g, '?')
    .slice(0, limits.verifierNameCharactersMax)
    .trim()
  return plain === '' ? undefined : plain
}

/** When the set was last fetched by anybody, in seconds since 1970; undefined when nobody is noted. */
export async function lastFetchAt(database: Queryable): Promise<number | undefined> {
  const row = await database.verifier.findFirst({ orderBy: { lastFetchedAt: 'desc' } })
  return row === null ? undefined : Math.floor(row.lastFetchedAt.getTime() / 1000)
}

/** Everybody who fetched the set lately, the latest first. */
export async function listVerifiers(database: Queryable): Promise<SeenVerifier[]> {
  const rows = await database.verifier.findMany({ orderBy: { lastFetchedAt: 'desc' }, take: 10_000 })
  return rows.map(({ userAgent, lastFetchedAt, ...row }) => ({
    ...row,
    userAgent: userAgent ?? undefined,
    lastFetchedAt: Math.floor(lastFetchedAt.getTime() / 1000),
  }))
}
