import { type Costs, measureClosedLoop, takeTurns, warmUp } from '../measure.ts'
import { getRequest } from '../requests.ts'
import type { Row, Scenario } from '../scenario.ts'
import type { Server } from '../servers.ts'
import { ratios } from '../statistics.ts'
import { describeCosts, rateOf, serverCpu, times } from '../text.ts'

const path = '/.well-known/jwks.json'

export const jwks: Scenario = {
  name: 'jwks',
  question: 'What does it cost when verifiers fetch the keys?',
  async run(world) {
    const service = await world.service({ database: await world.database() })
    const bare = await world.peer('bare')
    const fetched = [getRequest(path)]
    const again = async (server: Server) => [getRequest(path, { 'if-none-match': await etagOf(server) })]
    const serviceAgain = await again(service)
    const bareAgain = await again(bare)
    for (const server of [service, bare]) await warmUp(world, server, fetched)
    const results = await takeTurns(
      world,
      {
        mintmark: () => measureClosedLoop(world, service, fetched),
        bare: () => measureClosedLoop(world, bare, fetched),
        'mintmark, 304': () => measureClosedLoop(world, service, serviceAgain, 304),
        'bare, 304': () => measureClosedLoop(world, bare, bareAgain, 304),
      },
      describeCosts,
      world.plan.fewRounds,
    )
    return [
      row('key set', results.mintmark, results.bare),
      row('key set that has not changed (304)', results['mintmark, 304'], results['bare, 304']),
    ]
  },
}

function row(what: string, own: readonly Costs[], bare: readonly Costs[]): Row {
  const text = (rounds: readonly Costs[]): string => `${rateOf(rounds)}, CPU ${serverCpu(rounds)}`
  const values = ratios(
    own.map((round) => round.serverMicroseconds),
    bare.map((round) => round.serverMicroseconds),
  )
  return { what, measured: `${times(values)} the CPU, ${text(own)}`, beside: `bare route: ${text(bare)}` }
}

async function etagOf(server: Server): Promise<string> {
  const response = await fetch(`${server.origin}${path}`)
  await response.arrayBuffer()
  return response.headers.get('etag') ?? ''
}
