import type { ChildProcess } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { endAll, forkFile, messageOf } from './children.ts'
import { type LoadResult, runClosedLoop } from './closed-loop.ts'
import { type BenchDatabase, type DatabaseServer, openDatabaseServer } from './database.ts'
import {
  type OpenLoop,
  type OpenLoopResult,
  type RunningOpenLoop,
  runOpenLoop,
  startOpenLoop,
} from './open-loop.ts'
import { installPeers } from './peers/install.ts'
import type { Credentials, PreparedRequest } from './requests.ts'
import {
  type Certificate,
  type ForeignPeerName,
  type OwnPeerName,
  type Server,
  type ServiceOptions,
  startPeer,
  startService,
} from './servers.ts'

/** The length and the number of measurements. */
export interface Plan {
  readonly rounds: number
  /** The number of rounds for measurements that have no target or take long. */
  readonly fewRounds: number
  /** Whole seconds. */
  readonly roundSeconds: number
  /** Whole seconds. */
  readonly warmUpSeconds: number
  /** The default number of connections of a load. */
  readonly connections: number
  /** The number of clients in the largest registry. */
  readonly manyClients: number
  /** The number of clients that send their first request at the same time. */
  readonly coldClients: number
  /** The number of guesses whose time is measured, at clients that exist and as many at names that do not. */
  readonly guesses: number
  readonly starts: number
}

/** Everything that a scenario needs. What it starts is stopped at its end, even if the scenario fails. */
export class World {
  readonly plan: Plan
  readonly directory: string
  readonly postgres: DatabaseServer
  readonly say: (line: string) => void
  readonly #signer: ChildProcess
  #signature: { microseconds: number; atMilliseconds: number } | undefined
  /** Called in the opposite order. */
  readonly #undo: (() => Promise<void>)[] = []
  #failures: string[] = []

  constructor(
    plan: Plan,
    directory: string,
    postgres: DatabaseServer,
    signer: ChildProcess,
    say: (line: string) => void,
  ) {
    this.plan = plan
    this.directory = directory
    this.postgres = postgres
    this.#signer = signer
    this.say = say
  }

  async database(): Promise<BenchDatabase> {
    const database = await this.postgres.create()
    this.#undo.push(() => database.drop())
    return database
  }

  async service(options: ServiceOptions): Promise<Server> {
    return this.keep(await startService(options))
  }

  async peer(name: OwnPeerName, certificate?: Certificate): Promise<Server> {
    return this.keep(await startPeer(name, this.directory, [], certificate))
  }

  /** @returns undefined if its packages could not be installed. */
  async foreignPeer(name: ForeignPeerName, clients: readonly Credentials[]): Promise<Server | undefined> {
    if (!(await installPeers(this.say))) return undefined
    return this.keep(await startPeer(name, this.directory, clients))
  }

  /** Registers a server to be stopped at the end of the scenario. */
  keep(server: Server): Server {
    this.#undo.push(() => server.stop())
    return server
  }

  closedLoop(
    server: Server,
    requests: readonly PreparedRequest[],
    durationSeconds = this.plan.roundSeconds,
    connections = this.plan.connections,
    clientCertificate?: Certificate,
  ): Promise<LoadResult> {
    const shown = clientCertificate === undefined ? {} : { clientCertificate }
    return runClosedLoop(
      { origin: server.origin, requests, connections, durationSeconds, ...shown },
      this.directory,
    )
  }

  openLoop(
    server: Server,
    requests: readonly PreparedRequest[],
    ratePerSecond: number,
    {
      durationSeconds = this.plan.roundSeconds,
      leadSeconds = 0.5,
      connections = this.plan.connections,
      ...more
    }: Partial<OpenLoop> = {},
  ): Promise<OpenLoopResult> {
    return runOpenLoop(
      { ...more, origin: server.origin, requests, ratePerSecond, durationSeconds, leadSeconds, connections },
      this.directory,
    )
  }

  /** An open loop over two replicas, of which each can be taken out of the balance. */
  openLoopOver(
    servers: readonly Server[],
    requests: readonly PreparedRequest[],
    ratePerSecond: number,
    durationSeconds: number,
  ): RunningOpenLoop {
    const [origin = '', ...moreOrigins] = servers.map((server) => server.origin)
    const { connections } = this.plan
    const load = {
      origin,
      moreOrigins,
      requests,
      ratePerSecond,
      durationSeconds,
      leadSeconds: 0.5,
      connections,
    }
    return startOpenLoop(load, this.directory)
  }

  /**
   * S now, in microseconds, measured while nothing else runs. The end of one round is the start of the next
   * one, so a very recent value is used again.
   */
  async signatureMicroseconds(): Promise<number> {
    const last = this.#signature
    if (last !== undefined && performance.now() - last.atMilliseconds < 200) return last.microseconds
    const measured = messageOf<number>(this.#signer)
    this.#signer.send('sign')
    const microseconds = await measured
    this.#signature = { microseconds, atMilliseconds: performance.now() }
    return microseconds
  }

  /** Notes requests that failed unexpectedly. The rows of the scenario and the exit code show them. */
  noteFailures(who: string, result: LoadResult, expectedStatus = 200): void {
    const others = Object.entries(result.statuses).filter(([status]) => status !== String(expectedStatus))
    const said = others.map(([status, count]) => `${count} × ${status}`)
    if (result.errors > 0) said.push(`${result.errors} without an answer`)
    if (said.length > 0)
      this.#failures.push(`${who}: ${said.join(', ')} of ${result.answered + result.errors}`)
    else if (result.answered === 0) this.#failures.push(`${who}: no request was answered`)
  }

  takeFailures(): readonly string[] {
    const failures = this.#failures
    this.#failures = []
    return failures
  }

  /** Stops and drops everything that a scenario has started. */
  async cleanUp(): Promise<void> {
    for (const undo of this.#undo.splice(0).reverse()) {
      await undo().catch((error: unknown) => this.say(`could not be undone: ${String(error)}`))
    }
  }
}

/** Opens a world, runs a function with it, and removes everything afterwards, also after Ctrl-C. */
export async function withWorld(
  plan: Plan,
  say: (line: string) => void,
  use: (world: World) => Promise<void>,
): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'mintmark-bench-'))
  // If root runs the benchmark, the database runs as another user. That user must be able to enter the
  // directory. Otherwise the files of the database would be put elsewhere and stay there.
  chmodSync(directory, 0o711)
  let postgres: DatabaseServer | undefined
  let closed: Promise<void> | undefined
  let interrupted = false
  // Errors that the stop itself causes are not reported.
  const tell = (line: string): void => {
    if (!interrupted) say(line)
  }
  const close = (): Promise<void> => {
    closed ??= (async () => {
      await endAll()
      await postgres?.release()
      rmSync(directory, { recursive: true, force: true })
    })()
    return closed
  }
  const interrupt = (signal: NodeJS.Signals): void => {
    // The processes must be stopped even if somebody presses Ctrl-C twice.
    if (interrupted) return
    tell(`${signal}: stopping what was started`)
    interrupted = true
    // The exit code is 128 plus the number of the signal, as in a shell.
    void opening
      .catch(() => {})
      .then(close)
      .finally(() => process.exit(signal === 'SIGINT' ? 130 : 143))
  }
  const opening = (async () => {
    postgres = await openDatabaseServer(directory)
    const signer = forkFile('load/signature.ts', [])
    await messageOf(signer)
    return new World(plan, directory, postgres, signer, tell)
  })()
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt)
  try {
    await use(await opening)
  } finally {
    await close()
    // The interrupt ends the process. A partial result is of no use.
    if (interrupted) await new Promise(() => {})
  }
}
