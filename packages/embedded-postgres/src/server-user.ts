import { existsSync, readFileSync } from 'node:fs'
import { lookupTimeoutMilliseconds, run } from './command.ts'
import { EmbeddedPostgresError } from './error.ts'

/**
 * The user that runs the server when we are root, because PostgreSQL refuses to run as root. When we are an
 * ordinary user, we run the server ourselves, and the code has `undefined` in place of this.
 */
export interface ServerUser {
  readonly name: string
  readonly uid: number
  readonly gid: number
}

export type Report = (message: string) => void

export function isRoot(): boolean {
  return process.getuid?.() === 0
}

/** Fails in one line where root may not become another user, as in a container without that capability. */
export async function assertUsable(user: ServerUser): Promise<void> {
  const { succeeded, output } = await run('/bin/sh', ['-c', ':'], user, lookupTimeoutMilliseconds)
  if (succeeded) return
  throw new EmbeddedPostgresError(
    'no_server_user',
    `PostgreSQL does not run as root, and root may not become user "${user.name}" here (${output}).`,
  )
}

/** Whether the server's user can enter a directory. We ask the kernel: modes alone do not tell. */
export async function canEnter(directory: string, user: ServerUser | undefined): Promise<boolean> {
  const script = ['-c', 'cd -- "$1"', 'sh', directory]
  return (await run('/bin/sh', script, user, lookupTimeoutMilliseconds)).succeeded
}

/**
 * The system user for a new database of root. Creates it when the machine has none. It is a user of this database alone:
 * the user "postgres" may run another PostgreSQL on this machine, whose administrators would then read and change this
 * database, and the other way round.
 */
export async function findServerUser(database: string, report: Report): Promise<ServerUser> {
  const name = serverUserName(database)
  const existing = readServerUser(name)
  if (existing) return existing
  const options = ['--system', '--no-create-home', '--shell', '/usr/sbin/nologin']
  const attempts: readonly (readonly [string, readonly string[]])[] = [
    ['useradd', [...options, '--user-group', name]],
    ['useradd', [...options, '--gid', name, name]], // The group exists already.
    ['adduser', ['-S', '-D', '-H', '-s', '/sbin/nologin', name]], // busybox
  ]
  const outputs: string[] = []
  for (const [program, programArguments] of attempts) {
    outputs.push((await run(program, programArguments, undefined, lookupTimeoutMilliseconds)).output)
    // Another process may have created the user at the same time. It only matters that the user exists.
    const created = readServerUser(name)
    if (!created) continue
    report(`Created the system user "${name}", because PostgreSQL does not run as root.`)
    return created
  }
  throw new EmbeddedPostgresError(
    'no_server_user',
    `PostgreSQL does not run as root, and creating a system user "${name}" for it failed ` +
      `(${outputs.join('; ')}).`,
  )
}

/** Linux takes 32 characters. */
function serverUserName(database: string): string {
  return `${database.slice(0, 23)}_postgres`
}

function readServerUser(name: string): ServerUser | undefined {
  const fields = readPasswordFile().find((line) => line[0] === name)
  return fields && { name, uid: Number(fields[2]), gid: Number(fields[3]) }
}

/** A database of an earlier release, or of another installation, stays with its user. Somebody should know. */
export function warnOfSharedUser(user: ServerUser, database: string, entry: string, report: Report): void {
  if (!['postgres', '_postgres'].includes(user.name)) return
  report(
    `The database in ${entry} belongs to the system user "${user.name}", which may run another PostgreSQL on this ` +
      `machine too. To give it a user of its own, stop all that use it and run: useradd --system --user-group ` +
      `${serverUserName(database)}; chown -R ${serverUserName(database)}: ${entry}/.`,
  )
}

/**
 * The user who owns an existing database. When an ordinary user created it, root runs it as that user, so
 * that the user can still use it afterwards.
 */
export function userOfOwner(uid: number, gid: number): ServerUser {
  const fields = readPasswordFile().find((line) => Number(line[2]) === uid)
  return { name: fields?.[0] ?? String(uid), uid, gid }
}

function readPasswordFile(): string[][] {
  if (!existsSync('/etc/passwd')) return []
  return readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
}
