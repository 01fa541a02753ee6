import { registerClients } from '../clients.ts'
import type { BenchDatabase } from '../database.ts'
import { findPeak, takeTurns, warmUp } from '../measure.ts'
import { type OpenLoopResult, whyWorthless } from '../open-loop.ts'
import { tokenRequest } from '../requests.ts'
import type { Row, Scenario } from '../scenario.ts'
import type { Server } from '../servers.ts'
import { median } from '../statistics.ts'
import { describeLatency, medianOf, milliseconds, number, perSecond, times } from '../text.ts'

export const latency: Scenario = {
  name: 'latency',
  question: 'How long does a token take, at half of what the service can do and near all of it?',
  async run(world) {
    const database = await world.database()
    const clients = await registerClients(database.client, 100, 'least')
    const requests = clients.map((client) => tokenRequest(client))
    const commitMilliseconds = await medianCommitMilliseconds(database)
    world.say(`one commit takes ${milliseconds(commitMilliseconds)}`)
    const service = await world.service({ database })
    const bare = await world.peer('bare')
    for (const server of [service, bare]) await warmUp(world, server, requests)
    const peak = await findPeak(world, service, requests)
    const ask = (server: Server, rate: number) => async (): Promise<OpenLoopResult> => {
      const result = await world.openLoop(server, requests, rate)
      world.noteFailures(`${server.name} at ${perSecond(rate)}`, result)
      return result
    }
    const results = await takeTurns(
      world,
      { mintmark: ask(service, peak / 2), bare: ask(bare, peak / 2) },
      describeLatency,
    )
    const busy = await takeTurns(
      world,
      { 'near its peak': ask(service, peak * 0.8) },
      describeLatency,
      world.plan.fewRounds,
    )
    const at = (share: string, rate: number) => `at ${share} of its peak, ${perSecond(rate)}`
    return [
      latencyRow(`latency ${at('half', peak / 2)}`, results.mintmark),
      besideBare(results.mintmark, results.bare, commitMilliseconds),
      latencyRow(`latency ${at('80 %', peak * 0.8)}`, busy['near its peak']),
      {
        what: 'one commit',
        measured: milliseconds(commitMilliseconds),
        note: 'Median of an INSERT of one row through pg on the idle database, until it is on the disk.',
      },
    ]
  },
}

function latencyRow(what: string, rounds: readonly OpenLoopResult[]): Row {
  const figure = (choose: (result: OpenLoopResult) => number) => milliseconds(medianOf(rounds, choose))
  return {
    what,
    measured:
      `p50 ${figure((round) => round.p50Milliseconds)}, p99 ${figure((round) => round.p99Milliseconds)}, ` +
      `p99.9 ${figure((round) => round.p999Milliseconds)}, most ${figure((round) => round.maxMilliseconds)}`,
    worthless: whyWorthless(rounds),
    note:
      'Open loop, counted from the intended time of each request; the medians of the rounds. The generator itself ' +
      `sent ${number(medianOf(rounds, (round) => round.lateShare) * 100, 2)} % more than 5 ms late.`,
  }
}

function besideBare(
  own: readonly OpenLoopResult[],
  bare: readonly OpenLoopResult[],
  commitMilliseconds: number,
): Row {
  const values = own.map(
    (round, index) =>
      (round.p99Milliseconds - commitMilliseconds) / (bare[index]?.p99Milliseconds ?? Number.NaN),
  )
  return {
    what: 'p99 at half of its peak, less one commit',
    measured: times(values),
    beside: `bare route, same rate: p99 ${milliseconds(medianOf(bare, (round) => round.p99Milliseconds))}`,
    target: { name: 'latencyBesideBare', value: median(values) },
    worthless: whyWorthless(own, bare),
  }
}

/** What a caller waits at least for its record: one synchronous write on the idle database. */
async function medianCommitMilliseconds({ client }: BenchDatabase): Promise<number> {
  await client.query('CREATE TABLE bench_commit (number int PRIMARY KEY)')
  const taken: number[] = []
  for (let row = 0; row < 200; row += 1) {
    const before = performance.now()
    await client.query({
      name: 'bench_commit',
      text: 'INSERT INTO bench_commit VALUES ($1)',
      values: [row],
    })
    taken.push(performance.now() - before)
  }
  return median(taken)
}
