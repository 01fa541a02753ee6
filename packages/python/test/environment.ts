import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** The Python package, built and installed beside all that its tests need. */
export interface PythonEnvironment {
  readonly version: string
  /** The interpreter, and what has to be in its environment. */
  readonly python: string
  readonly environment: Readonly<Record<string, string>>
  /** Runs a program of the environment in the folder of the package. */
  run(program: string, words: readonly string[], environment?: NodeJS.ProcessEnv): Outcome
}

interface Outcome {
  readonly ok: boolean
  readonly output: string
}

const packageDirectory = join(import.meta.dirname, '..')
const cache = join(packageDirectory, '../../node_modules/.cache/python')

/**
 * Every Python of this machine that the package supports, the newest last: each minor version once.
 */
export function pythons(): readonly { readonly version: string; readonly program: string }[] {
  const found = new Map<string, string>()
  for (const program of ['python3', 'python3.10', 'python3.11', 'python3.12', 'python3.13', 'python3.14']) {
    const { status, stdout } = spawnSync(
      program,
      ['-c', 'import ensurepip, sys, venv; print("%d.%d" % sys.version_info[:2])'],
      { encoding: 'utf8' },
    )
    const version = stdout?.trim() ?? ''
    const minor = Number(/^3\.(\d+)$/.exec(version)?.[1] ?? 0)
    if (status === 0 && minor >= 10 && !found.has(version)) found.set(version, program)
  }
  return [...found].map(([version, program]) => ({ version, program }))
}

/**
 * An environment of its own for the tests. The wheel is built and installed anew.
 * @returns why there is none, if this machine has no Python or does not reach PyPI.
 */
export function openPythonEnvironment(
  python: { readonly version: string; readonly program: string } | undefined = pythons()[0],
): PythonEnvironment | string {
  const found = openRequirements(join(packageDirectory, 'requirements-test.txt'), python)
  if (typeof found === 'string') return found
  const { directory } = found
  const program = (file: string): string => join(directory, 'bin', file)
  // In a directory of its own, because several test files do this at once.
  const installed = mkdtempSync(join(tmpdir(), 'mintmark-python-'))
  process.once('exit', () => rmSync(installed, { recursive: true, force: true }))
  const pip = [program('python'), '-m', 'pip', '--quiet', '--disable-pip-version-check'] as const
  must([...pip, 'wheel', '--no-deps', '--no-build-isolation', '--wheel-dir', installed, packageDirectory])
  const wheel = join(installed, readdirSync(installed)[0] ?? '')
  // What the wheel and its extras ask for is there already, or pip says that it finds it nowhere.
  const extras = '[fastapi,django,uvicorn,signatures]'
  must([...pip, 'install', '--dry-run', '--no-index', `${wheel}${extras}`])
  must([...pip, 'install', '--no-index', '--no-deps', '--target', join(installed, 'packages'), wheel])
  const ours = { PYTHONPATH: join(installed, 'packages') }
  return {
    version: found.version,
    python: program('python'),
    environment: ours,
    run: (file, words, environment = {}) => outcomeOf([program(file), ...words], { ...ours, ...environment }),
  }
}

/**
 * The packages of a list from PyPI. They are installed once, and kept under node_modules/.cache for as long as the list stays
 * the same.
 * @returns why there are none, if this machine has no Python or does not reach PyPI.
 */
export function openRequirements(
  file: string,
  python: { readonly version: string; readonly program: string } | undefined = pythons()[0],
): { readonly version: string; readonly directory: string; readonly python: string } | string {
  if (python === undefined) return 'there is no Python 3.10 or newer'
  const { version, program } = python
  const list = createHash('sha256').update(readFileSync(file)).digest('hex').slice(0, 16)
  const directory = join(cache, `${version}-${list}`)
  const problem = existsSync(directory) ? undefined : install(program, directory, file)
  return problem ?? { version, directory, python: join(directory, 'bin/python') }
}

/** Two runs at once would write over each other, so it is made elsewhere and moved to its place when it is whole. */
function install(python: string, directory: string, requirements: string): string | undefined {
  mkdirSync(cache, { recursive: true })
  const making = mkdtempSync(`${directory}.`)
  must([python, '-m', 'venv', '--copies', making])
  const words = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--only-binary', ':all:']
  const { ok, output } = outcomeOf([join(making, 'bin/python'), ...words, '-r', requirements])
  if (!ok) {
    rmSync(making, { recursive: true, force: true })
    if (/Connection|Network|resolution|timed out|ProxyError|SSLError/i.test(output))
      return 'PyPI is not reached from here'
    throw new Error(`The requirements of the tests cannot be installed:\n${output}`)
  }
  // The programs know where they were made. python -m needs none of them.
  try {
    renameSync(making, directory)
  } catch (error) {
    rmSync(making, { recursive: true, force: true })
    if (!existsSync(directory)) throw error
  }
  return undefined
}

function outcomeOf(
  [program = '', ...words]: readonly string[],
  environment: NodeJS.ProcessEnv = {},
): Outcome {
  const { status, stdout, stderr } = spawnSync(program, words, {
    cwd: packageDirectory,
    encoding: 'utf8',
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1', ...environment },
  })
  return { ok: status === 0, output: `${stdout}${stderr}` }
}

function must(words: readonly string[]): void {
  const { ok, output } = outcomeOf(words)
  if (!ok) throw new Error(`${words.join(' ')} failed:\n${output}`)
}
