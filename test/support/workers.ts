/** A service with workers: started as a whole, and read by its log. */
import type { FreshDatabase } from './database.ts'
import { test as base } from './fixtures.ts'
import { environmentOf, isRunning, type ServiceProcess, startServiceProcess } from './process.ts'
import { registerClient } from './service.ts'

/** Starts services with workers. */
export const test = base
  .extend('client', ({ database }) => registerClient(database))
  /** Starts `serve` or `start` as the leader of a group, and waits until it is ready. */
  .extend('startGroup', ({ track }) => {
    return async (
      name: 'serve' | 'start',
      environment: Readonly<Record<string, string>>,
      isReady: (output: string) => boolean,
    ): Promise<ServiceProcess> => {
      const service = track(await startServiceProcess([name], { environment, leadsGroup: true }))
      await service.until(() => isReady(service.output()))
      return service
    }
  })
  /** Starts `serve` with workers, and waits until all of them are ready. */
  .extend('serveWith', ({ database, startGroup }) => {
    return (workers: number, more: Readonly<Record<string, string>> = {}) =>
      startGroup('serve', environmentOf(database.url, { WORKERS: String(workers), ...more }), (output) =>
        output.includes('"event":"listening"'),
      )
  })

type Line = Readonly<Record<string, unknown>>

/** Of its log, what is about one event. Each line must be one JSON object, whichever process wrote it. */
export function linesOf(service: ServiceProcess, event: string): Line[] {
  const output = service.output()
  const mark = `"event":"${event}"`
  const lines: Line[] = []
  // It is asked again and again while the output grows, so it looks for the lines and reads no others.
  for (let at = output.indexOf(mark); at !== -1; at = output.indexOf(mark, at + mark.length)) {
    const end = output.indexOf('\n', at)
    if (end === -1) break
    lines.push(JSON.parse(output.slice(output.lastIndexOf('\n', at) + 1, end)))
  }
  return lines
}

/** The process ids of the workers that ever were ready, in that order. */
export const workersOf = (service: ServiceProcess): number[] =>
  linesOf(service, 'worker_ready').map((line) => Number(line['workerProcessId']))

/** Which of its processes still run. */
export const leftOf = (service: ServiceProcess): number[] =>
  [service.processId, ...workersOf(service)].filter(isRunning)

/** What the chain of each process says last, not counting one that it opened to make a key. */
export async function chainEnds(database: FreshDatabase, processIds: readonly number[]): Promise<unknown[]> {
  const rows = await database.query(
    `SELECT DISTINCT ON (chain) type || ' ' || outcome AS said
       FROM audit_record JOIN audit_chain USING (chain)
      WHERE split_part(opened_by, ' ', 2)::int = ANY($1)
        AND chain IN (SELECT chain FROM audit_record WHERE type = 'service')
      ORDER BY chain, seq DESC`,
    [processIds],
  )
  return rows.map(({ said }) => said)
}
