import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { generateSecret } from '../src/clients/secret.ts'
import { openEmbedded } from '../src/database/embedded.ts'
import { migrate } from '../src/database/migrate.ts'

/**
 * `npm run bench`: tokens per second with client_secret_basic, beside the floor (bench/floor.ts).
 *
 * Rates drift with the machine from minute to minute, so the two take turns and what counts is the ratio of
 * neighbouring rounds. The service is the real one, started as in production, its ledger on a PostgreSQL
 * that syncs; its load comes from a third process.
 */
const rounds = 5
const seconds = 4
const warmUpSeconds = 2
const connections = 64

interface Target {
  readonly name: string
  readonly url: string
  readonly authorization: string
  readonly process: ChildProcess
}

interface Round {
  readonly requests: number
  readonly seconds: number
  readonly failed: number
  readonly p50Milliseconds: number
  readonly p99Milliseconds: number
  /** CPU time of the server process per request, user and system. */
  readonly cpuMicroseconds: number | undefined
}

const file = (path: string) => fileURLToPath(new URL(path, import.meta.url))

const help = `Usage: npm run bench

Measures tokens per second of the service beside the floor: the same work without the service around it.
${rounds} rounds of ${seconds} s each, taking turns, about a minute altogether. What counts is the ratio of
neighbouring rounds. It takes no options, brings its own PostgreSQL, and leaves nothing behind.
`

async function main(): Promise<void> {
  const [argument] = process.argv.slice(2)
  if (argument !== undefined) {
    const isHelp = argument === '--help' || argument === '-h'
    process.stdout.write(isHelp ? help : `bench: takes no "${argument}".\n\n${help}`)
    process.exitCode = isHelp ? 0 : 2
    return
  }
  const directory = mkdtempSync(join(tmpdir(), 'mintmark-bench-'))
  // Root's database runs as another user, who must get in, or its files end up elsewhere and stay.
  chmodSync(directory, 0o711)
  const database = await openEmbedded(directory)
  const targets: Target[] = []
  try {
    await migrate(database.url)
    const service = await startService(database.url)
    targets.push(service)
    const floor = await startFloor()
    targets.push(floor)
    process.stdout.write(
      `${rounds} rounds of ${seconds} s each, ${connections} connections, taking turns\n\n`,
    )
    for (const target of targets) await load(target, warmUpSeconds)
    const results = new Map<Target, Round[]>(targets.map((target) => [target, []]))
    for (let round = 1; round <= rounds; round += 1) {
      for (const target of targets) {
        const result = await load(target, seconds)
        results.get(target)?.push(result)
        process.stdout.write(`  round ${round}  ${describe(target, result)}\n`)
      }
    }
    report(service, results.get(service) ?? [], results.get(floor) ?? [])
  } finally {
    for (const target of targets) await stop(target.process)
    await database.release()
    rmSync(directory, { recursive: true, force: true })
  }
}

async function startService(databaseUrl: string): Promise<Target> {
  const { secretId, secret, hash, hint } = await generateSecret()
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  await client.query(
    `INSERT INTO resource (audience, name, scopes) VALUES ('https://bench.example.com', 'Bench', '{read}')`,
  )
  await client.query(`INSERT INTO client (client_id, name) VALUES ('bench', 'Bench')`)
  await client.query(
    `INSERT INTO access (client_id, audience, scopes) VALUES ('bench', 'https://bench.example.com', '{read}')`,
  )
  await client.query('INSERT INTO client_secret (secret_id, client_id, hash, hint) VALUES ($1, $2, $3, $4)', [
    secretId,
    'bench',
    hash,
    hint,
  ])
  await client.end()
  const port = await freePort()
  const child = fork(file('../src/cli/main.ts'), ['serve'], {
    execArgv: ['--disable-warning=ExperimentalWarning'],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    env: {
      PATH: process.env['PATH'],
      PORT: String(port),
      DATABASE_URL: databaseUrl,
      MINTMARK_KEY_ENCRYPTION_KEY: randomBytes(32).toString('base64'),
    },
  })
  const url = `http://127.0.0.1:${port}`
  await ready(`${url}/readyz`, child)
  const authorization = `Basic ${Buffer.from(`bench:${secret}`).toString('base64')}`
  return { name: 'mintmark', url: `${url}/token`, authorization, process: child }
}

async function startFloor(): Promise<Target> {
  const port = await freePort()
  const child = fork(file('./floor.ts'), [String(port)])
  await new Promise((resolve) => child.once('message', resolve))
  return { name: 'floor', url: `http://127.0.0.1:${port}/token`, authorization: 'Basic eDp5', process: child }
}

async function load(target: Target, duration: number): Promise<Round> {
  const before = cpuMicroseconds(target.process)
  const child = fork(file('./load.ts'), [
    target.url,
    target.authorization,
    String(connections),
    String(duration),
  ])
  const result = await new Promise<Omit<Round, 'cpuMicroseconds'>>((resolve, reject) => {
    child.once('message', (message) => resolve(message as Omit<Round, 'cpuMicroseconds'>))
    child.once('exit', (code) => reject(new Error(`the load generator ended with code ${code}`)))
  })
  if (result.failed > 0)
    throw new Error(`${target.name}: ${result.failed} of ${result.requests} requests failed`)
  const after = cpuMicroseconds(target.process)
  const spent = before === undefined || after === undefined ? undefined : (after - before) / result.requests
  return { ...result, cpuMicroseconds: spent }
}

/** From the operating system's accounting (proc(5)); elsewhere than on Linux unknown. */
function cpuMicroseconds(child: ChildProcess): number | undefined {
  try {
    const fields = readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
    // Clock ticks of user and system time; Linux has a hundred in a second on every common machine.
    return (Number(fields[11]) + Number(fields[12])) * 10_000
  } catch {
    return undefined
  }
}

function report(service: Target, served: readonly Round[], floor: readonly Round[]): void {
  const rate = ({ requests, seconds: taken }: Round) => requests / taken
  const ratios = served.map((round, index) => rate(round) / rate(floor[index] as Round))
  const cpu = served.map(
    (round, index) => (round.cpuMicroseconds ?? 0) / (floor[index]?.cpuMicroseconds ?? 1),
  )
  process.stdout.write(
    `\n${service.name} with client_secret_basic, warm, every record awaited\n` +
      `  ${median(ratios).toFixed(2)} of the floor's rate (${range(ratios)})\n` +
      `  ${median(cpu).toFixed(2)} times the floor's CPU time per request in the server process (${range(cpu)})\n` +
      `  here: ${Math.round(median(served.map(rate)))} tokens/s beside ${Math.round(median(floor.map(rate)))} answers/s\n`,
  )
}

function describe(target: Target, round: Round): string {
  const cpu = round.cpuMicroseconds === undefined ? '' : `, ${Math.round(round.cpuMicroseconds)} µs CPU each`
  const rate = Math.round(round.requests / round.seconds)
  return `${target.name.padEnd(9)}${rate}/s, p50 ${round.p50Milliseconds} ms, p99 ${round.p99Milliseconds} ms${cpu}`
}

const range = (values: readonly number[]) =>
  `${Math.min(...values).toFixed(2)} to ${Math.max(...values).toFixed(2)}`

function median(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right)
  return sorted[sorted.length >> 1] ?? Number.NaN
}

async function ready(url: string, child: ChildProcess): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    if (child.exitCode !== null)
      throw new Error(`the service ended with code ${child.exitCode} before it was ready`)
    const response = await fetch(url).catch(() => undefined)
    if (response?.ok === true) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error('the service did not become ready in ten seconds')
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGTERM')
  await ended
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}

await main()
