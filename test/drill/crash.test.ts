import { randomInt } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import { isLong } from '../support/drill.ts'
import { test } from '../support/fixtures.ts'
import { recorded, startLoad } from '../support/load.ts'
import { registerClient } from '../support/service.ts'
import { until } from '../support/wait.ts'

const rounds = isLong ? 100 : 12

test('killed with SIGKILL in the middle of load, again and again: no token without its record', async ({
  database,
  serve,
}) => {
  const client = await registerClient(database)
  const seen = new Set<string>()
  for (let round = 0; round < rounds; round += 1) {
    const service = await serve({ MINTMARK_LOG_LEVEL: 'silent' })
    const load = startLoad(service.url, client, { callers: 32, restMilliseconds: 0 })
    // Until it is warm, and then to some moment inside a commit.
    await until(() => load.tokens.size >= 20)
    await sleep(randomInt(0, 120))
    expect(await service.end('SIGKILL')).toBe('SIGKILL')
    await load.stop()
    expect(load.statuses.every((status) => status === 200)).toBe(true)
    for (const token of load.tokens) seen.add(token)
  }
  expect(seen.size).toBeGreaterThan(rounds * 20)
  expect(await recorded(database, seen)).toBe(seen.size)
})
