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

/** The system user for a new database of root. Creates it when the machine has none. */
export async function findServerUser(report: Report): Promise<ServerUser> {
  const existing = readServerUser()
  if (existing) return existing
  const options = ['--system', '--no-create-home', '--shell', '/usr/sbin/nologin']
  const attempts: readonly (readonly [string, readonly string[]])[] = [
    ['useradd', [...options, '--user-group', 'postgres']],
    ['useradd', [...options, '--gid', 'postgres', 'postgres']], // The group exists already.
    ['adduser', ['-S', '-D', '-H', '-s', '/sbin/nologin', 'postgres']], // busybox
  ]
  const outputs: string[] = []
  for (const [program, programArguments] of attempts) {
    outputs.push((await run(program, programArguments, undefined, lookupTimeoutMilliseconds)).output)
    // Another process may have created the user at the same time. It only matters that the user exists.
    const created = readServerUser()
    if (!created) continue
    report('Created the system user "postgres", because PostgreSQL does not run as root.')
    return created
  }
  throw new EmbeddedPostgresError(
    'no_server_user',
    'PostgreSQL does not run as root, and creating a system user "postgres" for it failed ' +
      `(${outputs.join('; ')}).`,
  )
}

function readServerUser(): ServerUser | undefined {
  for (const name of ['postgres', '_postgres']) {
    const fields = readPasswordFile().find((line) => line[0] === name)
    if (fields) return { name, uid: Number(fields[2]), gid: Number(fields[3]) }
  }
  return undefined
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
