// Runs Mintmark, or its tests, with the Node that this release is made for, whatever Node starts this file
// (20.20 or newer). `start`, `dev`, `test` and `prepare` first install and generate what a fresh clone lacks.
import { existsSync } from 'node:fs'
import { url as inspectorUrl } from 'node:inspector'
import { delimiter, dirname, join } from 'node:path'
import process from 'node:process'
import { develop } from './develop.js'
import { environmentFileProblem } from './environment-file.js'
import { findNode, LauncherError, prepareCheckout, requireCheckout } from './prepare.js'
import { supervise } from './supervise.js'

const root = join(import.meta.dirname, '..')

// Node finds WebAssembly imports and type stripping experimental enough to say so at every start.
const quiet = '--disable-warning=ExperimentalWarning'

// On SIGUSR1 Node opens an inspector, with which anybody on the machine reads what a process has in memory. Below npm
// this process stays, and has the environment of the service.
process.on('SIGUSR1', () => {})
// Without a listener, SIGUSR2 would end the process. The service logs that it ignores both signals.
process.on('SIGUSR2', () => {})
const noInspector = '--disable-sigusr1'

// How memory grows. Left alone, V8 takes up to 100 MB more under load on a large machine and gains nothing here: young
// objects get megabytes that they do not need, and old ones wait for a collection that may be minutes away. The first is
// megabytes of a half of the space for young objects, the second how much more than what is in use there may be, in
// percent. The Dockerfile and the benchmark say the same.
const memory = ['--max-semi-space-size=12', '--heap-growing-percent=50']

/**
 * @param {readonly string[]} given
 * @returns {Promise<{ exitCode: number }>}
 */
async function launch([command, ...rest]) {
  requireDirectory()
  // npm takes options for itself that stand before "--", and this one would be missed: the file would be applied.
  if (process.env['npm_lifecycle_event'] === 'seed' && process.env['npm_config_dry_run'] === 'true') {
    throw new LauncherError(
      'npm kept --dry-run for itself. Write it behind "--": npm run seed -- FILE --dry-run',
    )
  }
  if (command === 'serve' && inspectorUrl() !== undefined)
    throw new LauncherError(
      "Node's inspector is open, and shows who connects to it every secret. Remove --inspect from NODE_OPTIONS.",
    )
  const preparing = command !== undefined && ['start', 'dev', 'test', 'prepare'].includes(command)
  await (preparing ? prepareCheckout() : requireCheckout())
  if (command === 'prepare') return { exitCode: 0 }
  const node = findNode()
  if (command === 'test') return runTests(node, rest)
  if (command === 'dev') return develop(node, nodeArguments(), rest, programEnvironment())
  return runProgram(node, command === undefined ? [] : [command, ...rest])
}

/** Paths begin where this command was started, also those that settings and defaults have. */
function requireDirectory() {
  try {
    process.cwd()
  } catch {
    throw new LauncherError(
      'the directory in which this runs was removed or cannot be read. Go to another one (cd).',
    )
  }
}

/** With what every process of the program runs. */
function nodeArguments() {
  const file = join(root, '.env')
  const problem = existsSync(file) ? environmentFileProblem(file) : undefined
  if (problem !== undefined) throw new LauncherError(problem)
  // Not --env-file-if-exists, which complains when it does not.
  return [...(existsSync(file) ? [`--env-file=${file}`] : []), quiet, noInspector, ...memory]
}

/** Compiled code is kept between runs: a third of the time that a command takes. */
function programEnvironment() {
  return { NODE_COMPILE_CACHE: join(root, 'node_modules/.cache/node'), ...process.env }
}

/**
 * Runs the program in the place of this process where Node can (from 22.15 on): same process id, terminal and signals,
 * and 40 MB less. Below npm this process stays, because it has to notice when npm is killed.
 *
 * @param {string} node
 * @param {readonly string[]} programArguments
 */
function runProgram(node, programArguments) {
  const nodeAndProgram = [...nodeArguments(), join(root, 'src/cli/main.ts'), ...programArguments]
  if (process.env['npm_lifecycle_event'] === undefined && process.platform !== 'win32') {
    process.execve?.(node, [node, ...nodeAndProgram], programEnvironment())
  }
  return supervise(node, nodeAndProgram, {
    // Through the channel the service notices when we are killed, and does not stay behind on its port.
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    env: programEnvironment(),
  })
}

/**
 * @param {string} node
 * @param {readonly string[]} testArguments
 */
function runTests(node, testArguments) {
  const vitest = join(root, 'node_modules/vitest/vitest.mjs')
  if (!existsSync(vitest)) throw new LauncherError('Vitest is not installed. Run "npm ci --include=dev".')
  // Lines that come from the cache of compiled code are not counted as covered.
  const isCounted = testArguments.some((one) => one.startsWith('--coverage'))
  const env = {
    ...(isCounted ? process.env : programEnvironment()),
    PATH: `${dirname(node)}${delimiter}${process.env['PATH'] ?? ''}`,
  }
  return supervise(node, [quiet, vitest, 'run', ...testArguments], { stdio: 'inherit', cwd: root, env })
}

try {
  const { exitCode } = await launch(process.argv.slice(2))
  process.exit(exitCode)
} catch (error) {
  const isOurs = error instanceof LauncherError
  const isOutOfFiles = error instanceof Error && 'code' in error && /^E[MN]FILE$/.test(String(error.code))
  const message = isOutOfFiles
    ? 'too many files are open. Raise the limit of open files (ulimit -n) to 1024 or more.'
    : error instanceof Error
      ? error.message
      : String(error)
  if (message !== '') process.stderr.write(`mintmark: ${message}\n`)
  process.exit(isOurs ? error.exitCode : 1)
}
