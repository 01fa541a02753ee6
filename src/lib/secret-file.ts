import { closeSync, fstatSync, readFileSync, realpathSync, type Stats, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { openToRead, readOpen, settingFileBytesMax } from './bounded-file.ts'

/**
 * Reads a file with a secret, and refuses a file that others can read or change. The rule:
 *
 *   - It belongs to the user of this process or to root, and so do all directories above it. Anybody else could put
 *     another file in its place: another key, or another database.
 *   - Nobody but its owner can write it: not its group, not others. The same for the directories, except those in which
 *     nobody can replace what belongs to another (the sticky bit, as /tmp has it). A group may write to a directory: on
 *     many systems every user has a group of its own.
 *   - Others cannot read it. A mode that lets them is no harm below a directory that they cannot enter. A group may read
 *     it: that is how an administrator gives it to a service, and how Kubernetes does with `fsGroup`.
 *   - On a mount of its own that is read-only, all of this is up to whoever mounted it: Kubernetes and compose mount
 *     secrets like that, owned by whom they like and with mode 0644, into a container that has no other users. In
 *     /run/secrets, where container engines put them and nobody else does, root's files may be read by all.
 *   - What is no file, a pipe for instance, has nobody to read it twice.
 *
 * There are no such owners and modes on Windows, and nothing is checked there.
 */
export function readSecretFile(path: string, allowance: Allowance = {}): string {
  const file = openToRead(path)
  try {
    const problem = allowance.trust === true ? undefined : problemOf(path, fstatSync(file), allowance)
    if (problem !== undefined) throw new SecretFileProblem(problem)
    return readOpen(file, settingFileBytesMax).toString('utf8')
  } finally {
    closeSync(file)
  }
}

interface Allowance {
  /** Nothing is checked. */
  readonly trust?: boolean
  /** The program made the file itself, for its owner alone: a group may not read it either. */
  readonly ownerOnly?: boolean
  /** Another user whose files may be read: root works on what belongs to the owner of a directory. */
  readonly owner?: number | undefined
}

/** Its message completes the sentence "the file …". */
export class SecretFileProblem extends Error {
  override readonly name = 'SecretFileProblem'
}

type Permissions = Pick<Stats, 'mode' | 'uid'>

/** What decides about a file, so that the rule can be tested without other users and mounts. */
export interface SecretFileFacts {
  readonly file: Permissions
  /** All directories above it, those of the path as it was given and those of the file that it leads to. */
  readonly directories: readonly (Permissions & { readonly path: string })[]
  /** Whether it is on a read-only mount that is not the root of the file system. */
  readonly isOnReadOnlyMount: boolean
  /** Whether it is in the directory of container engines. */
  readonly isInRunSecrets: boolean
  readonly ownerOnly: boolean
  /** Users that are trusted beside root. */
  readonly owners: readonly number[]
}

const root = 0
/** What owners outside of a container's range of users are shown as. Nobody in the container is one of them. */
const unmapped = 65_534

export function secretFileProblem(facts: SecretFileFacts): string | undefined {
  const { file, directories, owners, ownerOnly } = facts
  if (facts.isOnReadOnlyMount) return undefined
  const isTrusted = (uid: number): boolean => uid === root || owners.includes(uid)
  const mode = `mode 0${(file.mode & 0o7777).toString(8)}`
  if (!isTrusted(file.uid))
    return `belongs to another user (${file.uid}), who can change it. Give it to the user of the service, or to root`
  if ((file.mode & 0o022) !== 0) return `can be changed by others (${mode}). Give it the mode 0600`
  if (ownerOnly && (file.mode & 0o077) !== 0) return `can be read by others (${mode}). Give it the mode 0600`
  for (const { path, uid, mode: ofDirectory } of directories) {
    if ((ofDirectory & 0o002) !== 0 && (ofDirectory & 0o1000) === 0)
      return `can be replaced by others, who can write to the directory ${path}. Take that right away`
    if (!isTrusted(uid) && uid !== unmapped)
      return `can be replaced by another user (${uid}), who owns the directory ${path}. Use a directory of root, or of the user of the service`
  }
  const isReachable = directories.every((directory) => (directory.mode & 0o001) !== 0)
  if ((file.mode & 0o004) !== 0 && isReachable && !facts.isInRunSecrets)
    return `can be read by every user of this machine (${mode}). Give it the mode 0600`
  return undefined
}

function problemOf(path: string, file: Stats, { owner, ownerOnly = false }: Allowance): string | undefined {
  const user = process.geteuid?.()
  if (user === undefined || !file.isFile()) return undefined
  const real = realpathSync(path)
  const paths = new Set([...above(resolve(path)), ...above(real)])
  return secretFileProblem({
    file,
    ownerOnly,
    directories: [...paths].map((each) => ({ path: each, ...permissions(statSync(each)) })),
    isOnReadOnlyMount: isOnReadOnlyMount(real),
    isInRunSecrets: real.startsWith('/run/secrets/') && file.uid === root,
    owners: owner === undefined ? [user] : [user, owner],
  })
}

function permissions({ mode, uid }: Stats): Permissions {
  return { mode, uid }
}

/** All directories above a path, up to the root. */
function above(path: string): string[] {
  const parent = dirname(path)
  return parent === path ? [] : [parent, ...above(parent)]
}

/** From the table of mounts of Linux. Elsewhere no mount is known to be read-only. */
function isOnReadOnlyMount(path: string): boolean {
  let text: string
  try {
    text = readFileSync('/proc/self/mountinfo', 'utf8')
  } catch {
    return false
  }
  return readOnlyMountOf(path, text)
}

/** @param table the content of /proc/self/mountinfo: the mount point is the fifth field of a line, its options the sixth. */
export function readOnlyMountOf(path: string, table: string): boolean {
  let longest = '/'
  let isReadOnly = false
  for (const line of table.split('\n')) {
    const [, , , , escaped = '', options = ''] = line.split(' ')
    const point = escaped.replace(/\\([0-7]{3})/g, (_all, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    )
    const isAbove = path === point || path.startsWith(point.endsWith('/') ? point : `${point}/`)
    // The later of two mounts on one point lies over the earlier one.
    if (!isAbove || point === '' || point.length < longest.length) continue
    longest = point
    isReadOnly = options.split(',').includes('ro')
  }
  return longest !== '/' && isReadOnly
}
