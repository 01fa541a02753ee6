import { registerClients } from '../clients.ts'
import type { LoadResult } from '../closed-loop.ts'
import type { BenchDatabase } from '../database.ts'
import { type Costs, measureClosedLoop, takeTurns, warmUp } from '../measure.ts'
import { tokenRequest } from '../requests.ts'
import { type Row, type Scenario, skipped } from '../scenario.ts'
import { checkToken, launcherMemory, type Server } from '../servers.ts'
import { median, ratios } from '../statistics.ts'
import {
  describeCosts,
  medianOf,
  megabytes,
  number,
  postgresCpu,
  range,
  rateOf,
  serverCpu,
  times,
} from '../text.ts'
import type { World } from '../world.ts'

type Rounds = readonly (LoadResult & Costs)[]

const clientsRegistered = 100

export const warm: Scenario = {
  name: 'warm',
  question: 'What does a token cost with client_secret_basic, warm, beside other servers?',
  async run(world) {
    const database = await world.database()
    const clients = await registerClients(database.client, clientsRegistered, 'least')
    const requests = clients.map((client) => tokenRequest(client))
    const servers = [await world.service({ database }), await world.peer('floor')]
    for (const name of ['plain', 'oidc-provider'] as const) {
      const peer = await world.foreignPeer(name, clients)
      if (peer !== undefined) servers.push(peer)
    }
    for (const server of servers) {
      await checkToken(server, tokenRequest(clients[0] as (typeof clients)[number]))
      await warmUp(world, server, requests)
    }
    const launcherBytes = await launcherMemory(database)
    const ledgerBefore = await ledgerBytes(database)
    const run = (server: Server) => [server.name, () => measureClosedLoop(world, server, requests)] as const
    const results: Record<string, Rounds> = await takeTurns(
      world,
      Object.fromEntries(servers.map(run)),
      describeCosts,
    )
    const own = results['mintmark'] ?? []
    const bytesPerToken = ((await ledgerBytes(database)) - ledgerBefore) / tokensOf(own)
    return [
      ...serviceRows(world, own, launcherBytes),
      ...besideFloor(own, results['floor'] ?? []),
      ...besidePeer(results, 'plain', 'the plain build', 'besidePlain'),
      ...besidePeer(results, 'oidc-provider', 'oidc-provider', 'besideOidcProvider'),
      {
        what: 'ledger, bytes per token',
        measured: number(bytesPerToken),
        target: { name: 'ledgerBytes', value: bytesPerToken },
        note: 'Growth of the tables and their indexes during the rounds, by the tokens issued in them.',
      },
    ]
  },
}

function serviceRows(world: World, own: Rounds, launcherBytes: number): Row[] {
  const serverSignatures = medianOf(own, (round) => round.serverSignatures)
  const postgresSignatures = medianOf(own, (round) => round.postgresSignatures)
  const residentBytes = Math.max(...own.map((round) => round.residentBytes))
  return [
    {
      what: 'tokens per second',
      measured: rateOf(own),
      note:
        `Closed loop, ${world.plan.connections} connections that stay open, ${clientsRegistered} clients in turn. ` +
        'The load generator is on the same machine.',
    },
    {
      what: 'CPU per token, the service',
      measured: `${serverCpu(own)}${range(own.map((round) => round.serverSignatures))}`,
      target: { name: 'serviceCpu', value: serverSignatures },
    },
    {
      what: 'CPU per token, PostgreSQL',
      measured: `${postgresCpu(own)}${range(own.map((round) => round.postgresSignatures))}`,
      target: { name: 'postgresCpu', value: postgresSignatures },
    },
    {
      what: 'resident memory under load, with the launcher',
      measured: `${megabytes(residentBytes)} + ${megabytes(launcherBytes)}`,
      target: { name: 'residentMegabytes', value: (residentBytes + launcherBytes) / 1e6 },
      note:
        'The launcher (bin/mintmark) stays beside the service where an older Node started it, or npm. From Node 22.15 on ' +
        'it becomes the service, and in the image there is none.',
    },
  ]
}

function besideFloor(own: Rounds, floor: Rounds): Row[] {
  const cpuRatios = ratios(
    own.map((round) => round.serverMicroseconds),
    floor.map((round) => round.serverMicroseconds),
  )
  const rateRatios = ratios(
    own.map((round) => round.ratePerSecond),
    floor.map((round) => round.ratePerSecond),
  )
  return [
    {
      what: 'tokens per second, beside the floor',
      measured: times(rateRatios),
      beside: `floor: ${rateOf(floor)}`,
    },
    {
      what: 'CPU per token, beside the floor',
      measured: times(cpuRatios),
      beside: `floor: ${serverCpu(floor)}`,
      target: { name: 'besideFloor', value: median(cpuRatios) },
    },
  ]
}

function besidePeer(
  { mintmark: own = [], floor = [], ...others }: Record<string, Rounds>,
  peerName: string,
  name: string,
  target: 'besidePlain' | 'besideOidcProvider',
): Row[] {
  const what = `tokens per CPU second, beside ${name}`
  const peer = others[peerName]
  if (peer === undefined) return [skipped(what, 'its packages could not be installed')]
  // The ratio of tokens per second of CPU time is the inverse ratio of the CPU time per token.
  const beside = (rounds: Rounds, cost = (round: Costs): number => round.serverMicroseconds): number[] =>
    ratios(
      peer.map((round) => round.serverMicroseconds),
      rounds.map(cost),
    )
  const alone = beside(own)
  const withPostgres = beside(own, (round) => round.serverMicroseconds + round.postgresMicroseconds)
  return [
    {
      what,
      measured: times(alone),
      beside: `${name}: ${serverCpu(peer)}, ${rateOf(peer)}`,
      target: { name: target, value: median(alone) },
      note: `The floor, which checks nothing and keeps nothing, comes to ${times(beside(floor))}: no service here can do more.`,
    },
    { what: `${what}, with PostgreSQL`, measured: times(withPostgres) },
  ]
}

const tokensOf = (rounds: Rounds): number =>
  rounds.reduce((sum, { statuses }) => sum + (statuses['200'] ?? 0), 0)

/** The size of all tables of the ledger in bytes, with their indexes. */
async function ledgerBytes(database: BenchDatabase): Promise<number> {
  const { rows } = await database.client.query<{ bytes: string }>(
    `SELECT sum(pg_total_relation_size(oid)) AS bytes FROM pg_class
      WHERE relkind = 'r' AND relname LIKE 'audit\\_%' AND relnamespace = 'public'::regnamespace`,
  )
  return Number(rows[0]?.bytes)
}
