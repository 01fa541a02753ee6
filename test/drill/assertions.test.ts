import { randomInt } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import { assertionOf, makeKey, registerKeyClient, requestTokenWith } from '../support/assertion.ts'
import { isLong } from '../support/drill.ts'
import { test } from '../support/fixtures.ts'

const rounds = isLong ? 100 : 12
const assertionsPerRound = 60
const issuer = 'https://tokens.example.com'

/**
 * One of two replicas is killed while it commits, again and again. All that it may have answered is sent to the other one,
 * again and again: no assertion gets a second token, and none is used up without the record of its token.
 */
test('killed between the claim and the answer: no assertion is accepted twice, none is lost without a record', async ({
  database,
  serve,
}) => {
  const key = makeKey('ES256', 'k')
  const { clientId } = await registerKeyClient(database, [key])
  const environment = { MINTMARK_LOG_LEVEL: 'silent', MINTMARK_ISSUER: issuer }
  const survivor = await serve(environment)
  let sent = 0
  let unanswered = 0
  for (let round = 0; round < rounds; round += 1) {
    const victim = await serve(environment)
    const warmUp = await requestTokenWith(victim.url, assertionOf(key, clientId, issuer))
    expect(warmUp.status).toBe(200)
    const assertions = Array.from({ length: assertionsPerRound }, () => assertionOf(key, clientId, issuer))
    const kill = sleep(randomInt(0, 40)).then(() => victim.end('SIGKILL'))
    const tokens = new Map(assertions.map((assertion) => [assertion, 0]))
    const ask = async (url: string, assertion: string): Promise<number | undefined> => {
      const response = await requestTokenWith(url, assertion).catch(() => undefined)
      // An answer that broke off gave nobody a token.
      const answer = (await response?.json().catch(() => ({}))) as { access_token?: string } | undefined
      if (answer?.access_token !== undefined) tokens.set(assertion, (tokens.get(assertion) ?? 0) + 1)
      return response?.status
    }
    const answers = await Promise.all(assertions.map((assertion) => ask(victim.url, assertion)))
    expect(await kill).toBe('SIGKILL')
    unanswered += answers.filter((status) => status === undefined).length
    for (let again = 0; again < 2; again += 1) {
      await Promise.all(assertions.map((assertion) => ask(survivor.url, assertion)))
    }
    expect([...tokens.values()].filter((count) => count > 1)).toEqual([])
    sent += assertionsPerRound + 1
  }
  expect(unanswered).toBeGreaterThan(0)
  const [counts] = await database.query<{ issued: number; spent: number }>(
    `SELECT (SELECT count(*)::int FROM audit_record WHERE outcome = 'issued' AND client_id = $1) AS issued,
            (SELECT count(*)::int FROM spent_identifier) AS spent`,
    [clientId],
  )
  // Each was used up exactly once, by the one or by the other, and each has its record.
  expect(counts).toEqual({ issued: sent, spent: sent })
})
