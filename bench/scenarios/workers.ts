import { availableParallelism } from 'node:os'
import { treeOf } from '../accounting.ts'
import { registerClients } from '../clients.ts'
import { type Costs, measure, takeTurns, warmUp } from '../measure.ts'
import { type PreparedRequest, tokenRequest } from '../requests.ts'
import { type Row, type Scenario, skipped } from '../scenario.ts'
import type { Server } from '../servers.ts'
import { median, ratios } from '../statistics.ts'
import { describeCosts, medianOf, number, perSecond, rateOf, serverCpu, times } from '../text.ts'
import type { World } from '../world.ts'

const what = 'tokens per CPU-bound second, two processes'

export const workers: Scenario = {
  name: 'workers',
  question: 'What do two processes of the service bring, on the cores of this machine?',
  async run(world) {
    const database = await world.database()
    const clients = await registerClients(database.client, 100, 'least')
    const requests = clients.map((client) => tokenRequest(client))
    const two = await startTwo(world, database)
    if (typeof two === 'string') return [skipped(what, two)]
    const one = await world.service({ database })
    for (const server of [one, two]) await warmUp(world, server, requests)
    const results = await takeTurns(
      world,
      {
        one: () => measureMany(world, one, requests),
        two: () => measureMany(world, two, requests),
      },
      (round) => `${describeCosts(round)}, load generator ${number(round.generatorCores, 2)} cores`,
    )
    const values = ratios(results.two.map(boundRate), results.one.map(boundRate))
    return [
      countRow('one process', results.one),
      countRow('two processes', results.two),
      {
        what,
        measured: times(values),
        beside: `one process: ${perSecond(medianOf(results.one, boundRate))}`,
        target: { name: 'twoProcesses', value: median(values) },
        note:
          'A CPU-bound second is one second of one core that the load generator left over: the rate divided by ' +
          `(${availableParallelism()} cores less those of the generator). PostgreSQL runs on what is left over too. ` +
          `${crowd * world.plan.connections} connections. Two processes and PostgreSQL together cannot do more than ` +
          `${times(ratios(results.two.map(boundRateMost), results.one.map(boundRate)))} on cores that are never idle.`,
      },
    ]
  },
}

/**
 * The factor for the usual number of connections. With it, each of two processes has several requests per
 * commit.
 */
const crowd = 3

async function measureMany(
  world: World,
  server: Server,
  requests: readonly PreparedRequest[],
): Promise<Costs> {
  const { roundSeconds, connections } = world.plan
  const measured = await measure(world, server, () =>
    world.closedLoop(server, requests, roundSeconds, crowd * connections),
  )
  world.noteFailures(server.name, measured)
  return measured
}

const boundRate = ({ ratePerSecond, generatorCores }: Costs): number =>
  ratePerSecond / (availableParallelism() - generatorCores)

/** The highest possible rate with these costs, if no core is ever idle: tokens per second of CPU time. */
const boundRateMost = ({ serverMicroseconds, postgresMicroseconds }: Costs): number =>
  1e6 / (serverMicroseconds + postgresMicroseconds)

/** Starts the service with two workers. @returns the server, or the reason why it did not start them. */
async function startTwo(
  world: World,
  database: Awaited<ReturnType<World['database']>>,
): Promise<Server | string> {
  try {
    const server = await world.service({ database, workers: 2 })
    return treeOf(server.processId).length > 1 ? server : 'WORKERS=2 started no second process'
  } catch (error) {
    return `the service does not start with WORKERS=2: ${(error as Error).message}`
  }
}

function countRow(name: string, rounds: readonly Costs[]): Row {
  return {
    what: `tokens per second, ${name}`,
    measured: `${rateOf(rounds)}, CPU ${serverCpu(rounds)}`,
    beside: `load generator: ${number(
      medianOf(rounds, (round) => round.generatorCores),
      2,
    )} cores`,
  }
}
