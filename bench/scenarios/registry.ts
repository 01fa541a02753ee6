import { registerClients } from '../clients.ts'
import type { BenchDatabase } from '../database.ts'
import { type Costs, measureClosedLoop, takeTurns, warmUp } from '../measure.ts'
import { tokenRequest } from '../requests.ts'
import type { Scenario } from '../scenario.ts'
import { median, ratios } from '../statistics.ts'
import { describeCosts, rateOf, times } from '../text.ts'

const changeIntervalMilliseconds = 1_000

export const registry: Scenario = {
  name: 'registry',
  question: 'Does the rate hold while somebody changes clients?',
  async run(world) {
    const database = await world.database()
    const clients = await registerClients(database.client, 100, 'least')
    const requests = clients.map((client) => tokenRequest(client))
    const service = await world.service({ database })
    await warmUp(world, service, requests)
    const results = await takeTurns(
      world,
      {
        quiet: () => measureClosedLoop(world, service, requests),
        changing: () =>
          whileChanging(
            database,
            clients.map(({ clientId }) => clientId),
            () => measureClosedLoop(world, service, requests),
          ),
      },
      describeCosts,
    )
    const rate = (round: Costs): number => round.ratePerSecond
    const values = ratios(results.changing.map(rate), results.quiet.map(rate))
    return [
      {
        what: 'rate while a client changes every second',
        measured: times(values),
        beside: `in quiet: ${rateOf(results.quiet)}`,
        target: { name: 'changingRegistry', value: median(values) },
        note: 'Each change is an UPDATE of another of the clients that ask.',
      },
    ]
  },
}

async function whileChanging<Result>(
  database: BenchDatabase,
  clientIds: readonly string[],
  run: () => Promise<Result>,
): Promise<Result> {
  let changes = 0
  let changing: Promise<unknown> = Promise.resolve()
  const change = (): void => {
    const clientId = clientIds[changes % clientIds.length]
    changes += 1
    changing = database.client.query('UPDATE client SET name = $2 WHERE client_id = $1', [
      clientId,
      `Change ${changes}`,
    ])
    // The promise is awaited below. A rejection before that must not end the process.
    changing.catch(() => {})
  }
  const timer = setInterval(change, changeIntervalMilliseconds)
  try {
    return await run()
  } finally {
    clearInterval(timer)
    await changing
  }
}
