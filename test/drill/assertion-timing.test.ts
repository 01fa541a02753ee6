/**
 * How long the refusal of an assertion takes does not say which clients exist. Compared by ranks and in any order, so that a
 * slow or busy machine changes nothing.
 */
import { Agent, request as httpRequest } from 'node:http'
import { expect } from 'vitest'
import {
  assertionOf,
  assertionType,
  makeKey,
  registerKeyClient,
  requestTokenWith,
} from '../support/assertion.ts'
import { test } from '../support/fixtures.ts'

const key = makeKey('ES256', 'k')
const stranger = makeKey('ES256', 'k')
const tries = 400

test('a wrong signature takes as long for a client that exists as for a name that does not', async ({
  startService,
  database,
}) => {
  const { url } = await startService({
    environment: {
      MINTMARK_FAILURES_PER_CLIENT_MAX: '1000000',
      MINTMARK_FAILURES_PER_ADDRESS_MAX: '1000000',
    },
  })
  const { clientId } = await registerKeyClient(database, [key], { clientId: 'client-eeeeeeee' })
  expect((await requestTokenWith(url, assertionOf(key, clientId, url))).status).toBe(200)
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  /** Milliseconds until the refusal is there. */
  const timeOf = (name: string, kid: string): Promise<number> => {
    const body = new URLSearchParams({
      grant_type: 'client_credentials',
      client_assertion_type: assertionType,
      client_assertion: assertionOf({ ...stranger, kid }, name, url),
    }).toString()
    const headers = { 'content-type': 'application/x-www-form-urlencoded', 'content-length': body.length }
    const startedAt = performance.now()
    return new Promise((resolve, reject) => {
      const asked = httpRequest(`${url}/token`, { agent, method: 'POST', headers }, (response) => {
        response.resume()
        response.once('end', () => resolve(performance.now() - startedAt))
      })
      asked.once('error', reject)
      asked.end(body)
    })
  }
  const kinds = [
    ['client-eeeeeeee', 'k'],
    ['client-ffffffff', 'k'],
    ['client-eeeeeeee', 'x'],
  ] as const
  /** How the times of the known client, and those of an unknown key of it, compare with those of the unknown name. */
  const compare = async (): Promise<readonly number[]> => {
    const times: [number[], number[], number[]] = [[], [], []]
    for (let round = 0; round < tries; round += 1) {
      // In any order: what goes before must not be what makes the difference.
      for (const which of shuffled([0, 1, 2])) {
        const [name, kid] = kinds[which] as (typeof kinds)[number]
        times[which]?.push(await timeOf(name, kid))
      }
    }
    return [chanceOfLonger(times[0], times[1]), chanceOfLonger(times[2], times[1])]
  }
  try {
    // With hundreds of tries, chance alone stays within a twentieth. What else the machine does can look like a
    // difference once; a difference of the service is there every time.
    const isLike = (chances: readonly number[]) => chances.every((chance) => chance > 0.4 && chance < 0.6)
    const seen: (readonly number[])[] = []
    do seen.push(await compare())
    while (seen.length < 3 && !isLike(seen.at(-1) ?? []))
    expect(seen.some(isLike), JSON.stringify(seen)).toBe(true)
  } finally {
    agent.destroy()
  }
})

/** Mann and Whitney: a half if the two cannot be told apart. */
function chanceOfLonger(first: readonly number[], second: readonly number[]): number {
  let longer = 0
  for (const one of first) for (const other of second) longer += other > one ? 1 : other === one ? 0.5 : 0
  return longer / (first.length * second.length)
}

function shuffled(list: readonly number[]): number[] {
  return list
    .map((one) => ({ one, at: Math.random() }))
    .sort((first, second) => first.at - second.at)
    .map(({ one }) => one)
}
