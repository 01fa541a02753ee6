import { registerClients } from '../clients.ts'
import type { BenchDatabase } from '../database.ts'
import { findPeak, takeTurns, warmUp } from '../measure.ts'
import { type OpenLoopResult, whyWorthless } from '../open-loop.ts'
import { tokenRequest } from '../requests.ts'
import type { Row, Scenario } from '../scenario.ts'
import type { Server } from '../servers.ts'
import { median, quantile } from '../statistics.ts'
import { describeLatency, medianOf, milliseconds, number, perSecond, times } from '../text.ts'

export const latency: Scenario = {
  name: 'latency',
  question: 'How long does a token take, at half of what the service can do and near all of it?',
  async run(world) {
    const database = await world.database()
    const clients = await registerClients(database.client, 100, 'least')
    const requests = clients.map((client) => tokenRequest(client))
    const commits = await timeCommits(database)
    const commit = { p50: quantile(commits, 0.5), p99: quantile(commits, 0.99) }
    world.say(`one commit takes ${milliseconds(commit.p50)}`)
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
      besideBare(results.mintmark, results.bare, commit.p50),
      latencyRow(`latency ${at('80 %', peak * 0.8)}`, busy['near its peak']),
      {
        what: 'one commit',
        measured: `p50 ${milliseconds(commit.p50)}, p99 ${milliseconds(commit.p99)}, most ${milliseconds(quantile(commits, 1))}`,
        note:
          `${number(commits.length)} INSERTs of one row, one after the other, through pg on the idle database, until it is ` +
          'on the disk.',
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

/** What a caller waits at least for its record: a synchronous write on the idle database. In order of length. */
async function timeCommits({ client }: BenchDatabase): Promise<Float64Array> {
  await client.query('CREATE TABLE bench_commit (number int, padding text)')
  const taken = new Float64Array(5_000)
  for (let row = 0; row < taken.length; row += 1) {
    const before = performance.now()
    await client.query({
      name: 'bench_commit',
      text: 'INSERT INTO bench_commit VALUES ($1, $2)',
      values: [row, recordSized],
    })
    taken[row] = performance.now() - before
  }
  return taken.sort()
}

/** About as much as a record of the ledger. */
const recordSized = 'x'.repeat(400)
