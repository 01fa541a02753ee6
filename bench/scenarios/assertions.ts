import { addKeys, assertionRequests } from '../assertions.ts'
import { registerClients } from '../clients.ts'
import type { LoadResult } from '../closed-loop.ts'
import { type Costs, measureClosedLoop, takeTurns, warmUp } from '../measure.ts'
import { tokenRequest } from '../requests.ts'
import { type Row, type Scenario, skipped } from '../scenario.ts'
import type { Server } from '../servers.ts'
import { median, ratios } from '../statistics.ts'
import { describeCosts, medianOf, number, postgresCpu, range, rateOf, serverCpu, times } from '../text.ts'
import type { World } from '../world.ts'

type Rounds = readonly (LoadResult & Costs)[]

const clientsRegistered = 100
/** More than what any server here answers in a second. Those that are left over were signed for nothing. */
const requestsPerSecondMax = 12_000

export const assertions: Scenario = {
  name: 'assertions',
  question: 'What does a token cost with private_key_jwt, warm, beside a secret and beside oidc-provider?',
  async run(world) {
    const database = await world.database()
    const clients = await addKeys(
      database.client,
      await registerClients(database.client, clientsRegistered, 'least'),
    )
    const service = await world.service({ database })
    const secrets = clients.map((client) => tokenRequest(client))
    const peer = await world.foreignPeer(
      'oidc-provider',
      clients.map(({ clientId, secret, jwk }) => ({ clientId, secret, jwk })),
    )
    const fresh = (server: Server, seconds: number) =>
      assertionRequests(clients, server.origin, requestsPerSecondMax * seconds)
    const servers = peer === undefined ? [service] : [service, peer]
    await warmUp(world, service, secrets)
    for (const server of servers) await warmUp(world, server, fresh(server, world.plan.warmUpSeconds))
    const byAssertion = (server: Server) => {
      // Signed before the round, while nothing is measured.
      return () => measureClosedLoop(world, server, fresh(server, world.plan.roundSeconds))
    }
    const contestants: Record<string, () => Promise<LoadResult & Costs>> = {
      assertion: byAssertion(service),
      secret: () => measureClosedLoop(world, service, secrets),
      ...(peer === undefined ? {} : { 'oidc-provider': byAssertion(peer) }),
    }
    const results = await takeTurns(world, contestants, describeCosts)
    return rowsOf(world, results)
  },
}

function rowsOf(world: World, results: Record<string, Rounds>): Row[] {
  const { assertion = [], secret = [], 'oidc-provider': peer } = results
  const whole = (rounds: Rounds): number[] =>
    rounds.map((round) => round.serverSignatures + round.postgresSignatures)
  const what = 'tokens per CPU second by assertion, beside oidc-provider'
  return [
    {
      what: 'tokens per second',
      measured: rateOf(assertion),
      beside: `with a secret: ${rateOf(secret)}`,
      note:
        `Closed loop, ${world.plan.connections} connections that stay open, ${clientsRegistered} clients in turn, ES256. ` +
        'Every request brings an assertion of its own.',
    },
    {
      what: 'CPU per token, the service and PostgreSQL',
      measured: `${number(median(whole(assertion)), 2)} S${range(whole(assertion))}`,
      beside: `with a secret: ${number(median(whole(secret)), 2)} S`,
      target: { name: 'assertionCpu', value: median(whole(assertion)) },
    },
    {
      what: 'CPU per token, the service',
      measured: `${serverCpu(assertion)}${range(assertion.map((round) => round.serverSignatures))}`,
      beside: `with a secret: ${serverCpu(secret)}`,
    },
    {
      what: 'CPU per token, PostgreSQL, with the identifier that counts once',
      measured: postgresCpu(assertion),
      beside: `with a secret: ${number(
        medianOf(secret, (round) => round.postgresSignatures),
        2,
      )} S`,
    },
    peer === undefined
      ? skipped(what, 'its packages could not be installed')
      : {
          what,
          measured: times(
            ratios(
              peer.map((round) => round.serverMicroseconds),
              assertion.map((round) => round.serverMicroseconds),
            ),
          ),
          beside: `oidc-provider: ${serverCpu(peer)}, ${rateOf(peer)}`,
          note: 'oidc-provider keeps the identifiers in its memory, and nothing else.',
        },
  ]
}
