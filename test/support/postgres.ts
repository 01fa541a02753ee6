import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { openEmbedded } from '../../src/database/embedded.ts'
import { migrate } from '../../src/database/migrate.ts'
import { administer, withDatabase } from './database.ts'

declare module 'vitest' {
  interface ProvidedContext {
    postgresUrl: string
  }
}

const settings = {
  // A test asks which of two commits came first.
  track_commit_timestamp: 'on',
  // Several test files run at once, each with services of its own.
  max_connections: '400',
  // This server never crashes and is thrown away: it need not wait for the disk. The tests kill the service, not it.
  fsync: 'off',
  full_page_writes: 'off',
  // Each of the many databases lives for seconds.
  autovacuum: 'off',
}

interface Server {
  readonly url: string
  readonly release: () => Promise<void>
}

/** What all projects of a run share: each loads this file for itself, and they do so in one process. */
const run = globalThis as unknown as {
  mintmarkPostgres?: { projects: number; readonly server: Promise<Server> }
}

/** One real PostgreSQL for all test files of a run, and in it one migrated database that every test copies. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  run.mintmarkPostgres ??= { projects: 0, server: open() }
  const shared = run.mintmarkPostgres
  shared.projects += 1
  const server = await shared.server
  project.provide('postgresUrl', server.url)
  return async () => {
    shared.projects -= 1
    if (shared.projects === 0) await server.release()
  }
}

async function open(): Promise<Server> {
  const server = await openServer()
  await administer(server.url, 'CREATE DATABASE template_mintmark')
  const template = withDatabase(server.url, 'template_mintmark')
  await migrate(template)
  // The first session after a migration writes a file with what every session has to know of the tables. It is copied too.
  await administer(template, 'SELECT 1')
  return server
}

async function openServer(): Promise<Server> {
  const given = process.env['TEST_POSTGRES_URL']
  // A server of another version, from test/database/versions.ts.
  if (given !== undefined) return { url: given, release: async () => {} }
  const directory = mkdtempSync(join(tmpdir(), 'mintmark-test-'))
  // Root's database runs as another user, who must get in, or its files end up elsewhere and stay.
  chmodSync(directory, 0o711)
  const server = await openEmbedded(directory, { settings })
  const release = async (): Promise<void> => {
    await server.release()
    rmSync(directory, { recursive: true, force: true })
  }
  return { url: server.url, release }
}
