import { setTimeout as sleep } from 'node:timers/promises'
import { residentBytesOf, treeOf } from '../accounting.ts'
import type { Scenario } from '../scenario.ts'
import { startService } from '../servers.ts'
import { median } from '../statistics.ts'
import { megabytes, number, range } from '../text.ts'

/** Milliseconds until the memory use of a started service is stable. */
const settleMilliseconds = 1_500

export const start: Scenario = {
  name: 'start',
  question: 'How soon is it ready, and how much memory does it take when nobody asks?',
  async run(world) {
    const database = await world.database()
    // The very first start also creates a signing key, so it is not measured.
    await (await startService({ database })).stop()
    const seconds: number[] = []
    const bytes: number[] = []
    for (let number = 1; number <= world.plan.starts; number += 1) {
      const before = performance.now()
      const service = world.keep(await startService({ database, pollMilliseconds: 5 }))
      seconds.push((performance.now() - before) / 1_000)
      if (number === world.plan.starts) await sleep(settleMilliseconds)
      bytes.push(residentBytesOf(treeOf(service.processId)) ?? Number.NaN)
      await service.stop()
      world.say(`start ${number} of ${world.plan.starts}  ready after ${seconds.at(-1)?.toFixed(3)} s`)
    }
    return [
      {
        what: 'ready after start',
        measured: `${number(median(seconds), 2)} s${range(seconds)}`,
        target: { name: 'readySeconds', value: median(seconds) },
        note:
          'From starting the process, as the image does, to the first 200 of /readyz, asked every 5 ms. The database ' +
          'is up and migrated, and has a signing key.',
      },
      {
        what: 'resident memory, idle',
        measured: megabytes(bytes.at(-1) ?? Number.NaN),
        note: 'Of the last start, after 1.5 s. Under load: see the scenario "warm".',
      },
    ]
  },
}
