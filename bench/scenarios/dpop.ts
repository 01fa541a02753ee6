import { addKeys, assertionRequests } from '../assertions.ts'
import { registerClients } from '../clients.ts'
import type { LoadResult } from '../closed-loop.ts'
import { type Costs, measureClosedLoop, takeTurns, warmUp } from '../measure.ts'
import { makeProofKeys, type ProofKey, withProofs } from '../proofs.ts'
import { type PreparedRequest, tokenRequest } from '../requests.ts'
import type { Row, Scenario } from '../scenario.ts'
import { median } from '../statistics.ts'
import { describeCosts, number, postgresCpu, range, rateOf, serverCpu } from '../text.ts'
import type { World } from '../world.ts'

type Rounds = readonly (LoadResult & Costs)[]

const clientsRegistered = 100
/** More than the service answers in a second. Those that are left over were signed for nothing. */
const requestsPerSecondMax = 9_000
/** More keys than the service remembers, in turn: none is remembered when it comes again. */
const strangeKeys = 6_000

export const dpop: Scenario = {
  name: 'dpop',
  question: 'What does a token cost that is bound to a key (DPoP), warm, beside a bearer token?',
  async run(world) {
    const database = await world.database()
    const clients = await addKeys(
      database.client,
      await registerClients(database.client, clientsRegistered, 'least'),
    )
    const service = await world.service({ database })
    const secrets = clients.map((client) => tokenRequest(client))
    const keys = makeProofKeys(clientsRegistered)
    const strangers = makeProofKeys(strangeKeys)
    const { roundSeconds, warmUpSeconds } = world.plan
    const countOf = (seconds: number) => requestsPerSecondMax * seconds
    const proofs = (requests: readonly PreparedRequest[], by: readonly ProofKey[], seconds: number) =>
      withProofs(requests, by, service.origin, countOf(seconds))
    const assertions = (seconds: number) => assertionRequests(clients, service.origin, countOf(seconds))
    await warmUp(world, service, secrets)
    await warmUp(world, service, proofs(secrets, keys, warmUpSeconds))
    // Signed before the round, while nothing is measured.
    const contestants: Record<string, () => Promise<LoadResult & Costs>> = {
      proof: () => measureClosedLoop(world, service, proofs(secrets, keys, roundSeconds)),
      'new keys': () => measureClosedLoop(world, service, proofs(secrets, strangers, roundSeconds)),
      'assertion and proof': () =>
        measureClosedLoop(world, service, proofs(assertions(roundSeconds), keys, roundSeconds)),
      secret: () => measureClosedLoop(world, service, secrets),
    }
    return rowsOf(world, await takeTurns(world, contestants, describeCosts))
  },
}

function rowsOf(world: World, results: Record<string, Rounds>): Row[] {
  const { proof = [], secret = [], 'new keys': newKeys = [], 'assertion and proof': both = [] } = results
  const whole = (rounds: Rounds): number[] =>
    rounds.map((round) => round.serverSignatures + round.postgresSignatures)
  const wholeOf = (rounds: Rounds): string => `${number(median(whole(rounds)), 2)} S`
  const bearer = `bearer token: ${wholeOf(secret)}`
  return [
    {
      what: 'tokens per second',
      measured: rateOf(proof),
      beside: `bearer token: ${rateOf(secret)}`,
      note:
        `Closed loop, ${world.plan.connections} connections that stay open, ${clientsRegistered} clients in turn, each with ` +
        'a secret and an ES256 key for its proofs. Every request brings a proof of its own.',
    },
    {
      what: 'CPU per token, the service and PostgreSQL',
      measured: `${wholeOf(proof)}${range(whole(proof))}`,
      beside: bearer,
      target: { name: 'dpopCpu', value: median(whole(proof)) },
    },
    {
      what: 'CPU per token, the service',
      measured: `${serverCpu(proof)}${range(proof.map((round) => round.serverSignatures))}`,
      beside: `bearer token: ${serverCpu(secret)}`,
    },
    {
      what: 'CPU per token, PostgreSQL, with the identifier that counts once',
      measured: postgresCpu(proof),
      beside: `bearer token: ${postgresCpu(secret)}`,
    },
    {
      what: 'CPU per token, with a key that the service does not remember',
      measured: `${wholeOf(newKeys)}${range(whole(newKeys))}`,
      beside: bearer,
    },
    {
      what: 'CPU per token, with an assertion and a proof',
      measured: `${wholeOf(both)}${range(whole(both))}`,
      beside: bearer,
    },
  ]
}
