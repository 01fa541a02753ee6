import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { applyRegistration } from '../../administration/apply.ts'
import { findClient } from '../../administration/client-store.ts'
import { isRegistryEmpty } from '../../administration/plan-store.ts'
import { secretIdOf } from '../../authentication/secret.ts'
import { type Config, readServiceConfig } from '../../config.ts'
import { untilDatabaseAnswers } from '../../database/check.ts'
import { migrate, migrationStateOf } from '../../database/migrate.ts'
import { type Database, openDatabase } from '../../database/open.ts'
import { OperatorError } from '../../errors.ts'
import { systemClock } from '../../lib/clock.ts'
import { makeDirectory } from '../../lib/directory.ts'
import { replacePrivateFile } from '../../lib/private-file.ts'
import { type DatabaseServer, openDatabaseServer } from '../../process/database-server.ts'
import { isInspectorOpen } from '../../process/inspector.ts'
import { findKeyEncryptionKeys } from '../../process/key-encryption-keys.ts'
import { Lifetime } from '../../process/lifetime.ts'
import { createServiceLog, runService } from '../../process/run-service.ts'
import { logOutput } from '../../telemetry/log.ts'
import { operatingSystemActor } from '../terminal/actor.ts'
import { curlTrustOption } from '../terminal/authority.ts'
import { defineCommand } from '../terminal/command.ts'
import { eraseLine, note, print } from '../terminal/output.ts'
import { shellQuoted } from '../terminal/shell.ts'

const exampleFile = fileURLToPath(new URL('../../../prisma/clients.example.yaml', import.meta.url))

/** The client of the example file that is used to show the first token. */
const exampleClient = 'billing'

export const start = defineCommand({
  path: ['start'],
  summary: 'prepare the database, run the service, and show how to get a token',
  details:
    'For first steps and development. "npm start" runs this command. It creates and migrates the database, and applies\n' +
    'prisma/clients.example.yaml if there are no clients and no resources yet. In production use "migrate" and "serve",\n' +
    'which create nothing that you did not ask for.',
  options: { 'no-seed': { type: 'boolean', description: 'leave an empty registry empty' } },
  examples: [
    ['npm start', 'from a fresh clone; also installs the dependencies'],
    ['PORT=9000 bin/mintmark start --no-seed', 'on another port, without example clients'],
  ],
  async run(options) {
    const config = readServiceConfig()
    const destination = new HeldOutput()
    const log = createServiceLog(config, destination)
    const lifetime = new Lifetime(log)
    // During the steps, messages go to the terminal. After the start they go to the log.
    const report = (message: string): void =>
      destination.isHeld ? note(`    ${message}`) : log.warn({ event: 'notice' }, message)
    if (isInspectorOpen())
      report(
        "Node's inspector is open: anybody who connects to it can read every secret and key of this process.",
      )
    await lifetime.run(async () => {
      const server = await step(
        'database',
        () => openDatabaseServer(config, 'create', 'nothing', report),
        (opened) => opened.description,
      )
      lifetime.onClose(() => server.release())
      for (const warning of server.warnings) report(warning)
      const { pending } = await untilDatabaseAnswers(() => migrationStateOf(server.url), report)
      if (pending.length > 0) await step('database migrated', () => migrate(server.url))
      const database = openDatabase(server.url)
      let block: string
      try {
        if (!options['no-seed'] && (await isRegistryEmpty(database.prisma))) {
          await step('example clients created', () => seedExamples(config, server, database))
        }
        const baseUrl = await step(
          'service',
          () => runService(config, server, log, lifetime),
          (url) => `listening on ${url}${config.workers === 1 ? '' : `, ${config.workers} workers`}`,
        )
        block = await firstSteps(config, database, baseUrl)
      } finally {
        await database.close()
      }
      print(`\n${block}\n`)
      destination.release()
    })
  },
})

/** Runs one step, and prints what it did and how long it took, in the same form as the launcher. */
async function step<Result>(
  name: string,
  work: () => Promise<Result>,
  describe: (result: Result) => string = () => name,
): Promise<Result> {
  const startedAt = performance.now()
  if (process.stdout.isTTY) print(`  … ${name}`)
  try {
    const result = await work()
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
    if (process.stdout.isTTY) eraseLine()
    print(`  ✓ ${describe(result).padEnd(46)}${seconds.padStart(6)} s\n`)
    return result
  } catch (error) {
    if (process.stdout.isTTY) eraseLine()
    throw error
  }
}

function secretPath(config: Config, clientId: string): string {
  return join(config.dataDirectory, `${encodeURIComponent(clientId)}.secret`)
}

/** Writes each secret to its own file, so that every later start can show a command that works. */
async function seedExamples(config: Config, server: DatabaseServer, database: Database): Promise<void> {
  makeDirectory(config.dataDirectory)
  // Only here, because most starts find a registry that is not empty.
  const { readRegistryFile } = await import('../../administration/registry-file.ts')
  // The key-encryption key may not exist yet. The first use of each secret makes its tag.
  const keyEncryptionKeys = () => findKeyEncryptionKeys(config, server)
  const context = {
    database,
    clock: systemClock,
    actor: operatingSystemActor(),
    tagMaker: undefined,
    sealing: config.sealedRegistry ? { keyEncryptionKeys } : undefined,
  }
  await applyRegistration(context, readRegistryFile(exampleFile), {
    deliver(secrets) {
      for (const { clientId, secret } of secrets)
        replacePrivateFile(secretPath(config, clientId), `${secret}\n`)
    },
  })
}

/** The commands that a new user can paste into another terminal. */
async function firstSteps(config: Config, database: Database, baseUrl: string): Promise<string> {
  const curl = `curl -s${curlTrustOption(config)}`
  const keys = `${curl} ${baseUrl}/.well-known/jwks.json`
  const verifies = `To see the keys that verify it:\n\n  ${keys}\n`
  const token = (secret: string): string =>
    `${curl} -u "${exampleClient}:${secret}" -d grant_type=client_credentials ${baseUrl}/token`
  const state = await exampleState(config, database)
  if (state === 'absent') {
    return (
      'There is no client "billing". Run "bin/mintmark clients list" to see the clients.\n\n' +
      `To see the keys that verify tokens:\n\n  ${keys}\n`
    )
  }
  if (state === 'ready') {
    const path = shellQuoted(secretPath(config, exampleClient))
    return `To get a token, run this in another terminal:\n\n  ${token(`$(cat ${path})`)}\n\n${verifies}`
  }
  return (
    `The secret of "${exampleClient}" is not in ${secretPath(config, exampleClient)}. Create a new one:\n\n` +
    `  bin/mintmark clients secrets add ${exampleClient}\n\n` +
    `To get a token, replace SECRET with it:\n\n  ${token('SECRET')}\n\n${verifies}`
  )
}

async function exampleState(config: Config, database: Database): Promise<'absent' | 'ready' | 'secretless'> {
  const client = await findClient(database.prisma, exampleClient, systemClock.nowMilliseconds()).catch(
    (error: unknown) => {
      if (error instanceof OperatorError) return undefined
      throw error
    },
  )
  if (client === undefined || client.status !== 'active') return 'absent'
  const path = secretPath(config, exampleClient)
  const secretId = existsSync(path) ? secretIdOf(readFileSync(path, 'utf8').trim()) : undefined
  const works = client.secrets.some((secret) => secret.secretId === secretId && secret.state === 'valid')
  return works ? 'ready' : 'secretless'
}

/**
 * Holds the log lines back until the first steps are printed. Otherwise the log would push them off the
 * screen.
 */
class HeldOutput {
  readonly #destination = logOutput()
  #held: string[] | undefined = []

  constructor() {
    // If the start fails, the held lines must still be written, because they contain the reason.
    process.once('exit', () => this.release())
  }

  get isHeld(): boolean {
    return this.#held !== undefined
  }

  write(line: string): void {
    if (this.#held === undefined) this.#destination.write(line)
    else this.#held.push(line)
  }

  release(): void {
    const held = this.#held ?? []
    this.#held = undefined
    for (const line of held) this.write(line)
  }
}
