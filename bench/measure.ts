import { cpuMicrosecondsOf, cpuMicrosecondsOfEndedChildren, residentBytesOf, treeOf } from './accounting.ts'
import type { LoadResult } from './closed-loop.ts'
import type { PreparedRequest } from './requests.ts'
import type { Server } from './servers.ts'
import { median } from './statistics.ts'
import type { World } from './world.ts'

/** What one round cost. NaN stands for what this operating system does not tell. */
export interface Costs {
  /** Answers per second. */
  readonly ratePerSecond: number
  /** CPU time of the server's processes for one answer. */
  readonly serverMicroseconds: number
  /** CPU time of PostgreSQL for one answer. */
  readonly postgresMicroseconds: number
  /** S at the time of this round: the mean of just before and just after. */
  readonly signatureMicroseconds: number
  /** The same two in S. */
  readonly serverSignatures: number
  readonly postgresSignatures: number
  /** Cores that the load generator kept busy. */
  readonly generatorCores: number
  /** The most memory that the server's processes were seen to hold. */
  readonly residentBytes: number
}

/** Milliseconds between two looks at a server's memory. */
const memoryIntervalMilliseconds = 200

/** Runs one round of load on a server, and says what it cost whom. */
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
    // Between two such looks nothing of ours ends but the load generator.
    generator: cpuMicrosecondsOfEndedChildren() ?? Number.NaN,
  }
}

function watchMemory(processId: number): { stop(): number } {
  const processIds = treeOf(processId)
  let most = Number.NaN
  const look = (): void => {
    const bytes = residentBytesOf(processIds)
    if (bytes !== undefined && !(bytes < most)) most = bytes
  }
  const timer = setInterval(look, memoryIntervalMilliseconds)
  return {
    stop() {
      look()
      clearInterval(timer)
      return most
    },
  }
}

/** A closed loop that is measured, and in which every request should succeed. */
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

/** Load that is not measured, until everything is compiled and remembered. */
export async function warmUp(
  world: World,
  server: Server,
  requests: readonly PreparedRequest[],
): Promise<void> {
  await world.closedLoop(server, requests, world.plan.warmUpSeconds)
}

/**
 * The same at a rate: requests that come one by one take other ways through a server than a crowd does, and those
 * have to be compiled as well.
 */
export async function warmUpAt(
  world: World,
  server: Server,
  requests: readonly PreparedRequest[],
  ratePerSecond: number,
): Promise<void> {
  await world.openLoop(server, requests, ratePerSecond, { durationSeconds: world.plan.warmUpSeconds })
}

/** Answers per second that a server can give at most: the median of a few closed loops. */
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
 * Lets contestants take turns, round after round, because a machine's speed drifts from minute to minute: what
 * counts are the ratios of neighbours.
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
