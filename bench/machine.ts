import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, release, totalmem, type } from 'node:os'
import { join } from 'node:path'
import { hasWrk } from './closed-loop.ts'

const root = join(import.meta.dirname, '..')

/** Describes the machine and the versions of a measurement, line by line. */
export function describeRun(postgresVersion: string, startedAt: Date, durationSeconds: number): string[] {
  const minutes = Math.max(1, Math.round(durationSeconds / 60))
  return [
    `Commit ${describeCommit()}, ${startedAt.toISOString().slice(0, 16).replace('T', ' ')} UTC, ${minutes} minutes.`,
    `${cpus()[0]?.model ?? 'unknown processor'}, ${availableParallelism()} cores, ` +
      `${Math.round(totalmem() / 2 ** 30)} GiB of memory, ${type()} ${release()}. ` +
      `Load average before: ${loadAverageBefore}.`,
    `Node ${process.version}, PostgreSQL ${postgresVersion}, load from ${describeGenerator()}${describeOpenssl()}.`,
    'S is the CPU time of one raw ES256 signature, measured around each round.',
  ]
}

/**
 * The load average of the minute before the benchmark. It shows whether other programs were using the
 * machine.
 */
const loadAverageBefore = (loadavg()[0] ?? 0).toFixed(2)

function describeCommit(): string {
  const commit = firstLineOf('git', ['rev-parse', '--short=12', 'HEAD']) ?? 'unknown'
  const isChanged = (firstLineOf('git', ['status', '--porcelain']) ?? '') !== ''
  return isChanged ? `${commit} with changes` : commit
}

function describeGenerator(): string {
  if (hasWrk) return `wrk ${/wrk (\S+)/.exec(firstLineOf('wrk', ['--version']) ?? '')?.[1] ?? ''}`
  const manifest = readFileSync(join(root, 'node_modules/autocannon/package.json'), 'utf8')
  return `autocannon ${(JSON.parse(manifest) as { version: string }).version}`
}

function describeOpenssl(): string {
  const version = firstLineOf('openssl', ['version'])
  return version === undefined ? '' : `, ${version.split(' ').slice(0, 2).join(' ')}`
}

/** The first line that a program prints, on stdout or stderr. */
function firstLineOf(program: string, programArguments: readonly string[]): string | undefined {
  const { error, stdout, stderr } = spawnSync(program, [...programArguments], { cwd: root, encoding: 'utf8' })
  return error === undefined ? `${stdout}${stderr}`.split('\n')[0] : undefined
}
