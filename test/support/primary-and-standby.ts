import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { inject } from 'vitest'
import { migrate } from '../../src/database/migrate.ts'
import { type FreshDatabase, openPool } from './database.ts'
import { freePort } from './ports.ts'

export interface Server extends FreshDatabase {
  readonly port: number
}

/** A primary and a standby that follows it, both migrated. */
export interface PrimaryAndStandby {
  readonly primary: Server
  readonly standby: Server
  /** Makes the standby a primary. The old one stays as it is, and answers. */
  promote(): Promise<void>
  /** Cuts the standby off: what the primary commits from now on does not reach it. */
  disconnect(): Promise<void>
  /** Makes the standby a primary although it does not have everything. */
  promoteWithLoss(): Promise<void>
  close(): Promise<void>
}

export async function openPrimaryAndStandby(): Promise<PrimaryAndStandby> {
  // The server of all tests was started with the programs that can run here, by a user who may run them.
  const running = new URL(inject('postgresUrl')).searchParams.get('host') ?? ''
  const programs = dirname(readFileSync(join(running, 'postmaster.opts'), 'utf8').split(' ')[0] ?? '')
  const { uid, gid } = statSync(running)
  const user = process.getuid?.() === 0 ? { uid, gid } : {}
  const directory = mkdtempSync(join(tmpdir(), 'mintmark-standby-'))
  chmodSync(directory, 0o777)
  const run = (command: string, ...commandArguments: string[]): void => {
    const { status, stderr } = spawnSync(command, commandArguments, { ...user, encoding: 'utf8', cwd: '/' })
    if (status !== 0) throw new Error(`${command}: ${stderr}`)
  }
  const first = join(directory, 'first')
  const second = join(directory, 'second')
  run(join(programs, 'initdb'), '-D', first, '-U', 'mintmark', '-A', 'trust', '-E', 'UTF8', '--no-sync')
  writeFileSync(
    join(first, 'pg_hba.conf'),
    'host all rotated 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\nhost replication all 127.0.0.1/32 trust\n',
  )
  const { TEST_POSTGRES_MAJOR: major = '18' } = process.env
  const ioMethod = Number(major) < 18 ? '' : 'io_method = sync'
  const settings = `fsync = off\nshared_buffers = 32MB\n${ioMethod}\nwal_keep_size = 256MB\nhot_standby_feedback = on
listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\n`
  appendFileSync(join(first, 'postgresql.conf'), settings)
  run('cp', '-a', first, second)
  const ports = [await freePort(), await freePort()] as const
  run('touch', join(second, 'standby.signal'))
  appendFileSync(
    join(second, 'postgresql.conf'),
    `primary_conninfo = 'host=127.0.0.1 port=${ports[0]} user=mintmark'\n`,
  )
  const children = [first, second].map((data, index) =>
    spawn(join(programs, 'postgres'), ['-D', data, '-p', String(ports[index])], {
      ...user,
      cwd: '/',
      stdio: 'ignore',
    }),
  )
  const primary = server(ports[0])
  const standby = server(ports[1])
  await isReady(primary, children[0] as ChildProcess)
  await migrate(primary.url)
  await isReady(standby, children[1] as ChildProcess)
  return {
    primary,
    standby,
    async promote() {
      const [end] = await primary.query<{ lsn: string }>('SELECT pg_current_wal_lsn()::text AS lsn')
      const follows = 'SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn AS follows'
      while (!(await standby.query<{ follows: boolean }>(follows, [end?.lsn]))[0]?.follows) await sleep(20)
      await standby.query('SELECT pg_promote()')
    },
    async disconnect() {
      await standby.query(`ALTER SYSTEM SET primary_conninfo = ''`)
      await standby.query('SELECT pg_reload_conf()')
      const followers = 'SELECT 1 FROM pg_stat_replication'
      while ((await primary.query(followers)).length > 0) await sleep(20)
    },
    async promoteWithLoss() {
      await standby.query('SELECT pg_promote()')
    },
    async close() {
      await Promise.all([primary.drop(), standby.drop()])
      for (const child of children) {
        const ended = new Promise((resolve) => child.once('exit', resolve))
        child.kill('SIGQUIT')
        if (child.exitCode === null) await ended
      }
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

function server(port: number): Server {
  const url = `postgresql://mintmark@127.0.0.1:${port}/postgres`
  const pool = openPool({ connectionString: url, max: 1 })
  return {
    port,
    url,
    query: async (text, values) => (await pool.query(text, values)).rows,
    drop: () => pool.end(),
  }
}

async function isReady(database: FreshDatabase, child: ChildProcess): Promise<void> {
  const query = 'SELECT 1 FROM registry_version'
  const asks = () => database.query(query).catch((error: unknown) => (error as { code: string }).code)
  // The table is there once the migration is; before it the server says so.
  for (let answer = await asks(); !Array.isArray(answer) && answer !== '42P01'; answer = await asks()) {
    if (child.exitCode !== null) throw new Error('a server ended')
    await sleep(50)
  }
}

/** What a name or a load balancer is to connections: the new ones go elsewhere, and those that are open stay. */
export async function openSwitch(port: number) {
  const target = { port }
  const sockets = new Set<Socket>()
  const listener = createServer((socket) => {
    const server = connect(target.port, '127.0.0.1')
    for (const [one, other] of [
      [socket, server],
      [server, socket],
    ] as const) {
      sockets.add(one)
      one.on('error', () => other.destroy())
      one.on('close', () => sockets.delete(one))
      one.pipe(other)
    }
  })
  const own = await freePort()
  await new Promise<void>((resolve) => listener.listen(own, '127.0.0.1', resolve))
  return {
    port: own,
    target,
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => listener.close(resolve))
    },
  }
}
