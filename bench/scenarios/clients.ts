import { registerClients, zipfDraw } from '../clients.ts'
import type { BenchDatabase } from '../database.ts'
import { type Costs, measure, measureClosedLoop, takeTurns, warmUp } from '../measure.ts'
import { type PreparedRequest, tokenRequest } from '../requests.ts'
import type { Row, Scenario } from '../scenario.ts'
import type { Server } from '../servers.ts'
import { median, ratios } from '../statistics.ts'
import {
  describeCosts,
  megabytes,
  number,
  perSecond,
  postgresCpu,
  rateOf,
  serverCpu,
  times,
} from '../text.ts'
import type { World } from '../world.ts'

/** The number of requests in the list that a load repeats. It is the same for every registry. */
const drawnMax = 100_000
/** First requests per second during the warm-up. The connections are fewer than may wait for a hash. */
const visitsPerSecond = 1_000
const visitConnections = 32
const tailClientsMax = 5_000

interface Population {
  readonly size: number
  readonly service: Server
  /** The whole list, in which frequent clients occur many times. */
  readonly drawn: readonly PreparedRequest[]
  /** Each client of the list once. */
  readonly distinct: readonly PreparedRequest[]
  /** Some registered clients that are not in the list. */
  readonly tail: readonly PreparedRequest[]
}

export const clients: Scenario = {
  name: 'clients',
  question: 'Does the rate hold when very many clients are registered?',
  async run(world) {
    const hundred = await openPopulation(world, 100)
    const most = await openPopulation(world, world.plan.manyClients)
    const others = [await openPopulation(world, 1), await openPopulation(world, 10_000)]
    const compared = await takeTurns(
      world,
      { '100 clients': askAll(world, hundred), 'very many': askAll(world, most) },
      describeCosts,
    )
    const rows = [populationRow(hundred, compared['100 clients']), populationRow(most, compared['very many'])]
    for (const other of others) {
      const name = `${number(other.size)} clients`
      const results = await takeTurns(
        world,
        { [name]: askAll(world, other) },
        describeCosts,
        world.plan.fewRounds,
      )
      rows.push(populationRow(other, results[name] ?? []))
    }
    return [
      ...rows,
      besideHundred(most, compared['very many'], compared['100 clients']),
      await tailRow(world, most),
    ]
  },
}

const askAll =
  (world: World, { service, drawn }: Population) =>
  () =>
    measureClosedLoop(world, service, drawn)

async function openPopulation(world: World, size: number): Promise<Population> {
  const database: BenchDatabase = await world.database()
  const registered = await registerClients(database.client, size, 'least')
  const requests = registered.map((client) => tokenRequest(client))
  const draw = zipfDraw(size, Math.min(drawnMax, world.plan.manyClients))
  const indexes = new Set(draw)
  const pick = (wanted: Iterable<number>) => [...wanted].map((index) => requests[index] as PreparedRequest)
  const others = requests.filter((_, index) => !indexes.has(index))
  const service = await world.service({ database })
  const distinct = pick(indexes)
  world.say(
    `${number(size)} clients registered, ${number(distinct.length)} of them ask; each asks once first`,
  )
  const first = await visit(world, service, distinct)
  world.noteFailures('first visits', first)
  const drawn = pick(draw)
  await warmUp(world, service, drawn)
  return { size, service, drawn, distinct, tail: others.slice(-tailClientsMax) }
}

/** Sends each request once, slowly enough that the queue for hashes refuses none. */
function visit(world: World, service: Server, requests: readonly PreparedRequest[]) {
  const durationSeconds = requests.length / visitsPerSecond
  return world.openLoop(service, requests, visitsPerSecond, {
    durationSeconds,
    leadSeconds: 0,
    connections: visitConnections,
  })
}

function populationRow({ size, distinct }: Population, rounds: readonly Costs[]): Row {
  return {
    what: `${number(size)} registered, ${number(distinct.length)} of them ask`,
    measured: `${rateOf(rounds)}, CPU ${serverCpu(rounds)}, ${megabytes(
      Math.max(...rounds.map((round) => round.residentBytes)),
    )} resident`,
  }
}

function besideHundred({ size }: Population, many: readonly Costs[], hundred: readonly Costs[]): Row {
  const rate = (round: Costs): number => round.ratePerSecond
  const values = ratios(many.map(rate), hundred.map(rate))
  return {
    what: `rate with ${number(size)} registered, beside 100`,
    measured: times(values),
    beside: `100 clients: ${rateOf(hundred)}`,
    target: { name: 'manyClients', value: median(values) },
    note:
      'Who asks is drawn by Zipf’s law (exponent 1) over all that are registered, into a list that the load repeats. ' +
      'Everybody in it has asked once before, so no request pays for a hash. All hashes have the least cost there is, ' +
      'which a warm request never sees.',
  }
}

/** The cost of clients that the service has not seen before. */
async function tailRow(world: World, { service, tail, size }: Population): Promise<Row> {
  const round = await measure(world, service, () => visit(world, service, tail))
  world.noteFailures('the long tail', round)
  return {
    what: `first request of a client among ${number(size)}, without its hash`,
    measured: `CPU ${serverCpu([round])}, PostgreSQL ${postgresCpu([round])}`,
    note:
      `${number(tail.length)} clients, each once, ${perSecond(visitsPerSecond)}: read from the database and verified ` +
      'against a hash of the least cost. A real one adds its 26 ms or so; see the scenario "cold".',
  }
}
