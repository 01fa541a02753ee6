import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { describe, expect } from 'vitest'
import type { Clock } from '../../src/lib/clock.ts'
import { limits } from '../../src/limits.ts'
import { test as ownTest, sharedTest } from '../support/fixtures.ts'
import { flood, statusOf } from '../support/load.ts'
import { FaultyProxy } from '../support/proxy.ts'
import {
  basic,
  exchange,
  registerClient,
  requestToken,
  startService,
  type TestClient,
  type TestService,
  unknownSecret,
} from '../support/service.ts'

/** What a stranger can take: failures before 429, guesses at once before 503, bytes and time of a connection. */

const test = sharedTest
  .extend('running', { scope: 'file' }, async ({ database }, { onCleanup }) => {
    const running = await startService({
      database,
      environment: { MINTMARK_FAILURES_PER_CLIENT_MAX: '5', MINTMARK_FAILURES_PER_ADDRESS_MAX: '20' },
    })
    onCleanup(() => running.close())
    return running
  })
  .extend('client', { scope: 'file' }, ({ database }) => registerClient(database))

/** So many failures are allowed that no limit is reached. */
const generous = {
  environment: { MINTMARK_FAILURES_PER_CLIENT_MAX: '10000', MINTMARK_FAILURES_PER_ADDRESS_MAX: '10000' },
}

async function reasons(running: TestService, clientId: string): Promise<(string | null)[]> {
  const rows = await running.database.query<{ reason: string | null }>(
    `SELECT reason FROM audit_record WHERE type = 'token' AND client_id = $1 ORDER BY chain, seq`,
    [clientId],
  )
  return rows.map((row) => row.reason)
}

describe('failed attempts', () => {
  test('on one client: 401 up to the limit, then 429 with Retry-After, each with its record', async ({
    running,
  }) => {
    const victim = await registerClient(running.database)
    const statuses: number[] = []
    for (let attempt = 0; attempt < 7; attempt += 1) {
      const response = await requestToken(running.url, { ...victim, secret: unknownSecret() })
      statuses.push(response.status)
      if (response.status === 429) {
        expect(Number(response.headers.get('retry-after'))).toBeGreaterThanOrEqual(1)
        expect(Number(response.headers.get('retry-after'))).toBeLessThanOrEqual(limits.failureWindowSeconds)
        expect(response.headers.get('cache-control')).toBe('no-store')
        expect(await response.json()).toMatchObject({ error: 'temporarily_unavailable' })
      }
    }
    expect(statuses).toEqual([401, 401, 401, 401, 401, 429, 429])
    expect((await reasons(running, victim.clientId)).slice(-2)).toEqual([
      'failures_of_client',
      'failures_of_client',
    ])
    // Whoever holds the secret is not locked out by those who guess.
    expect((await requestToken(running.url, victim)).status).toBe(200)
  })

  test('on a client that does not exist run into the same limit after the same number', async ({
    running,
  }) => {
    const statuses: number[] = []
    for (let attempt = 0; attempt < 6; attempt += 1) {
      statuses.push((await requestToken(running.url, { clientId: 'ghost', secret: unknownSecret() })).status)
    }
    expect(statuses).toEqual([401, 401, 401, 401, 401, 429])
  })

  test('from one address over many names run into the limit of the address; good clients there do not', async ({
    client,
    running,
  }) => {
    const statuses: number[] = []
    for (let attempt = 0; attempt < 20; attempt += 1) {
      statuses.push(
        (await requestToken(running.url, { clientId: `name-${attempt}`, secret: unknownSecret() })).status,
      )
    }
    expect(statuses.at(-1)).toBe(429)
    expect((await requestToken(running.url, client)).status).toBe(200)
  })
})

ownTest(
  'whoever goes on guessing waits for the refusals beyond the first of a second, and nobody else does',
  async ({ startService }) => {
    // All of it is in one second.
    const { clock, stop } = stoppableClock()
    stop()
    const open = await startService({ clock, environment: { MINTMARK_FAILURES_PER_CLIENT_MAX: '1' } })
    const good = await registerClient(open.database)
    const guess = () => requestToken(open.url, { clientId: 'ghost', secret: unknownSecret() })
    expect((await guess()).status).toBe(401)
    for (let count = 0; count < limits.refusalsAtOncePerAddressMax; count += 1)
      expect((await guess()).status).toBe(429)
    const startedAt = performance.now()
    const beyond = guess()
    expect((await requestToken(open.url, good)).status).toBe(200)
    expect((await beyond).status).toBe(429)
    // A timer may be a millisecond early.
    expect(performance.now() - startedAt).toBeGreaterThan(limits.refusalHeldMilliseconds - 10)
  },
)

ownTest(
  'five hundred wrong guesses at once are refused without a hash, and a good client is served',
  async ({ startService }) => {
    const open = await startService(generous)
    const good = await registerClient(open.database)
    expect((await requestToken(open.url, good)).status).toBe(200)
    const secret = unknownSecret()
    const guesses = Array.from({ length: 500 }, (_, index) => ({ client: { clientId: `x${index}`, secret } }))
    const flooding = flood(open.url, guesses)
    const meanwhile = await Promise.all(Array.from({ length: 20 }, () => requestToken(open.url, good)))
    expect(meanwhile.map((response) => response.status)).toEqual(Array(20).fill(200))
    const statuses = (await flooding).map(statusOf)
    // Were they hashed, most of them would find the gate full.
    expect(new Set(statuses)).toEqual(new Set([401]))
  },
)

/** A service whose commits can be held back before the database, on a clock that stands still meanwhile. */
const heldTest = ownTest.extend('held', async ({ database, startService }, { onCleanup }) => {
  const proxy = new FaultyProxy(database.url)
  const { clock, stop, go } = stoppableClock()
  const url = await proxy.listen()
  const open = await startService({ database: { ...database, url }, clock })
  onCleanup(async () => {
    // It cannot close before its commits have been answered.
    proxy.release()
    go()
    await open.close()
    await proxy.close()
  })
  return {
    url: open.url,
    log: open.log,
    hold() {
      proxy.hold()
      stop()
    },
    /** The clock stands still until the test is over. */
    release: () => proxy.release(),
  }
})

heldTest(
  'more requests than can be under way are refused at once, counted, and those before them served',
  async ({ database, held }) => {
    const good = await registerClient(database)
    expect((await requestToken(held.url, good)).status).toBe(200)
    const excess = 300
    // Nobody's commit reaches the database, and on a clock that stands still none gives up, however long the
    // requests take to arrive. One request of a connection is answered at a time, and so many of an address.
    const addresses = (limits.requestsUnderWayMax + excess) / limits.requestsPerAddressMax
    const callers = Array.from({ length: addresses }, (_, address) =>
      Array.from({ length: limits.requestsPerAddressMax }, () =>
        openFrom(held.url, `127.0.0.${address + 2}`),
      ),
    )
    const asking = await Promise.all(callers.flat())
    held.hold()
    const answers = asking.map((ask) => ask(good))
    const refused = () => held.log().split('"reason":"overloaded"').length - 1
    await expect.poll(refused).toBeGreaterThanOrEqual(excess)
    held.release()
    const answered = (await Promise.all(answers)).join('')
    expect(answered.split('HTTP/1.1 ').length - 1).toBe(limits.requestsUnderWayMax + excess)
    expect(answered.split('HTTP/1.1 503').length - 1).toBeGreaterThanOrEqual(excess)
    expect(answered).toContain('retry-after: 1')
    expect((await requestToken(held.url, good)).status).toBe(200)
    await expect
      .poll(() =>
        database.query(`SELECT sum(count)::int AS refused FROM audit_record WHERE reason = 'overloaded'`),
      )
      .toEqual([{ refused: refused() }])
  },
)

/** The machine's clocks, which can be stopped. They go on from where they stopped. */
function stoppableClock() {
  let stoppedAt: number | undefined
  let behind = 0
  const monotonicMilliseconds = () => (stoppedAt ?? performance.now()) - behind
  const nowMilliseconds = () => Math.floor(Date.now() - performance.now() + monotonicMilliseconds())
  const clock: Clock = {
    monotonicMilliseconds,
    nowMilliseconds,
    nowSeconds: () => Math.floor(nowMilliseconds() / 1_000),
  }
  return {
    clock,
    stop() {
      stoppedAt = performance.now()
    },
    go() {
      behind += performance.now() - (stoppedAt ?? performance.now())
      stoppedAt = undefined
    },
  }
}

/**
 * Opens a connection from an address of this machine.
 * @returns a function that sends a request for a token on it, and resolves with all that comes back.
 */
function openFrom(url: string, localAddress: string): Promise<(client: TestClient) => Promise<string>> {
  const body = 'grant_type=client_credentials'
  return new Promise((resolve, reject) => {
    const socket = connect({ port: Number(new URL(url).port), host: '127.0.0.1', localAddress })
    socket.on('error', reject)
    socket.once('connect', () =>
      resolve(async (client) => {
        socket.write(
          `POST /token HTTP/1.1\r\nHost: localhost\r\n` +
            `Authorization: ${basic(client.clientId, client.secret)}\r\n` +
            `Content-Type: application/x-www-form-urlencoded\r\nContent-Length: ${body.length}\r\n` +
            `Connection: close\r\n\r\n${body}`,
        )
        return await text(socket)
      }),
    )
  })
}

test('a cold start of one client, sixty-four requests at once, costs one verification', async ({
  running,
}) => {
  const cold = await registerClient(running.database, { isCostly: true })
  const responses = await Promise.all(Array.from({ length: 64 }, () => requestToken(running.url, cold)))
  expect(responses.map((response) => response.status)).toEqual(Array(64).fill(200))
})

test('an identifier too long to be registered is neither read from the database nor remembered', async ({
  running,
}) => {
  const response = await requestToken(running.url, { clientId: 'x'.repeat(2_000), secret: unknownSecret() })
  expect([401, 429]).toContain(response.status)
})

ownTest(
  'cold clients with the right secret are served beside a flood of guesses',
  async ({ startService }) => {
    const open = await startService(generous)
    const cold = await Promise.all(
      Array.from({ length: 10 }, () => registerClient(open.database, { isCostly: true })),
    )
    const secret = unknownSecret()
    const guesses = Array.from({ length: 200 }, (_, index) => ({ client: { clientId: `y${index}`, secret } }))
    const flooding = flood(open.url, guesses)
    const answers = await Promise.all(cold.map((client) => requestToken(open.url, client)))
    expect(answers.map((answer) => answer.status)).toEqual(cold.map(() => 200))
    await flooding
  },
)

describe('a connection that', () => {
  test('never finishes its headers, or its body, is answered with 408 and closed', async ({
    client,
    running,
  }) => {
    const authorization = basic(client.clientId, client.secret)
    const [headers, body] = await Promise.all([
      exchange(running.url, 'POST /token HTTP/1.1\r\nHost: localhost\r\nX-Slow: '),
      exchange(
        running.url,
        `POST /token HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${authorization}\r\n` +
          'Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\ngrant_type=',
      ),
    ])
    expect(headers).toMatch(/^HTTP\/1.1 408 /)
    expect(body).toMatch(/^HTTP\/1.1 408 /)
  })
})
