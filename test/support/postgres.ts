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
}

/** One real PostgreSQL for all test files of a project, and in it one migrated database that every test copies. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const given = process.env['TEST_POSTGRES_URL']
  if (given !== undefined) {
    // A server of another version, from test/database/versions.ts.
    await provide(project, given)
    return async () => {}
  }
  const directory = mkdtempSync(join(tmpdir(), 'mintmark-test-'))
  // Root's database runs as another user, who must get in, or its files end up elsewhere and stay.
  chmodSync(directory, 0o711)
  const server = await openEmbedded(directory, { settings })
  await provide(project, server.url)
  return async () => {
    await server.release()
    rmSync(directory, { recursive: true, force: true })
  }
}

async function provide(project: TestProject, url: string): Promise<void> {
  await administer(url, 'CREATE DATABASE template_mintmark')
  await migrate(withDatabase(url, 'template_mintmark'))
  project.provide('postgresUrl', url)
}
