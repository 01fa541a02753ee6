import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { forkFile, messageOf } from './children.ts'
import type { LoadResult } from './closed-loop.ts'
import type { PreparedRequest } from './requests.ts'

/** The open loop (load/open-loop.ts): requests have intended times, and latency counts from these times. */
export interface OpenLoop {
  readonly origin: string
  /** More replicas. Requests go to all of them in turn. */
  readonly moreOrigins?: readonly string[]
  readonly requests: readonly PreparedRequest[]
  readonly ratePerSecond: number
  readonly durationSeconds: number
  /**
   * Seconds of load before that, at the same rate. Its answers are counted, but not part of the percentiles.
   */
  readonly leadSeconds: number
  readonly connections: number
  /** The source address of the load. By default 127.0.0.1. */
  readonly localAddress?: string
  /** The number of additional connections that send one byte a second. */
  readonly slowConnections?: number
}

/** What a load balancer is told: whether a replica takes requests. */
export interface Turn {
  readonly origin: string
  readonly takesRequests: boolean
}

export interface OpenLoopResult extends LoadResult {
  readonly p50Milliseconds: number
  readonly p99Milliseconds: number
  readonly p999Milliseconds: number
  readonly maxMilliseconds: number
  /** The share of requests that the generator itself sent more than 5 ms late. */
  readonly lateShare: number
  /** The share of requests that found every connection busy. */
  readonly waitedShare: number
}

/** With a higher share of late requests, a round measures the generator and not the server. */
const lateShareMax = 0.005

/**
 * The reason why medians over these rounds are worthless: the generator was late in at least half of them.
 * Fewer late rounds cannot decide a median. A round counts as late if it was late for any contestant.
 * @returns undefined if the medians are valid.
 */
export function whyWorthless(...contestants: readonly (readonly OpenLoopResult[])[]): string | undefined {
  const rounds = contestants[0]?.length ?? 0
  const isLate = (round: number): boolean =>
    contestants.some((results) => (results[round]?.lateShare ?? 0) > lateShareMax)
  const lateRounds = Array.from({ length: rounds }, (_, round) => round).filter(isLate).length
  return lateRounds * 2 >= rounds
    ? `in ${lateRounds} of ${rounds} rounds the load generator sent more than ${lateShareMax * 100} % more than 5 ms late`
    : undefined
}

export interface RunningOpenLoop {
  readonly result: Promise<OpenLoopResult>
  tell(turn: Turn): void
}

/** @param directory for the input files of the load generator. */
export function startOpenLoop(load: OpenLoop, directory: string): RunningOpenLoop {
  const own = mkdtempSync(join(directory, 'load-'))
  const path = join(own, 'load.json')
  writeFileSync(path, JSON.stringify(load))
  const child = forkFile('load/open-loop.ts', [path])
  // The process has ended when this resolves. So its CPU time does not disturb the next measurement.
  const ended = once(child, 'exit')
  const result = messageOf<OpenLoopResult>(child).then(async (message) => {
    await ended
    return message
  })
  return {
    result: result.finally(() => rmSync(own, { recursive: true, force: true })),
    tell: (turn) => void child.send(turn),
  }
}

/** @param directory for the input files of the load generator. */
export function runOpenLoop(load: OpenLoop, directory: string): Promise<OpenLoopResult> {
  return startOpenLoop(load, directory).result
}
