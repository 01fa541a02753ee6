/**
 * The backups of docs/guides/production.md, made and restored with PostgreSQL's own programs. These must be as new as
 * the server: where Debian has 15, `npm run versions -- /usr/lib/postgresql/15` runs this file.
 */
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { expect } from 'vitest'
import { command, succeeding } from '../support/command.ts'
import { freshDatabase } from '../support/database.ts'
import { test } from '../support/fixtures.ts'
import { registerClient, requestToken, requestTokenPatiently } from '../support/service.ts'

const serverMajor = Number(process.env['TEST_POSTGRES_MAJOR'] ?? 18)
const programMajor = majorOf('pg_dump')
const fits = programMajor >= serverMajor && majorOf('pg_restore') === programMajor

/** @returns 0 where the program is missing. */
function majorOf(program: string): number {
  const { stdout } = spawnSync(program, ['--version'], { encoding: 'utf8' })
  return Number(/\) (\d+)/.exec(stdout ?? '')?.[1] ?? 0)
}

function native(program: string, ...words: string[]): void {
  const { status, stderr } = spawnSync(program, words, { encoding: 'utf8' })
  expect({ program, status, stderr }).toEqual({ program, status: 0, stderr: '' })
}

test.skipIf(fits)('NOT TESTED: restored backups', () => {
  process.stderr.write(
    `NOT TESTED: restored backups, because there is no pg_dump here that reads PostgreSQL ${serverMajor}.\n`,
  )
})

test.runIf(fits)(
  'a backup that is restored under a running service counts at once, and what came back is listed',
  async ({ database, files, run, startService }) => {
    const ran = succeeding(run)
    const [revoked, disabled] = [await registerClient(database), await registerClient(database)]
    const { url } = await startService()
    const backup = files.path('backup.dump')
    native('pg_dump', '--format=custom', `--file=${backup}`, database.url)

    await ran('clients', 'secrets', 'revoke', revoked.clientId, revoked.secretId)
    await ran('clients', 'disable', disabled.clientId)
    expect((await requestToken(url, revoked)).status).toBe(401)
    const copy = files.path('ledger.json')
    writeFileSync(copy, await ran('audit', 'list', '--limit', '10000', '--json'))

    native('pg_restore', '--clean', '--if-exists', `--dbname=${database.url}`, backup)
    await expect.poll(async () => (await requestTokenPatiently(url, revoked)).status).toBe(200)
    const compared = await run('audit', 'compare', copy, '--json')
    expect(compared.code).toBe(1)
    const { came_back: cameBack } = JSON.parse(compared.stdout) as { came_back: { repair: string }[] }
    expect(cameBack.map(({ repair }) => repair).toSorted()).toEqual([
      `bin/mintmark clients disable ${disabled.clientId}`,
      `bin/mintmark clients secrets revoke ${revoked.clientId} ${revoked.secretId}`,
    ])

    for (const { repair } of cameBack) await ran(...repair.split(' ').slice(1))
    expect((await requestToken(url, revoked)).status).toBe(401)
    expect(await run('audit', 'compare', copy)).toMatchObject({ code: 0, stdout: '' })
  },
)

test.runIf(fits)(
  'the data alone goes into a database that is migrated already',
  async ({ database, files }) => {
    const { clientId } = await registerClient(database)
    const backup = files.path('data.dump')
    const left = ['*.registry_*', '*._prisma_migrations'].map((table) => `--exclude-table-data=${table}`)
    native('pg_dump', '--format=custom', '--data-only', ...left, `--file=${backup}`, database.url)
    const other = await freshDatabase()
    try {
      native('pg_restore', '--data-only', `--dbname=${other.url}`, backup)
      const listed = await command({ DATABASE_URL: other.url }, 'clients', 'list', '--json')
      expect(listed.stdout).toContain(`"${clientId}"`)
    } finally {
      await other.drop()
    }
  },
)
