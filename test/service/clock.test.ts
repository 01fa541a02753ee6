import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import { generations, jwks, kidIn, shiftedClock, test, tokenOf } from '../support/rotation.ts'
import { said } from '../support/said.ts'
import {
  drillSchedule,
  registerClient,
  requestToken,
  requestTokenPatiently,
  scheduleEnvironment,
  startService,
} from '../support/service.ts'

/** A clock that is wrong (F-10, F-11). */

test.concurrent.for([3_600, -3_600])(
  'a clock that jumps by %i s: nothing is issued or changed, the set stays, and it settles',
  async (by, { database, expect, start }) => {
    const { clock, jump } = shiftedClock()
    // Keys that would all be due and gone in an hour.
    const environment = scheduleEnvironment({
      ...drillSchedule,
      keyLifetimeSeconds: 1_200,
      clockSkewSeconds: 20,
    })
    const { url, log } = await start(environment, clock)
    const client = await registerClient(database)
    const kid = kidIn(await tokenOf(url, client))
    const set = await jwks(url)
    const rows = () => database.query('SELECT *, xmin::text FROM signing_key ORDER BY kid')
    const before = await rows()

    jump(by)
    for (let round = 0; round < 6; round += 1) {
      const response = await requestToken(url, client)
      expect(response.status).toBe(503)
      expect(await response.json()).toMatchObject({ error: 'temporarily_unavailable' })
      expect(await jwks(url)).toEqual(set)
      await sleep(250)
    }
    expect((await fetch(`${url}/readyz`)).status).toBe(503)
    expect(await rows()).toEqual(before)
    const reasons = await database.query(`SELECT DISTINCT reason FROM audit_record WHERE outcome = 'refused'`)
    expect(reasons).toEqual([{ reason: 'clock_unreliable' }])
    expect(log()).toContain('clock_jumped')

    jump(-by)
    expect((await requestToken(url, client)).status).toBe(503)
    await expect
      .poll(async () => (await requestTokenPatiently(url, client)).status, { interval: 500 })
      .toBe(200)
    expect(kidIn(await tokenOf(url, client))).toBe(kid)
    expect(await rows()).toEqual(before)
  },
)

test('with a clock that is wrong at the start it does not start, and makes no key', async ({ database }) => {
  expect(await said(startService({ database, clock: shiftedClock(3_600).clock }))).toMatch(
    /clock of this machine is \d{4}\.\d s ahead of the database's/,
  )
  expect(await generations(database)).toEqual([])
})
