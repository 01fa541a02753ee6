import { errorCode } from '../database/faults.ts'
import type { Queryable, Statements } from '../database/open.ts'
import { callerNetwork } from '../lib/network.ts'
import { repeat } from '../lib/repeated.ts'
import { limits } from '../limits.ts'

/**
 * Remembers which verifier has fetched which keys. A verifier can name itself in the header
 * `Mintmark-Verifier`. Others are known by address and user agent. Before an early rotation, this list shows
 * which verifiers have not fetched the next key yet. Fetches are noted in memory and written in one statement
 * every few seconds. No request waits for this write. Anybody may fetch the set, so names are bounded: for each network,
 * for each process, and in all. A name that came back for longer is not pushed out by new ones.
 */
export interface Verifiers {
  note(fetch: Fetch): void
  /** Everything that was noted before this call is in the database when it resolves. @throws if it cannot be written. */
  writeNow(): Promise<void>
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
  let noted = new Noted()
  /** Names that have a row. They are noted even if strangers invent many other names. */
  const known = new Set<string>()

  async function write(): Promise<void> {
    const { fetches } = noted
    if (fetches.size === 0) return
    noted = new Noted()
    // All replicas write in the same order, so that two of them cannot wait for each other's rows (deadlock).
    const rows = [...fetches]
      .sort(([left], [right]) => (left < right ? -1 : 1))
      .map(([name, fetch]) => ({ ...fetch, name, named: fetch.name !== undefined }))
    try {
      const isFull = await writeRows(database, rows)
      if (isFull || known.size + rows.length > limits.verifiersNotedMax) known.clear()
      for (const { name } of rows) known.add(name)
    } catch (error) {
      // A key may sign at once if nobody has fetched the set for long. So no fetch is lost while the database is away.
      // What the database refuses (22, 23) would be refused again, and every later fetch with it.
      if (!/^2[23]/.test(errorCode(error))) noted.addOlder(fetches, known)
      throw error
    }
  }

  const writes = repeat(writeEveryMilliseconds, write, onFault)
  return {
    note(fetch) {
      const userAgent = printable(fetch.userAgent)
      const name = printable(fetch.name)
      const row = name ?? `${fetch.address} ${userAgent ?? ''}`.trim()
      noted.add(row, { ...fetch, name, userAgent, network: callerNetwork(fetch.address) }, known)
    },
    async writeNow() {
      await writes.idle()
      await write()
    },
    async close() {
      await writes.close()
      await write().catch(onFault)
    },
  }
}

type NotedFetch = Fetch & { readonly network: string }

/** Fetches beyond the limits are noted under this name, because the moment of the latest fetch must not be lost. */
const othersName = 'others'

/** The fetches since the last write. */
class Noted {
  readonly fetches = new Map<string, NotedFetch>()
  #new = 0
  readonly #newOf = new Map<string, number>()

  add(name: string, fetch: NotedFetch, known: ReadonlySet<string>): void {
    if (known.has(name) || this.fetches.has(name) || this.#hasRoom(fetch.network))
      this.fetches.set(name, fetch)
    else if (fetch.time > (this.fetches.get(othersName)?.time ?? Number.NEGATIVE_INFINITY))
      this.fetches.set(othersName, {
        ...fetch,
        name: undefined,
        address: '',
        userAgent: undefined,
        network: '',
      })
  }

  addOlder(fetches: ReadonlyMap<string, NotedFetch>, known: ReadonlySet<string>): void {
    for (const [name, fetch] of fetches) if (!this.fetches.has(name)) this.add(name, fetch, known)
  }

  #hasRoom(network: string): boolean {
    const ofNetwork = this.#newOf.get(network) ?? 0
    if (this.#new >= limits.verifiersNewMax || ofNetwork >= limits.verifiersNewPerAddressMax) return false
    this.#new += 1
    this.#newOf.set(network, ofNetwork + 1)
    return true
  }
}

/** @returns whether there were more rows than are kept. */
async function writeRows(
  database: Statements,
  rows: readonly (Omit<NotedFetch, 'name'> & { readonly name: string; readonly named: boolean })[],
): Promise<boolean> {
  const json = JSON.stringify(rows)
  const written = await database.$queryRaw<{ isNew: boolean }[]>`
    INSERT INTO verifier (name, named, address, network, user_agent, first_fetched_at, last_fetched_at, kids)
    SELECT v.name, v.named, v.address, v.network, v."userAgent", moment, moment, v.kids
      FROM jsonb_to_recordset(${json}::jsonb)
        AS v (name text, named bool, address text, network text, "userAgent" text, time bigint, kids text[]),
      LATERAL (SELECT timestamptz 'epoch' + v.time * interval '1 millisecond' AS moment) AS m
    ON CONFLICT (name) DO UPDATE SET address = excluded.address, network = excluded.network,
      user_agent = excluded.user_agent, last_fetched_at = excluded.last_fetched_at, kids = excluded.kids
      WHERE verifier.last_fetched_at < excluded.last_fetched_at
    RETURNING first_fetched_at = last_fetched_at AS "isNew"`
  // Without a new name there is nothing to make room for. The latest fetch of all stays: keys wait for it (lastFetchAt).
  if (!written.some(({ isNew }) => isNew)) return false
  const removed = await database.$executeRaw`
    DELETE FROM verifier WHERE (last_fetched_at < now() - ${rememberedDays} * interval '1 day' OR name IN (
      SELECT name FROM (
        SELECT name, row_number() OVER (ORDER BY last_fetched_at - first_fetched_at DESC, last_fetched_at DESC) AS place,
               row_number() OVER (PARTITION BY network
                                  ORDER BY last_fetched_at - first_fetched_at DESC, last_fetched_at DESC) AS place_in_network
          FROM verifier) AS ranked
       WHERE place > ${limits.verifiersNotedMax} OR place_in_network > ${limits.verifiersPerAddressMax}))
      AND name <> (SELECT name FROM verifier ORDER BY last_fetched_at DESC LIMIT 1)`
  return removed > 0
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
  // A process that was killed may have served sets after it was last seen.
  return row?.at == null ? undefined : Math.ceil(row.at + limits.settingsCheckMilliseconds / 1_000)
}
