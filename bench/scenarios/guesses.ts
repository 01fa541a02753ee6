import { Agent, request as httpRequest } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { residentBytesOf, treeOf } from '../accounting.ts'
import { registerClients, wrongSecret } from '../clients.ts'
import { warmUp } from '../measure.ts'
import { type PreparedRequest, tokenRequest } from '../requests.ts'
import type { Row, Scenario } from '../scenario.ts'
import type { Server } from '../servers.ts'
import { chanceOfLonger, quantile } from '../statistics.ts'
import { megabytes, milliseconds, number } from '../text.ts'
import type { World } from '../world.ts'

/** With these settings the limits never refuse, so every guess is looked up and recorded. */
const raisedLimits = {
  MINTMARK_FAILURES_PER_CLIENT_MAX: '1000000',
  MINTMARK_FAILURES_PER_ADDRESS_MAX: '1000000',
}
/** Seconds of load by good clients before memory is read again. */
const restSeconds = 20

export const guesses: Scenario = {
  name: 'guesses',
  question:
    'Does the time of a guess tell whether a client exists, and what do guesses leave behind in memory?',
  async run(world) {
    const database = await world.database()
    const clients = await registerClients(database.client, 100, 'least')
    const requests = clients.map((client) => tokenRequest(client))
    const server = await world.service({ database, environment: raisedLimits })
    await warmUp(world, server, requests)
    const time = await timeRow(
      world,
      server,
      clients.map(({ clientId }) => clientId),
    )
    return [time, ...(await memoryRows(world, server, requests))]
  },
}

/** Guesses at clients that exist and at names that do not, in turn, on one connection. */
async function timeRow(world: World, server: Server, clientIds: readonly string[]): Promise<Row> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const count = world.plan.guesses
  const known = new Float64Array(count)
  const unknown = new Float64Array(count)
  for (let index = 0; index < count; index += 1) {
    const clientId = clientIds[index % clientIds.length] as string
    const guess = () => timeOf(server, agent, { clientId, secret: wrongSecret() })
    // As long as the real one, because a longer name takes longer to read.
    const stranger = () =>
      timeOf(server, agent, { clientId: clientId.replace('client', 'nobody'), secret: wrongSecret() })
    // Whoever goes first changes every time, so that what the one leaves behind slows down either.
    if (index % 2 === 0) {
      known[index] = await guess()
      unknown[index] = await stranger()
    } else {
      unknown[index] = await stranger()
      known[index] = await guess()
    }
  }
  agent.destroy()
  known.sort()
  unknown.sort()
  const area = chanceOfLonger(known, unknown)
  const shown = (times: Float64Array): string =>
    `p50 ${milliseconds(quantile(times, 0.5))}, p95 ${milliseconds(quantile(times, 0.95))}`
  return {
    what: 'time of a guess, known and unknown client',
    measured: `area under the curve ${number(area, 3)}`,
    beside: `known: ${shown(known)}; unknown: ${shown(unknown)}`,
    target: { name: 'guessesTellApart', value: Math.abs(area - 0.5) },
    note:
      `${number(count)} of each, in turn, on one connection. The area is the chance that a guess at an unknown client ` +
      'takes longer than one at a known client: 0.5 if they cannot be told apart.',
  }
}

/** @returns milliseconds until the refusal is there. */
function timeOf(
  server: Server,
  agent: Agent,
  credentials: Parameters<typeof tokenRequest>[0],
): Promise<number> {
  const { method, path, headers, body } = tokenRequest(credentials)
  return new Promise((resolve, reject) => {
    const startedAt = performance.now()
    const asked = httpRequest(
      `${server.origin}${path}`,
      { agent, method, headers: { ...headers, 'content-length': body.length } },
      (response) => {
        response.resume()
        response.once('end', () => {
          if (response.statusCode === 401) resolve(performance.now() - startedAt)
          else reject(new Error(`a guess was answered with ${response.statusCode}`))
        })
      },
    )
    asked.once('error', reject)
    asked.end(body)
  })
}

async function memoryRows(
  world: World,
  server: Server,
  requests: readonly PreparedRequest[],
): Promise<Row[]> {
  const rest = async (): Promise<number> => {
    await world.closedLoop(server, requests, restSeconds)
    return residentBytesOf(treeOf(server.processId)) ?? Number.NaN
  }
  const before = await rest()
  const names = world.plan.manyClients
  const strangers = Array.from({ length: names }, (_, index) =>
    tokenRequest({ clientId: `nobody-${index}`, secret: wrongSecret() }),
  )
  let most = before
  for (let answered = 0; answered < names; ) {
    // The load begins with the first name each time, so it gets those that are left.
    const { answered: more } = await world.closedLoop(
      server,
      strangers.slice(answered),
      world.plan.roundSeconds,
    )
    if (more === 0) throw new Error('no guess was answered')
    answered += more
    most = Math.max(most, residentBytesOf(treeOf(server.processId)) ?? Number.NaN)
  }
  await sleep(1_000)
  const after = await rest()
  return [
    {
      what: `memory after guesses at ${number(names)} names`,
      measured: `${number(after / before, 2)} ×, ${megabytes(after)}`,
      beside: `before: ${megabytes(before)}; most while they came: ${megabytes(most)}`,
      target: { name: 'memoryAfterGuesses', value: after / before },
      note: `Resident memory after ${restSeconds} s of load by good clients, before the guesses and after them.`,
    },
  ]
}
