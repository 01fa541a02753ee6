import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from './ports.ts'

/** The version of the PgBouncer of this machine; undefined if there is none. */
export function pgBouncerVersion(): string | undefined {
  const { status, stdout } = spawnSync('pgbouncer', ['--version'], { encoding: 'utf8' })
  return status === 0 ? /PgBouncer (\S+)/.exec(stdout)?.[1] : undefined
}

export interface PgBouncer {
  /** The database through the pooler. */
  readonly url: string
  close(): Promise<void>
}

/** A real PgBouncer before a database on a Unix socket. Few sessions, so that many clients share each of them. */
export async function openPgBouncer(
  databaseUrl: string,
  poolMode: 'session' | 'transaction' | 'statement',
  sessionsMax = 3,
): Promise<PgBouncer> {
  const { pathname, username, searchParams, port: serverPort } = new URL(databaseUrl)
  const socketDirectory = searchParams.get('host') ?? ''
  const name = pathname.slice(1)
  const directory = mkdtempSync(join(tmpdir(), 'mintmark-pgbouncer-'))
  chmodSync(directory, 0o755)
  const port = await freePort()
  writeFileSync(
    join(directory, 'pgbouncer.ini'),
    `[databases]
${name} = host=${socketDirectory} port=${serverPort || searchParams.get('port') || 5432} dbname=${name} user=${decodeURIComponent(username)}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = ${poolMode}
default_pool_size = ${sessionsMax}
max_client_conn = 200
`,
  )
  // It refuses to run as root, and must reach the socket of the server.
  const { uid, gid } = statSync(socketDirectory)
  const child = spawn('pgbouncer', [join(directory, 'pgbouncer.ini')], {
    stdio: ['ignore', 'ignore', 'pipe'],
    ...(process.getuid?.() === 0 ? { uid, gid } : {}),
  })
  let output = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  while (!(await answers(port))) {
    if (child.exitCode !== null) throw new Error(`pgbouncer ended:\n${output}`)
    await sleep(20)
  }
  return {
    url: `postgresql://mintmark@127.0.0.1:${port}/${name}`,
    async close() {
      await end(child)
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}

async function end(child: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGKILL')
  if (child.exitCode === null) await ended
}
