/**
 * The calls of the demo where each service is a container. docker-compose.demo.yml starts it in the last of them, with
 * everything that it needs to know in its environment. It ends with 0 only if every row is as it should be.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { makeCalls } from './calls.ts'
import { answers, runCommand, shortToken } from './mintmark.ts'
import { isOk, verdictOf } from './report.ts'

/** Seconds until all services have to answer. The database is made first. */
const startSecondsMax = 120

const { CA = '', LOGS = '', ISSUER = '', ORDERS = '', BILLING = '', DATABASE_URL = '' } = process.env
const startedAt = performance.now()

await until(`${ISSUER}/readyz`)
const mintmark = (...words: string[]): Promise<void> => runCommand({ DATABASE_URL }, words)
await mintmark('seed', join(import.meta.dirname, 'clients.yaml'))
const short = await shortToken({ mintmark: ISSUER, ca: CA }, mintmark)
await until(`${ORDERS}/health`)
await until(`${BILLING}/health`)
while (!short.hasExpired()) await sleep(100)
const rows = await makeCalls({
  mintmark: ISSUER,
  orders: ORDERS,
  billing: BILLING,
  ca: CA,
  logOf: (name) => readFileSync(join(LOGS, `${name}.log`), 'utf8'),
  expiredToken: short.token,
})
process.stdout.write(`\n${verdictOf(rows)}\n`)
process.exitCode = rows.every(isOk) ? 0 : 1

async function until(url: string): Promise<void> {
  while (!(await answers(CA, url))) {
    if (performance.now() - startedAt > startSecondsMax * 1000)
      throw new Error(
        `${url} did not answer in ${startSecondsMax} seconds. The log of its container says why.`,
      )
    await sleep(200)
  }
}
