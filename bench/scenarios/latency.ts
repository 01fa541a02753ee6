import { registerClients } from '../clients.ts'
import type { BenchDatabase } from '../database.ts'
import { findPeak, takeTurns, warmUp, warmUpAt } from '../measure.ts'
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
    const service = await world.service({ database })
    const bare = await world.peer('bare')
    for (const server of [service, bare]) await warmUp(world, server, requests)
    const peak = await findPeak(world, service, requests)
    const waits = await waitsForCommit(database, peak / 2, world.plan.roundSeconds)
    world.say(`waiting for a commit takes ${milliseconds(quantile(waits, 0.5))}`)
    for (const server of [service, bare]) await warmUpAt(world, server, requests, peak / 2)
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
      besideBare(results.mintmark, results.bare, quantile(waits, 0.99)),
      latencyRow(`latency ${at('80 %', peak * 0.8)}`, busy['near its peak']),
      {
        what: 'waiting for one commit',
        measured:
          `p50 ${milliseconds(quantile(waits, 0.5))}, p99 ${milliseconds(quantile(waits, 0.99))}, ` +
          `p99.9 ${milliseconds(quantile(waits, 0.999))}, most ${milliseconds(quantile(waits, 1))}`,
        note:
          `Rows of a record's size, ${perSecond(peak / 2)}, one commit after the other on the idle database: how long somebody ` +
          'who comes at any moment waits for the end of the one under way and of the next.',
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
  commitP99Milliseconds: number,
): Row {
  const values = own.map(
    (round, index) =>
      (round.p99Milliseconds - commitP99Milliseconds) / (bare[index]?.p99Milliseconds ?? Number.NaN),
  )
  return {
    what: 'p99 at half of its peak, less that of waiting for one commit',
    measured: times(values),
    beside: `bare route, same rate: p99 ${milliseconds(medianOf(bare, (round) => round.p99Milliseconds))}`,
    target: { name: 'latencyBesideBare', value: median(values) },
    worthless: whyWorthless(own, bare),
  }
}

/**
 * The time that a caller waits for the disk alone. Rows arrive at a fixed rate, and one commit takes all rows
 * that arrived since the last one. A stall of a commit counts for every row that arrived during the stall.
 * @returns milliseconds, in ascending order.
 */
async function waitsForCommit(
  { client }: BenchDatabase,
  ratePerSecond: number,
  durationSeconds: number,
): Promise<Float64Array> {
  await client.query('CREATE TABLE bench_commit (padding text)')
  // The first half second is not counted: the statement is prepared and the code is compiled then.
  const lead = Math.round(ratePerSecond / 2)
  const total = lead + Math.round(ratePerSecond * durationSeconds)
  const waits = new Float64Array(total)
  const startMilliseconds = performance.now()
  const arrivedBy = (now: number): number =>
    Math.min(total, Math.floor(((now - startMilliseconds) / 1_000) * ratePerSecond) + 1)
  for (let written = 0; written < total; ) {
    const upTo = arrivedBy(performance.now())
    if (upTo === written) await new Promise((resolve) => setImmediate(resolve))
    else
      await client.query({
        name: 'bench_commit',
        text: 'INSERT INTO bench_commit SELECT $1 FROM generate_series(1, $2::int)',
        values: [recordSized, upTo - written],
      })
    const now = performance.now()
    for (; written < upTo; written += 1)
      waits[written] = now - (startMilliseconds + (written / ratePerSecond) * 1_000)
  }
  return waits.subarray(lead).sort()
}

/** About the size of a ledger record. */
const recordSized = 'x'.repeat(250)
