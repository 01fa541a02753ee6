import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { runFile } from '../children.ts'
import { registerClients } from '../clients.ts'
import { medianHashMilliseconds } from '../hash-time.ts'
import { type PreparedRequest, tokenRequest } from '../requests.ts'
import type { Scenario } from '../scenario.ts'
import { milliseconds, number } from '../text.ts'
import type { World } from '../world.ts'

/** Clients that all start at once and repeat their requests (load/cold-clients.ts). */
export interface ColdClients {
  readonly origin: string
  /** One for each client. */
  readonly requests: readonly PreparedRequest[]
  readonly timeoutSeconds: number
}

export interface ColdClientsResult {
  readonly durationSeconds: number
  /** The number of clients that got a token. */
  readonly served: number
  /** The number of answers by status; status 0 stands for no answer. */
  readonly statuses: Readonly<Record<string, number>>
}

export const cold: Scenario = {
  name: 'cold',
  question: 'Does every client get its token when all come at once, after a restart?',
  async run(world) {
    const count = world.plan.coldClients
    const hashBefore = await medianHashMilliseconds()
    world.say(`making ${number(count)} real hashes`)
    const database = await world.database()
    const clients = await registerClients(database.client, count, 'real')
    const service = await world.service({ database })
    // The default of the service: one core stays free.
    const parallel = Math.min(4, Math.max(1, availableParallelism() - 1))
    const secondsAt = (hashMilliseconds: number): number => (count * hashMilliseconds) / 1_000 / parallel
    world.say(`${number(count)} clients start; their hashes alone take ${secondsAt(hashBefore).toFixed(1)} s`)
    const result = await runColdClients(world, {
      origin: service.origin,
      requests: clients.map((client) => tokenRequest(client)),
      timeoutSeconds: 60 + secondsAt(hashBefore) * 4,
    })
    // The speed of the machine may have changed during the run, so the hash is measured again.
    const hashMilliseconds = (hashBefore + (await medianHashMilliseconds())) / 2
    const answers = Object.entries(result.statuses).map(([status, times]) =>
      status === '0' ? `${times} without an answer` : `${times} × ${status}`,
    )
    return [
      {
        what: `${number(count)} clients from cold, all at once`,
        measured: `${number(result.served)} served, in ${result.durationSeconds.toFixed(1)} s`,
        beside: `their hashes alone: ${secondsAt(hashMilliseconds).toFixed(1)} s`,
        target: { name: 'coldServed', value: result.served / count },
        note:
          `Each has a secret and a real hash of its own, ${milliseconds(hashMilliseconds)} here, ${parallel} at a time. ` +
          'A client that is refused waits as long as Retry-After says and a random while more, which doubles up to 10 s. ' +
          `Answers: ${answers.join(', ')}.`,
      },
    ]
  },
}

async function runColdClients(world: World, load: ColdClients): Promise<ColdClientsResult> {
  const own = mkdtempSync(join(world.directory, 'load-'))
  const path = join(own, 'load.json')
  writeFileSync(path, JSON.stringify(load))
  try {
    return await runFile<ColdClientsResult>('load/cold-clients.ts', [path])
  } finally {
    rmSync(own, { recursive: true, force: true })
  }
}
