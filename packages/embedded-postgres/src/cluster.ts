import { randomBytes } from 'node:crypto'
import { existsSync, lstatSync, readFileSync, statSync } from 'node:fs'
import { chown, realpath, rename, rm, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { run } from './command.ts'
import { createOpenDirectory, createTemporary, synchronize } from './directories.ts'
import { EmbeddedPostgresError, messageOf } from './error.ts'
import { findPrograms, type Programs } from './programs.ts'
import {
  assertUsable,
  canEnter,
  findServerUser,
  isRoot,
  type Report,
  type ServerUser,
  userOfOwner,
  warnOfSharedUser,
} from './server-user.ts'

/** The files of the server: where they are, who owns them, and how they are created. */
export interface Cluster {
  /** The name of the role and of the database, and the start of other names. */
  readonly name: string
  /** PGDATA, with every symbolic link resolved. */
  readonly directory: string
  readonly user: ServerUser | undefined
  readonly programs: Programs
  readonly logFile: string
  /** Whether this call created it. */
  readonly created: boolean
}

export interface ClusterOptions {
  readonly name: string
  readonly dataDirectory: string
  /** Where root puts what the server's user cannot reach in the data directory. */
  readonly systemDirectory: string
  readonly report: Report
}

/** Finds the cluster of a data directory, or creates it. Several processes may do this at the same time. */
export async function openCluster(options: ClusterOptions): Promise<Cluster> {
  const { name, systemDirectory, report } = options
  await createOpenDirectory(options.dataDirectory, 'no_data_directory')
  const dataDirectory = await realpath(options.dataDirectory)
  const entry = join(dataDirectory, 'postgres')
  const user = await chooseUser(name, entry, report)
  const programs = await findPrograms(user, isRoot() ? systemDirectory : dataDirectory, report)
  const exists = existsSync(join(entry, 'PG_VERSION'))
  const created = exists ? false : await createCluster(entry, options, user, programs)
  const directory = await realpath(entry)
  if (!created) await checkCluster(directory, user, programs)
  return { name, directory, user, programs, logFile: join(dataDirectory, 'postgres.log'), created }
}

/** Who owns `<data directory>/postgres`, if it exists. Refuses what cannot be used before anything starts. */
function checkEntry(entry: string): { uid: number; gid: number } | undefined {
  if (lstatSync(entry, { throwIfNoEntry: false }) === undefined) return undefined
  const found = statSync(entry, { throwIfNoEntry: false })
  if (!found) {
    throw new EmbeddedPostgresError(
      'unusable_database',
      `${entry} is a link to a database that is no longer there. Restore its target, or remove the link to ` +
        'start with an empty database.',
    )
  }
  if (!isRoot() && found.uid !== process.getuid?.()) {
    const { name } = userOfOwner(found.uid, found.gid)
    throw new EmbeddedPostgresError('other_owner', `The database in ${entry} belongs to user "${name}".`)
  }
  return { uid: found.uid, gid: found.gid }
}

async function chooseUser(name: string, entry: string, report: Report): Promise<ServerUser | undefined> {
  const owner = checkEntry(entry)
  if (!isRoot()) return undefined
  const user =
    owner && owner.uid !== 0 ? userOfOwner(owner.uid, owner.gid) : await findServerUser(name, report)
  warnOfSharedUser(user, name, entry, report)
  await assertUsable(user)
  return user
}

/** @returns false when another process was faster. Its cluster is then in place. */
async function createCluster(
  entry: string,
  { name, systemDirectory, report }: ClusterOptions,
  user: ServerUser | undefined,
  programs: Programs,
): Promise<boolean> {
  const dataDirectory = dirname(entry)
  const reachable = user === undefined || (await canEnter(dataDirectory, user))
  const parent = reachable ? dataDirectory : systemDirectory
  if (!reachable) await createOpenDirectory(systemDirectory, 'cannot_write')
  const temporary = await createTemporary(parent)
  try {
    if (user) await chown(temporary, user.uid, user.gid)
    await initialize(name, join(temporary, 'postgres'), parent, user, programs)
    if (reachable) return await moveIntoPlace(temporary, entry)
    const home = join(systemDirectory, randomBytes(8).toString('hex'))
    if (!(await linkIntoPlace(temporary, home, entry))) return false
    report(
      `User "${user.name}" cannot enter ${dataDirectory}. The database is in ${home}, and a link leads there.`,
    )
    return true
  } finally {
    await rm(temporary, { recursive: true, force: true })
  }
}

async function initialize(
  name: string,
  directory: string,
  parent: string,
  user: ServerUser | undefined,
  programs: Programs,
): Promise<void> {
  const outcome = await run(
    join(programs.directory, 'bin', 'initdb'),
    [
      `--pgdata=${directory}`,
      `--username=${name}`,
      // Whoever reaches the socket is trusted. Only we reach it: its directory has mode 0700.
      '--auth=trust',
      '--encoding=UTF8',
      // PostgreSQL's own locale. With the locale of the C library, an update of that library could change
      // the order of text, and indexes would be wrong.
      '--locale=C',
      '--locale-provider=builtin',
      '--builtin-locale=C.UTF-8',
      '--no-instructions',
    ],
    user,
  )
  if (outcome.succeeded) return
  const reason = outcome.output.split('\n').filter((line) => /error|fatal|could not|cannot/i.test(line))
  throw new EmbeddedPostgresError(
    'cannot_initialize',
    `Cannot create a database in ${parent}: ${reason.slice(0, 3).join('; ') || outcome.output}.`,
  )
}

async function moveIntoPlace(temporary: string, entry: string): Promise<boolean> {
  try {
    await rename(join(temporary, 'postgres'), entry)
  } catch (cause) {
    if (existsSync(join(entry, 'PG_VERSION'))) return false
    const message = `${entry} exists, but holds no database: ${messageOf(cause)}. Move it away.`
    throw new EmbeddedPostgresError('unusable_database', message, { cause })
  }
  await synchronize(dirname(entry))
  return true
}

/**
 * The link makes the cluster belong to this data directory. After somebody deletes the data directory, the
 * next start creates a new cluster and does not find the old one.
 */
async function linkIntoPlace(temporary: string, home: string, entry: string): Promise<boolean> {
  await rename(temporary, home)
  await synchronize(dirname(home))
  try {
    await symlink(join(home, 'postgres'), entry)
  } catch (cause) {
    await rm(home, { recursive: true, force: true })
    if (existsSync(join(entry, 'PG_VERSION'))) return false
    const message = `Cannot create the link ${entry}: ${messageOf(cause)}`
    throw new EmbeddedPostgresError('cannot_write', message, { cause })
  }
  await synchronize(dirname(entry))
  return true
}

/** Explains in plain words what the server would refuse. */
async function checkCluster(
  directory: string,
  user: ServerUser | undefined,
  programs: Programs,
): Promise<void> {
  const version = readFileSync(join(directory, 'PG_VERSION'), 'utf8').trim()
  if (version !== programs.majorVersion) {
    throw new EmbeddedPostgresError(
      'unusable_database',
      `The database in ${directory} is of PostgreSQL ${version}; this release brings ${programs.majorVersion}. ` +
        'Move it over with pg_dump of the release that created it, or name another data directory.',
    )
  }
  if (!user) return
  if (statSync(directory).uid !== user.uid) {
    // Root's own copy of a cluster, for example a restored backup.
    await run('chown', ['-R', `${user.uid}:${user.gid}`, directory], undefined)
  }
  if (!(await canEnter(directory, user))) {
    throw new EmbeddedPostgresError(
      'unusable_database',
      `User "${user.name}", who runs the database, cannot enter ${directory}. Let others pass through the ` +
        'directories above it (chmod o+x), or move it and link to it.',
    )
  }
}
