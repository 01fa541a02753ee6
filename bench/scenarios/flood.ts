import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { registerClients, wrongSecret } from '../clients.ts'
import { medianHashMilliseconds } from '../hash-time.ts'
import { findPeak, takeTurns, warmUp, warmUpAt } from '../measure.ts'
import { type OpenLoopResult, whyWorthless } from '../open-loop.ts'
import { type Credentials, type PreparedRequest, tokenRequest } from '../requests.ts'
import { type Row, type Scenario, skipped } from '../scenario.ts'
import type { Server } from '../servers.ts'
import { median, ratios } from '../statistics.ts'
import { describeLatency, medianOf, milliseconds, perSecond, times } from '../text.ts'
import type { World } from '../world.ts'

interface Flood {
  /** Completes the phrase "1,000/s …". */
  readonly description: string
  readonly requests: readonly PreparedRequest[]
  readonly ratePerSecond: number
  readonly slowConnections: number
  /** Seconds from the start of the flood until good clients are measured. */
  readonly leadSeconds: number
}

/** One round of good requests, with the answers to the flood by status. */
interface FloodRound extends OpenLoopResult {
  readonly flooded: Readonly<Record<string, number>>
}

/** Another loopback address than that of the good clients, so that failures do not count against them. */
const floodAddress = '127.0.0.2'
const floodConnections = 64
const slowConnections = 100
/** Seconds for which the flood continues after the round of the good clients. */
const tailSeconds = 1
/** The highest values of these settings. With them the limits never refuse, so every guess is looked up and recorded. */
const raisedLimits = {
  MINTMARK_FAILURES_PER_CLIENT_MAX: '1000000',
  MINTMARK_FAILURES_PER_ADDRESS_MAX: '1000000',
}

export const flood: Scenario = {
  name: 'flood',
  question: 'Do guesses and rubbish slow down those who have the right secret?',
  async run(world) {
    if (!(await isLoopback(floodAddress))) {
      return [skipped('p99 in a flood', `${floodAddress} is no address of this machine`)]
    }
    const database = await world.database()
    const clients = await registerClients(database.client, 100, 'least')
    const requests = clients.map((client) => tokenRequest(client))
    const raised = await world.service({ database, environment: raisedLimits })
    const ordinary = await world.service({ database })
    for (const server of [raised, ordinary]) await warmUp(world, server, requests)
    const gateRate = 1_000 / (await medianHashMilliseconds())
    const rate = (await findPeak(world, ordinary, requests)) / 2
    for (const server of [raised, ordinary]) await warmUpAt(world, server, requests, rate)
    const floods = floodsAt(gateRate, clients)
    const run = (server: Server, one?: Flood) => () => floodRound(world, server, requests, rate, one)
    const results = await takeTurns(
      world,
      {
        'quiet, raised': run(raised),
        'at the gate': run(raised, floods.atGate),
        'beyond it': run(raised, floods.beyond),
        mixed: run(raised, floods.mixed),
        'quiet, default': run(ordinary),
        'default limits': run(ordinary, floods.limited),
      },
      (round) => `${describeLatency(round)}${describeFlooded(round)}`,
      world.plan.fewRounds,
    )
    const raisedQuiet = results['quiet, raised']
    const ordinaryQuiet = results['quiet, default']
    return [
      floodRow('default limits', floods.limited, results['default limits'], ordinaryQuiet),
      floodRow('limits raised', floods.atGate, results['at the gate'], raisedQuiet),
      floodRow('limits raised, ten times as many', floods.beyond, results['beyond it'], raisedQuiet),
      floodRow('mixed rubbish', floods.mixed, results.mixed, raisedQuiet),
    ]
  },
}

function floodsAt(gateRate: number, clients: readonly Credentials[]) {
  const guesses = Array.from({ length: 2_000 }, (_, number) =>
    tokenRequest({ clientId: clients[number % clients.length]?.clientId ?? '', secret: wrongSecret() }),
  )
  const mixture = guesses.map((guess, number): PreparedRequest => {
    if (number % 3 === 0) return guess
    if (number % 3 === 1) return tokenRequest({ clientId: `nobody-${number}`, secret: wrongSecret() })
    return { ...guess, body: number % 2 === 0 ? '%%%&=&grant_type' : '{"grant_type":"client_credentials"}' }
  })
  return {
    atGate: {
      description: 'wrong secrets, as many as one thread could hash',
      requests: guesses,
      ratePerSecond: gateRate,
      slowConnections: 0,
      leadSeconds: 1,
    },
    beyond: {
      description: 'wrong secrets, ten times what one thread could hash',
      requests: guesses,
      ratePerSecond: gateRate * 10,
      slowConnections: 0,
      leadSeconds: 1,
    },
    mixed: {
      description: `wrong secrets, unknown clients and broken forms, and ${slowConnections} slow connections`,
      requests: mixture,
      ratePerSecond: gateRate * 10,
      slowConnections,
      leadSeconds: 1,
    },
    limited: {
      description: 'wrong secrets, after the first hundred or so that the limit counts',
      requests: guesses,
      ratePerSecond: gateRate * 10,
      slowConnections: 0,
      leadSeconds: 1 + 100 / (gateRate * 10),
    },
  }
}

async function floodRound(
  world: World,
  server: Server,
  requests: readonly PreparedRequest[],
  rate: number,
  one: Flood | undefined,
): Promise<FloodRound> {
  if (one === undefined) {
    const quiet = await world.openLoop(server, requests, rate)
    world.noteFailures('good clients in quiet', quiet)
    return { ...quiet, flooded: {} }
  }
  const flooding = world.openLoop(server, one.requests, one.ratePerSecond, {
    durationSeconds: world.plan.roundSeconds + one.leadSeconds + tailSeconds,
    connections: floodConnections,
    slowConnections: one.slowConnections,
    localAddress: floodAddress,
  })
  // The promise is awaited below. A rejection before that must not end the process.
  flooding.catch(() => {})
  await sleep(one.leadSeconds * 1_000)
  const good = await world.openLoop(server, requests, rate)
  world.noteFailures('good clients in the flood', good)
  const { statuses, errors } = await flooding
  return { ...good, flooded: { ...statuses, ...(errors === 0 ? {} : { lost: errors }) } }
}

function floodRow(
  name: string,
  { ratePerSecond, description }: Flood,
  rounds: readonly FloodRound[],
  quiet: readonly FloodRound[],
): Row {
  const p99 = (round: FloodRound): number => round.p99Milliseconds
  const values = ratios(rounds.map(p99), quiet.map(p99))
  return {
    what: `p99 in a flood, ${name}`,
    measured: `${times(values)}, ${milliseconds(medianOf(rounds, p99))}`,
    beside: `in quiet: ${milliseconds(medianOf(quiet, p99))}`,
    target: { name: 'latencyInFlood', value: median(values) },
    worthless: whyWorthless(rounds, quiet),
    note:
      `${perSecond(ratePerSecond)} ${description}, from ${floodAddress}, while good clients come at half of the peak. ` +
      `The flood's answers in the last round:${describeFlooded(rounds.at(-1))}.`,
  }
}

function describeFlooded(round: FloodRound | undefined): string {
  const answers = Object.entries(round?.flooded ?? {}).map(([status, count]) => `${count} × ${status}`)
  return answers.length === 0 ? '' : ` ${answers.join(', ')}`
}

/** Linux accepts all addresses of 127.0.0.0/8. Other systems have only one of them. */
function isLoopback(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const listening = createServer().once('error', () => resolve(false))
    listening.listen(0, address, () => listening.close(() => resolve(true)))
  })
}
