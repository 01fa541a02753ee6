import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { hasEnded, spawnProgram } from '../children.ts'
import { registerClients } from '../clients.ts'
import { type HandshakesResult, runHandshakes } from '../handshakes.ts'
import { type Costs, measure, measureClosedLoop, takeTurns, warmUp } from '../measure.ts'
import { type PreparedRequest, tokenRequest } from '../requests.ts'
import { type Row, type Scenario, skipped } from '../scenario.ts'
import { type Certificate, freePort, type Server, server } from '../servers.ts'
import { median, ratios } from '../statistics.ts'
import { describeCosts, medianOf, perSecond, rateOf, serverCpu, times } from '../text.ts'
import type { World } from '../world.ts'

/** Handshakes at the same time: enough to keep one core of the server busy. */
export const handshakeConnections = 16

export const tls: Scenario = {
  name: 'tls',
  question: 'What does TLS cost, on connections that stay open and with a handshake for every token?',
  async run(world) {
    const certificate = makeCertificate(world.directory)
    if (certificate === undefined) return [skipped('TLS', 'there is no openssl on the PATH')]
    const database = await world.database()
    const clients = await registerClients(database.client, 100, 'least')
    const requests = clients.map((client) => tokenRequest(client))
    const plain = await world.service({ database })
    const secure = await world.service({ database, certificate })
    for (const each of [plain, secure]) await warmUp(world, each, requests)
    const kept = await takeTurns(
      world,
      {
        plain: () => measureClosedLoop(world, plain, requests),
        TLS: () => measureClosedLoop(world, secure, requests),
      },
      describeCosts,
      world.plan.fewRounds,
    )
    const opened = await compareHandshakes(world, secure, certificate, requests[0] as PreparedRequest)
    const lone = await measureLone(world, plain, requests, opened.ratePerSecond)
    return [
      keptRow('tokens per second over TLS', kept.TLS, kept.plain),
      ...opened.rows,
      loneRow(lone, opened.ratePerSecond),
    ]
  },
}

function keptRow(what: string, secure: readonly Costs[], plain: readonly Costs[]): Row {
  const rate = (round: Costs): number => round.ratePerSecond
  return {
    what,
    measured: `${times(ratios(secure.map(rate), plain.map(rate)))}, CPU ${serverCpu(secure)}`,
    beside: `plain HTTP: ${rateOf(plain)}, CPU ${serverCpu(plain)}`,
    note: 'Connections stay open.',
  }
}

async function compareHandshakes(
  world: World,
  service: Server,
  certificate: Certificate,
  request: PreparedRequest,
): Promise<{ rows: Row[]; ratePerSecond: number }> {
  const openssl = await startOpenssl(world, certificate)
  const closing = { ...request, headers: { ...request.headers, connection: 'close' } }
  const run = (target: Server, sent?: PreparedRequest, durationSeconds = world.plan.roundSeconds) =>
    measure(world, target, () =>
      runHandshakes(
        {
          origin: target.origin,
          certificateFile: certificate.certificateFile,
          connections: handshakeConnections,
          durationSeconds,
          ...(sent === undefined ? {} : { request: sent }),
        },
        world.directory,
      ),
    )
  const bare = await world.peer('bare', certificate)
  for (const each of [service, bare]) await run(each, closing, world.plan.warmUpSeconds)
  await run(openssl, undefined, world.plan.warmUpSeconds)
  const results = await takeTurns(
    world,
    { mintmark: () => run(service, closing), bare: () => run(bare, closing), s_server: () => run(openssl) },
    (round) => `${describeCosts(round)}, ${round.negotiated}`,
  )
  for (const round of results.mintmark) world.noteFailures('handshake and token', round)
  for (const round of results.bare) world.noteFailures('handshake and an answer of the bare route', round)
  for (const round of results.s_server) {
    world.noteFailures('handshakes of s_server', { ...round, statuses: { 200: round.answered } })
  }
  return {
    rows: [handshakeRow(results.mintmark, results.s_server), bareRow(results.bare, results.s_server)],
    ratePerSecond: medianOf(results.mintmark, (round) => round.ratePerSecond),
  }
}

type Rounds = readonly (HandshakesResult & Costs)[]

const microseconds = (round: Costs): number => round.serverMicroseconds

function handshakeRow(own: Rounds, openssl: Rounds): Row {
  const values = ratios(own.map(microseconds), openssl.map(microseconds))
  const negotiated = [...new Set([...own, ...openssl].map((round) => round.negotiated))]
  return {
    what: 'CPU of a new connection and its token',
    measured: `${times(values)}, ${serverCpu(own)}`,
    beside: `handshake of openssl s_server: ${serverCpu(openssl)}`,
    target: { name: 'handshake', value: median(values) },
    worthless:
      negotiated.length === 1 ? undefined : `the handshakes were not the same: ${negotiated.join(' / ')}`,
    note:
      `Both: ${negotiated[0]}, the same P-256 certificate, no resumption, the same client. The service parses, ` +
      'signs, commits and answers; s_server is closed after the handshake. Node brings an OpenSSL of its own ' +
      `(${process.versions.openssl}).`,
  }
}

/** The share of the framework in this cost. */
function bareRow(bare: Rounds, openssl: Rounds): Row {
  return {
    what: 'CPU of a new connection and an answer of the bare route',
    measured: `${times(ratios(bare.map(microseconds), openssl.map(microseconds)))}, ${serverCpu(bare)}`,
    beside: `handshake of openssl s_server: ${serverCpu(openssl)}`,
  }
}

/** Measures the cost of the token alone: the same rate, without TLS, on connections that stay open. */
async function measureLone(
  world: World,
  plain: Server,
  requests: readonly PreparedRequest[],
  ratePerSecond: number,
): Promise<Costs[]> {
  const results = await takeTurns(
    world,
    { plain: () => measure(world, plain, () => world.openLoop(plain, requests, ratePerSecond)) },
    describeCosts,
    world.plan.fewRounds,
  )
  for (const round of results.plain) world.noteFailures('tokens one by one', round)
  return results.plain
}

function loneRow(lone: readonly Costs[], ratePerSecond: number): Row {
  return {
    what: 'CPU of a token at the same rate, without a handshake',
    measured: serverCpu(lone),
    note:
      `${perSecond(ratePerSecond)}, plain HTTP on connections that stay open. So few share nothing with each other: no ` +
      'commit, no signatures back to back, no warm caches.',
  }
}

/** @returns undefined if openssl is not on the PATH. */
export function makeCertificate(directory: string): Certificate | undefined {
  const certificateFile = join(directory, 'certificate.pem')
  const privateKeyFile = join(directory, 'private-key.pem')
  const { error, status, stderr } = spawnSync(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc', '-days', '2'],
      ...['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'],
      ...['-keyout', privateKeyFile, '-out', certificateFile],
    ],
    { encoding: 'utf8' },
  )
  if (error !== undefined) return undefined
  if (status !== 0) throw new Error(`openssl made no certificate: ${stderr.trim().split('\n').at(-1)}`)
  return { certificateFile, privateKeyFile }
}

/** @param more options of `openssl s_server`. */
export async function startOpenssl(
  world: World,
  certificate: Certificate,
  ...more: readonly string[]
): Promise<Server> {
  const port = await freePort()
  const child = spawnProgram(
    'openssl',
    [
      ...['s_server', '-accept', `127.0.0.1:${port}`, '-www', '-quiet', '-tls1_3'],
      ...['-cert', certificate.certificateFile, '-key', certificate.privateKeyFile],
      ...more,
    ],
    { stdio: 'ignore' },
  )
  const openssl = world.keep(server('s_server', `https://127.0.0.1:${port}`, child))
  // s_server does not report that it listens. The first handshakes are a warm-up, and they may fail.
  await sleep(500)
  if (hasEnded(child)) throw new Error(`openssl s_server ended with code ${child.exitCode}`)
  return openssl
}
