import { createHash } from 'node:crypto'
import {
  existsSync,
  lstatSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { supervise } from './supervise.js'

/** A failure that one line explains. The line is empty when somebody ended us, who knows why. */
export class LauncherError extends Error {
  exitCode = 1
}

const root = join(import.meta.dirname, '..')
const modules = join(root, 'node_modules')
const installedStamp = join(modules, '.mintmark-installed')
const generatedStamp = join(root, 'src/generated/.mintmark-generated')
const lock = join(root, '.mintmark-preparing')

/** Milliseconds after which a lock is not believed any more; what it protects takes a minute. */
const lockAgeMillisecondsMax = 15 * 60_000

/** Everything that a fresh clone lacks. When nothing is to do this costs a few milliseconds and says nothing. */
export async function prepareCheckout() {
  if (!isInstalled()) await withLock(async () => isInstalled() || (await install()))
  await prepareClient(process.stdout)
}

/** For commands that expect a prepared checkout: they do not install, and keep stdout for their answer. */
export async function requireCheckout() {
  if (!existsSync(modules))
    throw new LauncherError('Dependencies are not installed. Run "npm start" or "npm ci".')
  await prepareClient(process.stderr)
}

/** The Node that everything runs with: the pinned one, or the running one if it is new enough. */
export function findNode() {
  const name = `node-${process.platform}-${process.arch}`
  const pinned = join(modules, name, 'bin/node')
  // Linked against glibc: without its loader (Alpine, NixOS) the file is there and cannot run.
  /** @type {Partial<Record<string, string>>} */
  const loaders = { x64: '/lib64/ld-linux-x86-64.so.2', arm64: '/lib/ld-linux-aarch64.so.1' }
  if (existsSync(pinned) && existsSync(loaders[process.arch] ?? '')) return pinned
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  if (major > 24 || (major === 24 && minor >= 12)) return process.execPath
  throw new LauncherError(
    `Mintmark needs Node 24.12 or newer. This is Node ${process.versions.node}, and the one that npm installs ` +
      `(node_modules/${name}) is missing: run "npm ci --include=optional", or install Node 24.`,
  )
}

/** @param {string | Buffer} content */
const hash = (content) => createHash('sha256').update(content).digest('hex')
/** @param {string} path */
const readOrEmpty = (path) => (existsSync(path) ? readFileSync(path, 'utf8') : '')
const lockfileHash = () => hash(readFileSync(join(root, 'package-lock.json')))

function isInstalled() {
  const wanted = lockfileHash()
  if (readOrEmpty(installedStamp) === wanted) return true
  if (!isInstalledByHand()) return false
  writeFileSync(installedStamp, wanted)
  return true
}

/** Whether somebody's own `npm ci` already brought all that the lock file asks for on this platform. */
function isInstalledByHand() {
  const record = join(modules, '.package-lock.json')
  if (!existsSync(record)) return false
  const { packages: installed } = JSON.parse(readFileSync(record, 'utf8'))
  const { packages: wanted } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'))
  /**
   * @param {string | readonly string[] | undefined} list
   * @param {string} value
   */
  const matches = (list, value) => [list ?? []].flat().includes(value)
  return Object.entries(wanted).every(([path, { version, optional, os, cpu, libc }]) => {
    const needed = !optional || (matches(os, process.platform) && matches(cpu, process.arch) && !libc)
    return path === '' || !needed || installed[path]?.version === version
  })
}

async function install() {
  // The stamp goes first: what an interrupted installation leaves must not pass for a whole one.
  rmSync(installedStamp, { force: true })
  const { npm_execpath: npmPath = '', npm_node_execpath: npmNode } = process.env
  // Any other name is another package manager's, or npx's.
  /** @type {[string, ...string[]]} */
  const npm = basename(npmPath) === 'npm-cli.js' ? [npmNode ?? process.execPath, npmPath] : ['npm']
  // Asked for by name, because NODE_ENV=production and npm's "omit" setting leave them out.
  const parts = ['--include=dev', '--include=optional']
  const quiet = ['--no-audit', '--no-fund', '--loglevel=error']
  await step('dependencies installed', process.stdout, [...npm, 'ci', ...parts, ...quiet], process.env)
  writeFileSync(installedStamp, lockfileHash())
}

/** @param {NodeJS.WriteStream} stream */
async function prepareClient(stream) {
  const wanted = clientHash()
  const isGenerated = () => readOrEmpty(generatedStamp) === wanted
  if (!isGenerated()) await withLock(async () => isGenerated() || (await generate(wanted, stream)))
}

function clientHash() {
  const version = JSON.parse(readOrEmpty(join(modules, '@prisma/client/package.json')) || '{}').version
  return hash(`${version}\n${readFileSync(join(root, 'prisma/schema.prisma'), 'utf8')}`)
}

/**
 * @param {string} wanted
 * @param {NodeJS.WriteStream} stream
 */
async function generate(wanted, stream) {
  const prisma = join(modules, 'prisma/build/index.js')
  if (!existsSync(prisma)) {
    throw new LauncherError(
      'The database client is not generated, and Prisma is not installed. Run "npm ci --include=dev".',
    )
  }
  const node = findNode()
  rmSync(generatedStamp, { force: true })
  await step('database client generated', stream, [node, prisma, 'generate'], {
    ...process.env,
    // Generating needs no engine, but without the path of one it downloads one. Any executable will do.
    PRISMA_SCHEMA_ENGINE_BINARY: node,
    // Nothing of this goes over the network.
    CHECKPOINT_DISABLE: '1',
    PRISMA_HIDE_UPDATE_MESSAGE: '1',
  })
  writeFileSync(generatedStamp, wanted)
}

/**
 * Runs one command and says in one line what it did and how long it took; what it said only when it fails.
 *
 * @param {string} name
 * @param {NodeJS.WriteStream} stream
 * @param {readonly [string, ...string[]]} command
 * @param {NodeJS.ProcessEnv} env
 */
async function step(name, stream, [program, ...programArguments], env) {
  const startedAt = performance.now()
  if (stream.isTTY) stream.write(`  … ${name}`)
  /** @type {import('node:child_process').SpawnOptions} */
  const options = { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] }
  const { exitCode, interrupted, output } = await supervise(program, programArguments, options).catch(
    (error) => {
      const missing = error.code === 'ENOENT' ? `${program} was not found` : error.message
      return { exitCode: 1, interrupted: false, output: missing }
    },
  )
  if (stream.isTTY) stream.write('\r\x1b[K')
  if (exitCode === 0 && !interrupted) {
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
    stream.write(`  ✓ ${name.padEnd(46)}${seconds.padStart(6)} s\n`)
    return
  }
  const command = [
    basename(program),
    ...programArguments.map((argument) => argument.replace(`${root}/`, '')),
  ].join(' ')
  const reason = `"${command}" failed with exit code ${exitCode}; it said why above. Run it again once that is resolved.`
  if (!interrupted) process.stderr.write(`${output.trim().split('\n').slice(0, 20).join('\n')}\n`)
  throw Object.assign(new LauncherError(interrupted ? '' : reason), {
    exitCode: interrupted ? exitCode || 1 : 1,
  })
}

/**
 * One process at a time changes the checkout. The lock is a symbolic link to the holder's process id: unlike
 * a directory with a file in it, it comes into being with its content.
 *
 * @template Result
 * @param {() => Promise<Result>} work
 */
async function withLock(work) {
  for (let waits = 0; !takeLock(); waits += 1) {
    const holder = readLock()
    if (holder === undefined) continue
    if (isStale(holder)) breakLock(holder)
    else if (waits === 0)
      process.stderr.write(`  … waiting for process ${holder}, which prepares this checkout\n`)
    await sleep(100)
  }
  try {
    return await work()
  } finally {
    rmSync(lock, { force: true })
  }
}

function takeLock() {
  try {
    symlinkSync(String(process.pid), lock)
    return true
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    throw new LauncherError(`Cannot prepare ${root}: ${error}. Run "npm start" once as the user who owns it.`)
  }
}

/** @param {unknown} error */
const codeOf = (error) => (error instanceof Error && 'code' in error ? error.code : undefined)

function readLock() {
  try {
    return readlinkSync(lock)
  } catch {
    return undefined // Released in this moment.
  }
}

/**
 * After a container's restart a number may belong to any process, so on Linux we look at what it runs.
 *
 * @param {string} holder
 */
function isStale(holder) {
  const age = Date.now() - (lstatSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? 0)
  if (holder === String(process.pid) || age > lockAgeMillisecondsMax) return true
  if (process.platform === 'linux') return !readOrEmpty(`/proc/${holder}/cmdline`).includes('mintmark')
  try {
    process.kill(Number(holder), 0)
    return false
  } catch (error) {
    return codeOf(error) === 'ESRCH'
  }
}

/**
 * Takes the lock aside before removing it, and puts it back if another process has just taken it.
 *
 * @param {string} holder
 */
function breakLock(holder) {
  const aside = `${lock}.${process.pid}`
  try {
    renameSync(lock, aside)
    const found = readlinkSync(aside)
    rmSync(aside)
    if (found !== holder) symlinkSync(found, lock)
  } catch {
    // Another process broke it first.
  }
}
