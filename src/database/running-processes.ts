import { repeat } from '../lib/repeated.ts'
import { limits } from '../limits.ts'
import type { Statements } from './open.ts'

/**
 * The processes that serve on one database, each with the settings that all of them must share: two issuers, or two key
 * lifetimes, on one registry and one set of keys are a mistake. Each process notes its settings when it starts and every
 * few seconds, and compares those of the others. The one that started later is not ready. The one that was there first
 * goes on, so that a mistake in a new process stops nobody.
 */
export interface RunningProcesses {
  /** Whether a process that started before this one has other settings. */
  readonly contradictsEarlier: boolean
  /** Whether this is not so, and a process that started after this one has other settings. */
  readonly contradictsLater: boolean
  close(): Promise<void>
}

export type SharedSettings = Readonly<Record<string, string | number | readonly string[]>>

export interface OtherSettings {
  /** The host, process id and release of the other process. */
  readonly described: string
  readonly startedEarlier: boolean
  /** The settings that differ, with this process' value and the other one's. */
  readonly settings: Readonly<Record<string, { readonly here: unknown; readonly there: unknown }>>
}

export interface RunningProcessesOptions {
  readonly database: Statements
  /** A UUID. */
  readonly processId: string
  readonly described: string
  readonly settings: SharedSettings
  /** Called when the processes with other settings change; with none when all agree again. */
  readonly onChange: (others: readonly OtherSettings[]) => void
  readonly onFault: (error: unknown) => void
}

export async function openRunningProcesses(options: RunningProcessesOptions): Promise<RunningProcesses> {
  const { database, processId, onChange, onFault } = options
  let others: readonly OtherSettings[] = []

  async function look(): Promise<void> {
    await note(options)
    const found = await findOthers(options)
    const isSame = JSON.stringify(found) === JSON.stringify(others)
    others = found
    if (!isSame) onChange(found)
  }

  const contradictsEarlier = (): boolean => others.some(({ startedEarlier }) => startedEarlier)
  await look()
  const looks = repeat(limits.settingsCheckMilliseconds, look, onFault)
  return {
    get contradictsEarlier() {
      return contradictsEarlier()
    },
    get contradictsLater() {
      return others.length > 0 && !contradictsEarlier()
    },
    async close() {
      await looks.close()
      // The next process may start with other settings at once.
      await Promise.resolve(
        database.$executeRaw`
          UPDATE running_process SET seen_at = clock_timestamp(), ended_at = clock_timestamp()
           WHERE process_id = ${processId}::uuid`,
      ).catch(onFault)
    },
  }
}

/**
 * One statement notes that this process runs, and one forgets those that were not seen for long. They stay for as long as
 * caches may hold the keys that they served (keys/verifier-store.ts), with an hour to spare.
 */
async function note({ database, processId, described, settings }: RunningProcessesOptions): Promise<void> {
  await database.$executeRaw`
    INSERT INTO running_process (process_id, described, settings)
    VALUES (${processId}::uuid, ${described}, ${JSON.stringify(settings)}::jsonb)
    ON CONFLICT (process_id) DO UPDATE SET seen_at = clock_timestamp()`
  await database.$executeRaw`
    DELETE FROM running_process
     WHERE process_id IN (SELECT process_id FROM running_process
       WHERE seen_at < clock_timestamp() - interval '1 hour'
                       - COALESCE((settings ->> 'jwksMaxAgeSeconds')::float8, 0) * interval '1 second'
         FOR UPDATE SKIP LOCKED)`
}

async function findOthers(options: RunningProcessesOptions): Promise<OtherSettings[]> {
  const { database, processId, settings } = options
  const rows = await database.$queryRaw<{ described: string; settings: SharedSettings; earlier: boolean }[]>`
    SELECT o.described, o.settings,
           (o.started_at, o.process_id) < (own.started_at, own.process_id) AS earlier
      FROM running_process o, running_process own
     WHERE own.process_id = ${processId}::uuid AND o.settings <> own.settings AND o.ended_at IS NULL
       AND o.seen_at > clock_timestamp() - ${limits.processSeenSeconds} * interval '1 second'
     ORDER BY o.started_at, o.process_id LIMIT 10`
  return rows
    .map((row) => ({
      described: row.described,
      startedEarlier: row.earlier,
      settings: differences(settings, row.settings),
    }))
    .filter((other) => Object.keys(other.settings).length > 0)
}

/** Of what both know: another release may not have heard of a setting, and an upgrade must not wait for it. */
function differences(here: SharedSettings, there: SharedSettings): OtherSettings['settings'] {
  return Object.fromEntries(
    Object.keys(here)
      .filter((name) => Object.hasOwn(Object(there ?? {}), name))
      .filter((name) => JSON.stringify(here[name]) !== JSON.stringify(there[name]))
      .map((name) => [name, { here: here[name], there: there[name] }]),
  )
}
