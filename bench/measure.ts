import { cpuMicrosecondsOf, cpuMicrosecondsOfEndedChildren, residentBytesOf, treeOf } from './accounting.ts'
import type { LoadResult } from './closed-loop.ts'
import type { PreparedRequest } from './requests.ts'
import type { Server } from './servers.ts'
import { median } from './statistics.ts'
import type { World } from './world.ts'

/** The costs of one round. A figure is NaN if this operating system does not report it. */
export interface Costs {
  /** Answers per second. */
  readonly ratePerSecond: number
  /** The CPU time of the server's processes for one answer. */
  readonly serverMicroseconds: number
  /** The CPU time of PostgreSQL for one answer. */
  readonly postgresMicroseconds: number
  /** S during this round: the mean of the values just before and just after it. */
  readonly signatureMicroseconds: number
  /** `serverMicroseconds` in S. */
  readonly serverSignatures: number
  /** `postgresMicroseconds` in S. */
  readonly postgresSignatures: number
  /** How many cores the load generator used. */
  readonly generatorCores: number
  /** The highest memory use of the server's processes that was observed. */
  readonly residentBytes: number
}

/** Milliseconds between two reads of a server's memory use. */
const memoryIntervalMilliseconds = 200

/**
 * Runs one round of load on a server and measures the costs of the server, PostgreSQL and the load generator.
 */
export async function measure<Result extends LoadResult>(
  world: World,
  server: Server,
  load: () => Promise<Result>,
): Promise<Result & Costs> {
  const signatureBefore = await world.signatureMicroseconds()
  const memory = watchMemory(server.processId)
  const before = readCpu(world, server)
  const result = await load()
  const after = readCpu(world, server)
  const residentBytes = memory.stop()
  const signatureMicroseconds = (signatureBefore + (await world.signatureMicroseconds())) / 2
  const serverMicroseconds = (after.server - before.server) / result.answered
  const postgresMicroseconds = (after.postgres - before.postgres) / result.answered
  return {
    ...result,
    ratePerSecond: result.answered / result.durationSeconds,
    serverMicroseconds,
    postgresMicroseconds,
    signatureMicroseconds,
    serverSignatures: serverMicroseconds / signatureMicroseconds,
    postgresSignatures: postgresMicroseconds / signatureMicroseconds,
    generatorCores: (after.generator - before.generator) / 1e6 / result.durationSeconds,
    residentBytes,
  }
}

function readCpu(world: World, server: Server) {
  return {
    server: cpuMicrosecondsOf(server.processId) ?? Number.NaN,
    postgres: cpuMicrosecondsOf(world.postgres.processId) ?? Number.NaN,
    // Between two reads, the load generator is the only child of this process that ends.
    generator: cpuMicrosecondsOfEndedChildren() ?? Number.NaN,
  }
}

function watchMemory(processId: number): { stop(): number } {
  const processIds = treeOf(processId)
  let most = Number.NaN
  const read = (): void => {
    const bytes = residentBytesOf(processIds)
    if (bytes !== undefined && !(bytes < most)) most = bytes
  }
  const timer = setInterval(read, memoryIntervalMilliseconds)
  return {
    stop() {
      read()
      clearInterval(timer)
      return most
    },
  }
}

/** Measures a closed loop in which every request should succeed. */
export async function measureClosedLoop(
  world: World,
  server: Server,
  requests: readonly PreparedRequest[],
  expectedStatus = 200,
): Promise<LoadResult & Costs> {
  const measured = await measure(world, server, () => world.closedLoop(server, requests))
  world.noteFailures(server.name, measured, expectedStatus)
  return measured
}

/** Runs load without measuring it, until the code is compiled and the caches are filled. */
export async function warmUp(
  world: World,
  server: Server,
  requests: readonly PreparedRequest[],
): Promise<void> {
  await world.closedLoop(server, requests, world.plan.warmUpSeconds)
}

/**
 * Warms up with an open loop. Requests that arrive one by one use other code in a server than many at once,
 * and this code must be compiled too.
 */
export async function warmUpAt(
  world: World,
  server: Server,
  requests: readonly PreparedRequest[],
  ratePerSecond: number,
): Promise<void> {
  await world.openLoop(server, requests, ratePerSecond, { durationSeconds: world.plan.warmUpSeconds })
}

/** The highest rate of a server in answers per second: the median of a few closed loops. */
export async function findPeak(
  world: World,
  server: Server,
  requests: readonly PreparedRequest[],
): Promise<number> {
  const rates: number[] = []
  for (let round = 0; round < world.plan.fewRounds; round += 1) {
    const result = await world.closedLoop(server, requests)
    world.noteFailures(server.name, result)
    rates.push(result.answered / result.durationSeconds)
  }
  const peak = median(rates)
  world.say(`${server.name}: at most ${Math.round(peak)}/s`)
  return peak
}

/**
 * Runs the contestants in turn, round after round. The speed of a machine changes from minute to minute, so
 * only the ratios within one round count.
 */
export async function takeTurns<Name extends string, Result>(
  world: World,
  contestants: Readonly<Record<Name, () => Promise<Result>>>,
  describe: (result: Result) => string,
  rounds = world.plan.rounds,
): Promise<Record<Name, Result[]>> {
  const names = Object.keys(contestants) as Name[]
  const results = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<Name, Result[]>
  for (let round = 1; round <= rounds; round += 1) {
    for (const name of names) {
      const result = await contestants[name]()
      results[name].push(result)
      world.say(`round ${round} of ${rounds}  ${name.padEnd(14)} ${describe(result)}`)
    }
  }
  return results
}
