import { registerClients } from '../clients.ts'
import type { LoadResult } from '../closed-loop.ts'
import { type BenchIssuer, federatedRequests, trustIssuer } from '../federation.ts'
import { type Costs, measureClosedLoop, takeTurns, warmUp } from '../measure.ts'
import { tokenRequest } from '../requests.ts'
import type { Row, Scenario } from '../scenario.ts'
import { median } from '../statistics.ts'
import { describeCosts, number, range, rateOf, serverCpu } from '../text.ts'
import type { World } from '../world.ts'

type Rounds = readonly (LoadResult & Costs)[]

/** More than the service answers in a second. Those that are left over were signed for nothing. */
const requestsPerSecondMax = 9_000
/** The same with RS256, which costs less to verify. */
const rsaRequestsPerSecondMax = 10_000

export const federation: Scenario = {
  name: 'federation',
  question: 'What does a token cost by what another issuer signed, warm, beside a secret?',
  async run(world) {
    const database = await world.database()
    const clients = await registerClients(database.client, 100, 'least')
    const issuers = [
      await trustIssuer(database.client, 'ES256'),
      await trustIssuer(database.client, 'RS256'),
    ] as const
    const service = await world.service({ database })
    const secrets = clients.map((client) => tokenRequest(client))
    const requests = (
      issuer: BenchIssuer,
      seconds: number,
      grant: 'jwt-bearer' | 'client_credentials' = 'jwt-bearer',
    ) => {
      const perSecond = issuer.algorithm === 'ES256' ? requestsPerSecondMax : rsaRequestsPerSecondMax
      return federatedRequests(issuer, service.origin, perSecond * seconds, grant)
    }
    await warmUp(world, service, secrets)
    for (const issuer of issuers) await warmUp(world, service, requests(issuer, world.plan.warmUpSeconds))
    const { roundSeconds } = world.plan
    // Signed before the round, while nothing is measured.
    const results = await takeTurns(
      world,
      {
        grant: () => measureClosedLoop(world, service, requests(issuers[0], roundSeconds)),
        authentication: () =>
          measureClosedLoop(world, service, requests(issuers[0], roundSeconds, 'client_credentials')),
        RS256: () => measureClosedLoop(world, service, requests(issuers[1], roundSeconds)),
        secret: () => measureClosedLoop(world, service, secrets),
      },
      describeCosts,
    )
    return rowsOf(world, results)
  },
}

function rowsOf(
  world: World,
  { grant, authentication, RS256, secret }: Record<'grant' | 'authentication' | 'RS256' | 'secret', Rounds>,
): Row[] {
  const whole = (rounds: Rounds): number[] =>
    rounds.map((round) => round.serverSignatures + round.postgresSignatures)
  const wholeOf = (rounds: Rounds): string => `${number(median(whole(rounds)), 2)} S`
  const beside = `with a secret: ${wholeOf(secret)}`
  return [
    {
      what: 'tokens per second',
      measured: rateOf(grant),
      beside: `with a secret: ${rateOf(secret)}`,
      note:
        `Closed loop, ${world.plan.connections} connections that stay open, 100 workloads in turn, each with an identity of ` +
        'its own, two conditions, ES256. Every request brings an assertion of its own, with claims as Kubernetes writes them.',
    },
    {
      what: 'CPU per token, the service and PostgreSQL',
      measured: `${wholeOf(grant)}${range(whole(grant))}`,
      beside,
      target: { name: 'federationCpu', value: median(whole(grant)) },
    },
    {
      what: 'CPU per token, the service',
      measured: serverCpu(grant),
      beside: `with a secret: ${serverCpu(secret)}`,
    },
    {
      what: 'CPU per token, as the authentication of a client',
      measured: `${wholeOf(authentication)}${range(whole(authentication))}`,
      beside,
    },
    {
      what: 'CPU per token, signed with RS256, as most platforms do',
      measured: `${wholeOf(RS256)}${range(whole(RS256))}`,
      beside,
    },
  ]
}
