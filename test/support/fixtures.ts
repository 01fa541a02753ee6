/**
 * What a test may ask for by naming it in its arguments. Each thing is made when a test names it and ends with
 * the test; what a test leaves running is ended for it.
 *
 * `test` gives each test a database of its own, so that the tests of a file may run at once. `sharedTest` gives
 * one database to all tests of a file; the file adds the service that they share.
 */
import { test as base, inject, type TestContext } from 'vitest'
import { command } from './command.ts'
import { type FreshDatabase, freshDatabase } from './database.ts'
import {
  endLeft,
  environmentOf,
  type Outcome,
  type RunningProcess,
  type ServiceProcess,
  startServiceProcess,
  untilReady,
} from './process.ts'
import { type Scratch, scratch } from './scratch.ts'
import { startService, type TestService, type TestServiceOptions } from './service.ts'

const withServer = base.extend('serverUrl', { scope: 'worker' }, () => inject('postgresUrl'))

async function ownDatabase(
  { serverUrl }: { serverUrl: string },
  { onCleanup }: { onCleanup: (cleanup: () => Promise<void>) => void },
): Promise<FreshDatabase> {
  const database = await freshDatabase(serverUrl)
  onCleanup(() => database.drop())
  return database
}

/** A directory for files of this test. */
function ownFiles({ onTestFinished }: TestContext): Scratch {
  const files = scratch()
  onTestFinished(() => files.remove())
  return files
}

/** Takes a process that the test started, and ends it if the test does not. */
function ownProcesses({ onTestFinished }: TestContext): Track {
  return (started) => {
    onTestFinished(() => endLeft(started))
    return started
  }
}

type Track = <Started extends RunningProcess>(started: Started) => Started

/** Starts `serve` on this database and waits until it can issue. */
function ownService({ database, track }: { database: FreshDatabase; track: Track }) {
  return async (environment: Readonly<Record<string, string>> = {}): Promise<ServiceProcess> => {
    const started = await startServiceProcess(['serve'], {
      environment: environmentOf(database.url, environment),
    })
    const service = track(started)
    await untilReady(service)
    return service
  }
}

/** Runs a command of the command line on this database, from start to end, in this process. */
function ownCommand({ database }: { database: FreshDatabase }) {
  return (...commandArguments: readonly string[]): Promise<Outcome> =>
    command({ DATABASE_URL: database.url }, ...commandArguments)
}

export const test = withServer
  .extend('database', ownDatabase)
  .extend('files', ownFiles)
  .extend('track', ownProcesses)
  .extend('serve', ownService)
  .extend('run', ownCommand)
  .extend('startService', ({ database }, { onCleanup }) => {
    const services: TestService[] = []
    onCleanup(async () => {
      for (const service of services.toReversed()) await service.close()
    })
    return async (options: TestServiceOptions = {}): Promise<TestService> => {
      const service = await startService({ database, ...options })
      services.push(service)
      return service
    }
  })
  .extend('service', ({ startService: start }) => start())

export const sharedTest = withServer
  .extend('database', { scope: 'file' }, ownDatabase)
  .extend('files', ownFiles)
  .extend('track', ownProcesses)
  .extend('serve', ownService)
  .extend('run', { scope: 'file' }, ownCommand)
