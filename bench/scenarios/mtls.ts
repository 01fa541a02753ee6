import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { registerClients } from '../clients.ts'
import { type HandshakesResult, runHandshakes } from '../handshakes.ts'
import { type Costs, measure, takeTurns } from '../measure.ts'
import { type PreparedRequest, tokenRequest } from '../requests.ts'
import { type Row, type Scenario, skipped } from '../scenario.ts'
import type { Certificate, Server } from '../servers.ts'
import { median, ratios } from '../statistics.ts'
import { describeCosts, number, range, rateOf, serverCpu, times } from '../text.ts'
import type { World } from '../world.ts'
import { handshakeConnections, makeCertificate, startOpenssl } from './tls.ts'

const clientsRegistered = 100
const name = 'bench.example.org'

export const mtls: Scenario = {
  name: 'mtls',
  question: 'What does a certificate cost, on connections that stay open and on a new one for every token?',
  async run(world) {
    const certificate = makeCertificate(world.directory)
    if (certificate === undefined) return [skipped('mTLS', 'there is no openssl on the PATH')]
    const { authorityFile, client } = makeClientCertificate(world.directory)
    const database = await world.database()
    const clients = await registerClients(database.client, clientsRegistered, 'least')
    await database.client.query(
      `UPDATE client SET token_endpoint_auth_method = NULL, certificate_field = 'tls_client_auth_san_dns',
              certificate_value = $1`,
      [name],
    )
    const service = await world.service({
      database,
      certificate,
      environment: { MINTMARK_TLS_CLIENT_CA_FILE: authorityFile },
    })
    const bySecret = clients.map((each) => tokenRequest(each))
    const byCertificate = clients.map(({ clientId }) => certificateRequest(clientId))
    const kept = await compareKept(world, service, client, bySecret, byCertificate)
    const opened = await compareOpened(world, service, certificate, authorityFile, client, byCertificate)
    return [kept, opened]
  },
}

function certificateRequest(clientId: string): PreparedRequest {
  return {
    method: 'POST',
    path: '/token',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: `grant_type=client_credentials&client_id=${encodeURIComponent(clientId)}`,
  }
}

async function compareKept(
  world: World,
  service: Server,
  client: Certificate,
  bySecret: readonly PreparedRequest[],
  byCertificate: readonly PreparedRequest[],
): Promise<Row> {
  const { connections, roundSeconds, warmUpSeconds } = world.plan
  const run = (requests: readonly PreparedRequest[], seconds = roundSeconds) =>
    measure(world, service, () => world.closedLoop(service, requests, seconds, connections, client))
  for (const requests of [bySecret, byCertificate]) await run(requests, warmUpSeconds)
  const results = await takeTurns(
    world,
    { certificate: () => run(byCertificate), secret: () => run(bySecret) },
    describeCosts,
  )
  for (const [who, rounds] of Object.entries(results)) {
    for (const round of rounds) world.noteFailures(`tokens by ${who}`, round)
  }
  const above = results.certificate.map((round, index) => {
    return round.serverSignatures - (results.secret[index]?.serverSignatures ?? Number.NaN)
  })
  return {
    what: 'CPU of a token by a certificate on an open connection, above one by a secret',
    measured: `${number(median(above), 2)} S${range(above)}; ${serverCpu(results.certificate)}, ${rateOf(results.certificate)}`,
    beside: `with a secret: ${serverCpu(results.secret)}, ${rateOf(results.secret)}`,
    target: { name: 'certificateAboveSecret', value: median(above) },
    note: `The same ${connections} connections with the same certificate, by autocannon. With the secret it is not asked for.`,
  }
}

async function compareOpened(
  world: World,
  service: Server,
  certificate: Certificate,
  authorityFile: string,
  client: Certificate,
  requests: readonly PreparedRequest[],
): Promise<Row> {
  const openssl = await startOpenssl(world, certificate, '-Verify', '1', '-CAfile', authorityFile)
  const [first] = requests as [PreparedRequest]
  const request = { ...first, headers: { ...first.headers, connection: 'close' } }
  const run = (target: Server, sent?: PreparedRequest, durationSeconds = world.plan.roundSeconds) =>
    measure(world, target, () =>
      runHandshakes(
        {
          origin: target.origin,
          certificateFile: certificate.certificateFile,
          clientCertificate: client,
          connections: handshakeConnections,
          durationSeconds,
          ...(sent === undefined ? {} : { request: sent }),
        },
        world.directory,
      ),
    )
  await run(service, request, world.plan.warmUpSeconds)
  await run(openssl, undefined, world.plan.warmUpSeconds)
  const results = await takeTurns(
    world,
    { mintmark: () => run(service, request), s_server: () => run(openssl) },
    (round) => `${describeCosts(round)}, ${round.negotiated}`,
  )
  for (const round of results.mintmark) world.noteFailures('handshake with a certificate and token', round)
  return openedRow(results.mintmark, results.s_server)
}

type Rounds = readonly (HandshakesResult & Costs)[]

function openedRow(own: Rounds, openssl: Rounds): Row {
  const microseconds = (round: Costs): number => round.serverMicroseconds
  return {
    what: 'CPU of a new connection with a certificate and its token',
    measured: `${times(ratios(own.map(microseconds), openssl.map(microseconds)))}, ${serverCpu(own)}`,
    beside: `handshake of openssl s_server -Verify: ${serverCpu(openssl)}`,
    note: 'As in the scenario tls. Both verify the signature of the caller and that of the CA.',
  }
}

/** A CA, and a certificate of it. */
function makeClientCertificate(directory: string): { authorityFile: string; client: Certificate } {
  const file = (each: string): string => join(directory, each)
  const openssl = (...given: readonly string[]): void => {
    const { status, stderr } = spawnSync('openssl', given, { encoding: 'utf8' })
    if (status !== 0) throw new Error(`openssl made no certificate: ${stderr.trim().split('\n').at(-1)}`)
  }
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc']
  openssl(
    ...['req', '-x509', ...newKey, '-days', '2', '-subj', '/CN=bench CA'],
    ...[
      '-addext',
      'keyUsage=critical,keyCertSign,cRLSign',
      '-keyout',
      file('ca.key'),
      '-out',
      file('ca.crt'),
    ],
  )
  openssl('req', ...newKey, '-subj', '/CN=bench', '-keyout', file('client.key'), '-out', file('client.csr'))
  writeFileSync(
    file('client.ext'),
    `basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth\nsubjectAltName=DNS:${name}\n`,
  )
  openssl(
    ...['x509', '-req', '-in', file('client.csr'), '-CA', file('ca.crt'), '-CAkey', file('ca.key')],
    ...['-days', '2', '-extfile', file('client.ext'), '-out', file('client.crt')],
  )
  return {
    authorityFile: file('ca.crt'),
    client: { certificateFile: file('client.crt'), privateKeyFile: file('client.key') },
  }
}
