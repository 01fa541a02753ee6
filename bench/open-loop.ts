import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runFile } from './children.ts'
import type { LoadResult } from './closed-loop.ts'
import type { PreparedRequest } from './requests.ts'

/** The open loop (load/open-loop.ts): requests at intended times, latency counted from those. */
export interface OpenLoop {
  readonly origin: string
  readonly requests: readonly PreparedRequest[]
  readonly ratePerSecond: number
  readonly durationSeconds: number
  /** Before that, at the same rate: answered and counted, but no part of the percentiles. */
  readonly leadSeconds: number
  readonly connections: number
  /** Where it comes from, when not from 127.0.0.1. */
  readonly localAddress?: string
  /** Connections beside these that send one byte a second. */
  readonly slowConnections?: number
}

export interface OpenLoopResult extends LoadResult {
  readonly p50Milliseconds: number
  readonly p99Milliseconds: number
  readonly p999Milliseconds: number
  readonly maxMilliseconds: number
  /** The share of requests that left more than 5 ms late, through the generator's own fault. */
  readonly lateShare: number
  /** The share of requests that found every connection busy. */
  readonly waitedShare: number
}

/** With more than this share of late sends, a round says more about the generator than about the server. */
const lateShareMax = 0.005

/**
 * Why medians over these rounds say nothing, if they do not: the generator was late in half of them. Fewer do not
 * decide a median. Rounds of several contestants count together: those of the same number are neighbours.
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

/** @param directory where what the generator reads may be put. */
export async function runOpenLoop(load: OpenLoop, directory: string): Promise<OpenLoopResult> {
  const own = mkdtempSync(join(directory, 'load-'))
  const path = join(own, 'load.json')
  writeFileSync(path, JSON.stringify(load))
  try {
    return await runFile<OpenLoopResult>('load/open-loop.ts', [path])
  } finally {
    rmSync(own, { recursive: true, force: true })
  }
}
