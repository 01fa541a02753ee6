import { setTimeout as sleep } from 'node:timers/promises'
import { registerClients } from '../clients.ts'
import type { BenchDatabase } from '../database.ts'
import { findPeak, takeTurns, warmUp } from '../measure.ts'
import { type OpenLoopResult, type RunningOpenLoop, whyWorthless } from '../open-loop.ts'
import { type PreparedRequest, tokenRequest } from '../requests.ts'
import type { Scenario } from '../scenario.ts'
import type { Server } from '../servers.ts'
import { median, ratios } from '../statistics.ts'
import { describeLatency, medianOf, milliseconds, perSecond, times } from '../text.ts'
import type { World } from '../world.ts'

/** Milliseconds between the moment a balancer stops sending requests and SIGTERM, as in a usual deployment. */
const drainMilliseconds = 300
/** Seconds of a round: two replicas are replaced in it, with quiet between them. */
const roundSeconds = 8
/** Seconds from the start of the load, and after each replacement. */
const pauseSeconds = 1.5

export const deploy: Scenario = {
  name: 'deploy',
  question: 'Who notices that two replicas are replaced by new ones, one after the other, under load?',
  async run(world) {
    const database = await world.database()
    const clients = await registerClients(database.client, 100, 'least')
    const requests = clients.map((client) => tokenRequest(client))
    const replicas = [await world.service({ database }), await world.service({ database })]
    for (const replica of replicas) await warmUp(world, replica, requests)
    const peak = await findPeak(world, replicas[0] as Server, requests)
    const rate = peak / 2
    const ask = (replace: boolean) => async (): Promise<OpenLoopResult> => {
      const load = world.openLoopOver(replicas, requests, rate, roundSeconds)
      if (replace) await replaceAll(world, database, replicas, load, requests)
      const result = await load.result
      world.noteFailures(replace ? 'during a deployment' : 'in quiet', result)
      return result
    }
    const results = await takeTurns(
      world,
      { quiet: ask(false), deployment: ask(true) },
      describeLatency,
      world.plan.fewRounds,
    )
    const values = ratios(
      results.deployment.map((round) => round.p99Milliseconds),
      results.quiet.map((round) => round.p99Milliseconds),
    )
    return [
      {
        what: 'p99 while two replicas are replaced',
        measured: times(values),
        beside: `quiet: ${milliseconds(medianOf(results.quiet, (round) => round.p99Milliseconds))}`,
        target: { name: 'latencyInDeployment', value: median(values) },
        worthless: whyWorthless(results.quiet, results.deployment),
        note:
          `${perSecond(rate)}, half of what one replica can do, over both in turn. Each is taken out of the balance, ends ` +
          `by SIGTERM ${drainMilliseconds} ms later, and is back once /readyz of the new one answers 200. Both replicas, ` +
          'PostgreSQL and the load share this machine: the start of a process takes a core from the others.',
      },
    ]
  },
}

/** Replaces each replica by a new process on the same port. */
async function replaceAll(
  world: World,
  database: BenchDatabase,
  replicas: Server[],
  load: RunningOpenLoop,
  requests: readonly PreparedRequest[],
): Promise<void> {
  await sleep(pauseSeconds * 1_000)
  for (const [index, old] of replicas.entries()) {
    load.tell({ origin: old.origin, takesRequests: false })
    await sleep(drainMilliseconds)
    await old.stop()
    const fresh = await world.service({ database, port: Number(new URL(old.origin).port) })
    replicas[index] = fresh
    load.tell({ origin: fresh.origin, takesRequests: true })
    world.say(`replaced ${old.origin}, ${requests.length} clients in the balance`)
    await sleep(pauseSeconds * 1_000)
  }
}
