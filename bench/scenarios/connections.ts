import { mkdtempSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { residentBytesOf } from '../accounting.ts'
import { runFile } from '../children.ts'
import { registerClients, wrongSecret } from '../clients.ts'
import type { Strangers, StrangersResult } from '../load/strangers.ts'
import { findPeak, takeTurns, warmUp, warmUpAt } from '../measure.ts'
import { type OpenLoopResult, whyWorthless } from '../open-loop.ts'
import { bytesOf, type PreparedRequest, tokenRequest } from '../requests.ts'
import type { Row, Scenario } from '../scenario.ts'
import type { Server } from '../servers.ts'
import { median, ratios } from '../statistics.ts'
import { describeLatency, medianOf, megabytes, milliseconds, number, times } from '../text.ts'
import type { World } from '../world.ts'

type Flood = Pick<Strangers, 'connections' | 'opensPerSecond' | 'first' | 'again'> & {
  /** Completes the phrase "p99 beside …". */
  readonly description: string
}

interface Round extends OpenLoopResult {
  readonly residentBytes: number
  readonly strangers: StrangersResult | undefined
}

/** Another loopback address than that of the good clients. */
const strangersAddress = '127.0.0.2'
/** Seconds from the start of the flood until good clients are measured. */
const leadSeconds = 4

export const connections: Scenario = {
  name: 'connections',
  question: 'Do connections, unfinished bodies and pipelined requests of one address slow down others?',
  async run(world) {
    const database = await world.database()
    const clients = await registerClients(database.client, 100, 'least')
    const requests = clients.map((client) => tokenRequest(client))
    const server = await world.service({ database })
    await warmUp(world, server, requests)
    const rate = (await findPeak(world, server, requests)) / 4
    await warmUpAt(world, server, requests, rate)
    // The same flood at another server takes the same cores and hits nothing of the service: what it costs is the machine's.
    const nextDoor = await world.peer('bare')
    const floods = floodsAt(server)
    const run = (flood?: Flood, target?: Server) => () => round(world, server, requests, rate, flood, target)
    const results = await takeTurns(
      world,
      {
        quiet: run(),
        idle: run(floods.idle),
        bodies: run(floods.bodies),
        pipelines: run(floods.pipelines),
        'idle next door': run(floods.idle, nextDoor),
        'bodies next door': run(floods.bodies, nextDoor),
        'pipelines next door': run(floods.pipelines, nextDoor),
      },
      (result) =>
        `${describeLatency(result)}, ${megabytes(result.residentBytes)}${describe(result.strangers)}`,
      world.plan.fewRounds,
    )
    return (['idle', 'bodies', 'pipelines'] as const).flatMap((name) => [
      rowOf(floods[name], results[name], results.quiet),
      rowNextDoor(floods[name], results[name], results[`${name} next door`]),
    ])
  },
}

function floodsAt(server: Server) {
  const guess = tokenRequest({ clientId: 'nobody', secret: wrongSecret() })
  const bytes = bytesOf(guess, server.origin)
  const unfinished = bytesOf({ ...guess, body: 'x'.repeat(64 * 1024) }, server.origin).slice(0, -1)
  return {
    idle: {
      description: '10,000 connections that do nothing',
      connections: 10_000,
      opensPerSecond: 3_000,
      first: '',
      again: '',
    },
    bodies: {
      description: '1,500 bodies of 64 KiB without their last byte',
      connections: 1_500,
      opensPerSecond: 500,
      first: unfinished,
      again: '',
    },
    pipelines: {
      description: 'a thousand wrong guesses in flight on twenty connections',
      connections: 20,
      opensPerSecond: 100,
      first: bytes.repeat(50),
      again: bytes,
    },
  } satisfies Record<string, Flood>
}

async function round(
  world: World,
  server: Server,
  requests: readonly PreparedRequest[],
  rate: number,
  flood: Flood | undefined,
  target: Server = server,
): Promise<Round> {
  const strangers = flood === undefined ? undefined : runStrangers(world, target, flood)
  // The promise is awaited below. A rejection before that must not end the process.
  strangers?.catch(() => {})
  if (strangers !== undefined) await sleep(leadSeconds * 1_000)
  const good = await world.openLoop(server, requests, rate)
  const residentBytes = residentBytesOf([server.processId]) ?? Number.NaN
  world.noteFailures(flood === undefined ? 'good clients in quiet' : `beside ${flood.description}`, good)
  return { ...good, residentBytes, strangers: await strangers }
}

function runStrangers(
  world: World,
  server: Server,
  { description: _, ...flood }: Flood,
): Promise<StrangersResult> {
  const { hostname, port } = new URL(server.origin)
  const load: Strangers = {
    ...flood,
    host: hostname,
    port: Number(port),
    localAddress: strangersAddress,
    durationSeconds: leadSeconds + world.plan.roundSeconds + 2,
  }
  const path = join(mkdtempSync(join(world.directory, 'strangers-')), 'load.json')
  writeFileSync(path, JSON.stringify(load))
  return runFile<StrangersResult>('load/strangers.ts', [path])
}

function rowOf({ description }: Flood, rounds: readonly Round[], quiet: readonly Round[]): Row {
  const p99 = (result: Round): number => result.p99Milliseconds
  const values = ratios(rounds.map(p99), quiet.map(p99))
  const resident = (results: readonly Round[]): string =>
    megabytes(medianOf(results, (result) => result.residentBytes))
  return {
    what: `p99 beside ${description}`,
    measured: `${times(values)}, ${milliseconds(medianOf(rounds, p99))}, ${resident(rounds)}`,
    beside: `in quiet: ${milliseconds(medianOf(quiet, p99))}, ${resident(quiet)}`,
    target: { name: 'latencyBesideStrangers', value: median(values) },
    worthless: whyWorthless(rounds, quiet),
    note: `From ${strangersAddress}, while good clients come at a quarter of the peak.${describe(rounds.at(-1)?.strangers)}`,
  }
}

/** What of it is due to the service, and not to a machine that the flood shares with it. */
function rowNextDoor({ description }: Flood, rounds: readonly Round[], nextDoor: readonly Round[]): Row {
  const p99 = (result: Round): number => result.p99Milliseconds
  return {
    what: 'the same, beside the same flood at a bare server next door',
    measured: times(ratios(rounds.map(p99), nextDoor.map(p99))),
    beside: `next door: ${milliseconds(medianOf(nextDoor, p99))}`,
    worthless: whyWorthless(rounds, nextDoor),
    note: `${description}, at another process on this machine, which takes all of them in.${describe(nextDoor.at(-1)?.strangers)}`,
  }
}

function describe(strangers: StrangersResult | undefined): string {
  if (strangers === undefined) return ''
  const { opened, closed, answers } = strangers
  return ` Strangers opened ${number(opened)} connections, lost ${number(closed)} and got ${number(answers)} answers.`
}
