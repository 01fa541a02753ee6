import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { decodeProtectedHeader } from 'jose'
import pg from 'pg'
import { generateSecret } from '../src/authentication/secret-hash.ts'
import { readConfig } from '../src/config.ts'
import { openEmbedded } from '../src/database/embedded.ts'
import { migrate } from '../src/database/migrate.ts'
import type { RotationContext } from '../src/keys/key-change.ts'
import { revokeKey } from '../src/keys/revocation.ts'
import { rotate } from '../src/keys/rotation.ts'
import { leadSeconds } from '../src/keys/schedule.ts'
import { keyEncryptionKey } from '../src/keys/seal.ts'
import { systemClock } from '../src/lib/clock.ts'
import { openService, type Service } from '../src/server.ts'
import { createLog } from '../src/telemetry/log.ts'
import { type DrillVerifier, drill, joseVerifier } from '../test/support/drill.ts'
import { freePort } from '../test/support/ports.ts'
import { drillSchedule, scheduleEnvironment } from '../test/support/service.ts'

/**
 * `node bench/rotation.ts [seconds] [python]` rotates keys with a lifetime of seconds, on two replicas, with
 * all four algorithms. The verifiers cache the keys as the schedule allows. Then it revokes keys and measures
 * the seconds until the last verifier refuses their tokens. If the given Python has pyjwt[crypto], PyJWT
 * verifies too. Each algorithm rotates independently, so an hour has about two thousand rotations.
 */
const seconds = Number(process.argv[2] ?? 60)
const python = process.argv[3]
const algorithms = ['ES256', 'EdDSA', 'PS256', 'RS256'] as const
const issuer = 'http://localhost:1'
const schedule = drillSchedule
const revocations = 5

const say = (line: string) => process.stdout.write(`${line}\n`)

interface Replica {
  readonly url: string
  readonly service: Service
}

async function main(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'mintmark-rotation-'))
  const database = await openEmbedded(directory)
  const replicas: Replica[] = []
  const ended: (() => void)[] = []
  try {
    await migrate(database.url)
    const key = keyEncryptionKey(randomBytes(32))
    for (let index = 0; index < 2; index += 1) replicas.push(await openReplica(database.url, key))
    const authorization = await register(database.url)
    const verifiers = replicas.flatMap(({ url }, index) => {
      const expected = { issuer, clockSkewSeconds: schedule.clockSkewSeconds }
      const cache = {
        maxAgeSeconds: schedule.jwksMaxAgeSeconds,
        cooldownSeconds: schedule.verifierCooldownSeconds,
      }
      const found: DrillVerifier[] = [joseVerifier(`jose-${index + 1}`, url, expected, cache)]
      if (python !== undefined) {
        const { verifier, end } = pythonVerifier(`PyJWT-${index + 1}`, python, url)
        found.push(verifier)
        ended.push(end)
      }
      return found
    })
    const issuers = replicas.flatMap(({ url }) =>
      algorithms.map((algorithm) => () => requestToken(url, authorization, algorithm)),
    )
    await rotateUnderLoad(issuers, verifiers)
    const context: RotationContext = {
      database: (replicas[0] as Replica).service.database,
      clock: systemClock,
      actor: { by: 'bench' },
      schedule,
      keyEncryptionKeys: async () => [key],
    }
    for (let round = 0; round < revocations; round += 1) {
      await measureRevocation(context, issuers[0] as () => Promise<Response>, verifiers)
    }
  } finally {
    for (const end of ended) end()
    for (const { service } of replicas) await service.close()
    await database.release()
    rmSync(directory, { recursive: true, force: true })
  }
}

async function rotateUnderLoad(
  issuers: readonly (() => Promise<Response>)[],
  verifiers: readonly DrillVerifier[],
): Promise<void> {
  say(
    `${seconds} s of rotations: ${verifiers.map(({ name }) => name).join(', ')}; ${JSON.stringify(schedule)}`,
  )
  const end = performance.now() + seconds * 1_000
  const result = await drill(issuers, verifiers, () => performance.now() > end)
  const rotations = result.kids.length - algorithms.length
  say(
    `${rotations} rotations, ${result.verified} verifications, ${result.failures.length} failed, ` +
      `${result.refused.length} requests without a token`,
  )
  for (const failure of new Set(result.failures)) say(`  ${failure}`)
  if (result.failures.length > 0 || result.refused.length > 0) process.exitCode = 1
}

/** Measures the seconds from the end of a revocation until each verifier last accepts a token of the key. */
async function measureRevocation(
  context: RotationContext,
  issue: () => Promise<Response>,
  verifiers: readonly DrillVerifier[],
): Promise<void> {
  // The next key has been published for long enough, as usual. Then a revocation refuses no new token.
  const { algorithm, token } = await tokenOf(issue)
  await rotate(context, algorithm, 'lead')
  await sleep(1_000)
  let sample = token
  for (const { verify } of verifiers) await verify(sample)
  sample = (await tokenOf(issue)).token
  const kid = String(decodeProtectedHeader(sample).kid)
  const last = new Map<string, number>()
  let stopped = false
  // The tokens expire after a second. The error for an expired token still shows that the verifier has the
  // key.
  const accepting = verifiers.map(async ({ name, verify }) => {
    while (!stopped) {
      const time = performance.now()
      const problem = await verify(sample)
      if (problem === undefined || problem === 'ERR_JWT_EXPIRED') last.set(name, time)
      await sleep(10)
    }
  })
  await sleep(300)
  const { revoked } = await revokeKey(context, kid)
  const revokedAt = performance.now()
  await sleep((leadSeconds(schedule) + 1) * 1_000)
  stopped = true
  await Promise.all(accepting)
  const found = verifiers.map(({ name }) => {
    const time = last.get(name)
    return `${name} ${time === undefined ? 'never' : Math.max(0, (time - revokedAt) / 1_000).toFixed(2)} s`
  })
  say(`revoked (${revoked}): last accepted after ${found.join(', ')}; promised ${leadSeconds(schedule)} s`)
}

async function tokenOf(issue: () => Promise<Response>) {
  const { access_token: token } = (await (await issue()).json()) as { access_token: string }
  return { token, algorithm: decodeProtectedHeader(token).alg as (typeof algorithms)[number] }
}

async function openReplica(databaseUrl: string, key: ReturnType<typeof keyEncryptionKey>): Promise<Replica> {
  const port = await freePort()
  const config = readConfig({
    PORT: String(port),
    DATABASE_URL: databaseUrl,
    MINTMARK_ISSUER: issuer,
    MINTMARK_LOG_LEVEL: 'error',
    MINTMARK_SIGNING_ALGORITHMS: algorithms.join(','),
    ...scheduleEnvironment(schedule),
  })
  const service = await openService({
    config,
    databaseUrl,
    keyEncryptionKeys: [key],
    log: createLog(config.logLevel),
  })
  await service.app.listen({ host: config.host, port })
  return { url: `http://127.0.0.1:${port}`, service }
}

const audienceOf = (algorithm: string) => `https://${algorithm.toLowerCase()}.example.com`

async function register(databaseUrl: string): Promise<string> {
  const { secretId, secret, hash, hint } = await generateSecret()
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  await client.query(`INSERT INTO client (client_id, name) VALUES ('drill', 'Drill')`)
  await client.query(
    `INSERT INTO client_secret (secret_id, client_id, hash, hint) VALUES ($1, 'drill', $2, $3)`,
    [secretId, hash, hint],
  )
  for (const algorithm of algorithms) {
    const audience = audienceOf(algorithm)
    await client.query(
      `INSERT INTO resource (audience, name, scopes, signing_algorithm) VALUES ($1, $2, '{read}', $2)`,
      [audience, algorithm],
    )
    await client.query(`INSERT INTO access (client_id, audience, scopes) VALUES ('drill', $1, '{read}')`, [
      audience,
    ])
  }
  await client.end()
  return `Basic ${Buffer.from(`drill:${secret}`).toString('base64')}`
}

function requestToken(url: string, authorization: string, algorithm: string): Promise<Response> {
  return fetch(`${url}/token`, {
    method: 'POST',
    headers: { authorization },
    body: new URLSearchParams({ grant_type: 'client_credentials', resource: audienceOf(algorithm) }),
  })
}

function pythonVerifier(
  name: string,
  path: string,
  url: string,
): { verifier: DrillVerifier; end: () => void } {
  const script = fileURLToPath(new URL('rotation.py', import.meta.url))
  const child = spawn(
    path,
    [
      script,
      `${url}/.well-known/jwks.json`,
      issuer,
      String(schedule.jwksMaxAgeSeconds),
      String(schedule.clockSkewSeconds),
    ],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  )
  const waiting: ((line: string) => void)[] = []
  createInterface({ input: child.stdout }).on('line', (line) => waiting.shift()?.(line))
  const verifier: DrillVerifier = {
    name,
    verify: (token) =>
      new Promise((resolve) => {
        waiting.push((line) => resolve(line === 'ok' ? undefined : line))
        child.stdin.write(`${token}\n`)
      }),
  }
  return { verifier, end: () => child.kill() }
}

await main()
