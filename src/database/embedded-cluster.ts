import { randomBytes } from 'node:crypto'
import { existsSync, lstatSync, readFileSync, statSync } from 'node:fs'
import { chown, open, realpath, rename, rm, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { OperatorError } from '../errors.ts'
import {
  assertUsable,
  canEnter,
  createOpenDirectory,
  createTemporary,
  findPrograms,
  findServerUser,
  type Identity,
  isRoot,
  messageOf,
  type Programs,
  type Report,
  run,
  userOfOwner,
} from './embedded-platform.ts'

/** The embedded server's files: where they are, whose they are, and how they come into being. */
export interface Cluster {
  /** PGDATA, with every symbolic link resolved. */
  readonly directory: string
  readonly identity: Identity | undefined
  readonly programs: Programs
  readonly logFile: string
  /** Whether this call made it. */
  readonly created: boolean
}

/** The role that owns everything. Nobody else can reach the socket, so one is enough. */
export const roleName = 'mintmark'

/** Finds the cluster of a data directory, or creates it. Safe against others who do the same right now. */
export async function openCluster(
  givenDirectory: string,
  systemDirectory: string,
  report: Report,
): Promise<Cluster> {
  await createOpenDirectory(givenDirectory, 'MINTMARK_DATA_DIR')
  const dataDirectory = await realpath(givenDirectory)
  const entry = join(dataDirectory, 'postgres')
  const owner = checkEntry(entry)
  const identity = await chooseIdentity(owner, report)
  const programs = await findPrograms(identity, isRoot() ? systemDirectory : dataDirectory, report)
  const exists = existsSync(join(entry, 'PG_VERSION'))
  const created = exists ? false : await createCluster(entry, systemDirectory, identity, programs, report)
  const directory = await realpath(entry)
  if (!created) await checkCluster(directory, identity, programs)
  return { directory, identity, programs, logFile: join(dataDirectory, 'postgres.log'), created }
}

/** Who owns `<data directory>/postgres`, if it exists. What cannot be used is said here, before anything starts. */
function checkEntry(entry: string): { uid: number; gid: number } | undefined {
  if (lstatSync(entry, { throwIfNoEntry: false }) === undefined) return undefined
  const found = statSync(entry, { throwIfNoEntry: false })
  if (!found) {
    throw new OperatorError(
      `${entry} is a link to a database that is no longer there. Restore its target, or remove the link to ` +
        'start with an empty database.',
    )
  }
  if (!isRoot() && found.uid !== process.getuid?.()) {
    const { name } = userOfOwner(found.uid, found.gid)
    throw new OperatorError(
      `The database in ${entry} belongs to user "${name}". Run Mintmark as that user or as root, or name ` +
        'another data directory.',
    )
  }
  return { uid: found.uid, gid: found.gid }
}

async function chooseIdentity(
  owner: { uid: number; gid: number } | undefined,
  report: Report,
): Promise<Identity | undefined> {
  if (!isRoot()) return undefined
  const identity = owner && owner.uid !== 0 ? userOfOwner(owner.uid, owner.gid) : await findServerUser(report)
  await assertUsable(identity)
  return identity
}

/** @returns false when another process finished first; its cluster is then in place. */
async function createCluster(
  entry: string,
  systemDirectory: string,
  identity: Identity | undefined,
  programs: Programs,
  report: Report,
): Promise<boolean> {
  const dataDirectory = dirname(entry)
  const reachable = identity === undefined || (await canEnter(dataDirectory, identity))
  const parent = reachable ? dataDirectory : systemDirectory
  if (!reachable) await createOpenDirectory(systemDirectory)
  const temporary = await createTemporary(parent)
  try {
    if (identity) await chown(temporary, identity.uid, identity.gid)
    await initialize(join(temporary, 'postgres'), parent, identity, programs)
    if (reachable) return await moveIntoPlace(temporary, entry)
    const home = join(systemDirectory, randomBytes(8).toString('hex'))
    if (!(await linkIntoPlace(temporary, home, entry))) return false
    report(
      `User "${identity.name}" cannot enter ${dataDirectory}: the database is in ${home}, linked from there.`,
    )
    return true
  } finally {
    await rm(temporary, { recursive: true, force: true })
  }
}

async function initialize(
  directory: string,
  parent: string,
  identity: Identity | undefined,
  programs: Programs,
): Promise<void> {
  const outcome = await run(
    join(programs.directory, 'bin', 'initdb'),
    [
      `--pgdata=${directory}`,
      `--username=${roleName}`,
      // Whoever gets to the socket is trusted, and only we get there: its directory has mode 0700.
      '--auth=trust',
      '--encoding=UTF8',
      // PostgreSQL's own locale, so that no change of the machine's C library can reorder an index.
      '--locale=C',
      '--locale-provider=builtin',
      '--builtin-locale=C.UTF-8',
      '--no-instructions',
    ],
    identity,
  )
  if (outcome.succeeded) return
  const reason = outcome.output.split('\n').filter((line) => /error|fatal|could not|cannot/i.test(line))
  throw new OperatorError(
    `Cannot create a database in ${parent}: ${reason.slice(0, 3).join('; ') || outcome.output}. ` +
      'Remove the cause, name another data directory, or set DATABASE_URL.',
  )
}

async function moveIntoPlace(temporary: string, entry: string): Promise<boolean> {
  try {
    await rename(join(temporary, 'postgres'), entry)
  } catch (cause) {
    if (existsSync(join(entry, 'PG_VERSION'))) return false
    throw new OperatorError(`${entry} exists, but holds no database: ${messageOf(cause)}. Move it away.`, {
      cause,
    })
  }
  await synchronize(dirname(entry))
  return true
}

/**
 * The link is what makes the cluster the one of this data directory: who deletes the data directory gets a
 * new cluster, never a forgotten old one.
 */
async function linkIntoPlace(temporary: string, home: string, entry: string): Promise<boolean> {
  await rename(temporary, home)
  await synchronize(dirname(home))
  try {
    await symlink(join(home, 'postgres'), entry)
  } catch (cause) {
    await rm(home, { recursive: true, force: true })
    if (existsSync(join(entry, 'PG_VERSION'))) return false
    throw new OperatorError(`Cannot create the link ${entry}: ${messageOf(cause)}`, { cause })
  }
  await synchronize(dirname(entry))
  return true
}

/** A rename lasts through a power loss only once its directory is on the disk. initdb did so for the rest. */
async function synchronize(directory: string): Promise<void> {
  const handle = await open(directory)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** What would make the server refuse a cluster, said in our words. */
async function checkCluster(
  directory: string,
  identity: Identity | undefined,
  programs: Programs,
): Promise<void> {
  const version = readFileSync(join(directory, 'PG_VERSION'), 'utf8').trim()
  if (version !== programs.majorVersion) {
    throw new OperatorError(
      `The database in ${directory} is of PostgreSQL ${version}; this release brings ${programs.majorVersion}. ` +
        'Move it over with pg_dump of the release that made it, or name another data directory.',
    )
  }
  if (!identity) return
  if (statSync(directory).uid !== identity.uid) {
    // Root's own copy of a cluster, such as a restored backup.
    await run('chown', ['-R', `${identity.uid}:${identity.gid}`, directory], undefined)
  }
  if (!(await canEnter(directory, identity))) {
    throw new OperatorError(
      `User "${identity.name}", who runs the database, cannot enter ${directory}. Let others pass through the ` +
        'directories above it (chmod o+x), or move it and link to it.',
    )
  }
}
