import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { supervise } from './supervise.js'

/**
 * Runs `start`, and starts it again whenever one of its source files changes.
 *
 * A second process keeps the embedded database open meanwhile: the last one that leaves stops the database, and
 * starting it again would cost more than starting the service.
 *
 * @param {string} node
 * @param {readonly string[]} nodeArguments for every process of ours
 * @param {readonly string[]} startArguments
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<{ exitCode: number }>}
 */
export async function develop(node, nodeArguments, startArguments, env) {
  const program = join(import.meta.dirname, '../src/cli/main.ts')
  const keeper = await keepDatabase(node, nodeArguments, env)
  // It has said why.
  if (keeper === undefined) return { exitCode: 1 }
  try {
    const watching = ['--watch', '--watch-preserve-output', ...nodeArguments]
    return await supervise(node, [...watching, program, 'start', ...startArguments], {
      stdio: 'inherit',
      env,
    })
  } finally {
    const ended = once(keeper, 'exit')
    // Its sign to leave. It would see the same if we were killed.
    keeper.disconnect()
    await ended
  }
}

/**
 * Starts the process that keeps the database open, and waits until it is. In a session of its own, so that Ctrl-C
 * does not reach it: the service needs the database until its own end.
 *
 * @param {string} node
 * @param {readonly string[]} nodeArguments
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<import('node:child_process').ChildProcess | undefined>} undefined if it failed, and said why.
 */
async function keepDatabase(node, nodeArguments, env) {
  const keeper = spawn(node, [...nodeArguments, join(import.meta.dirname, 'keep-database.js')], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    detached: true,
    env,
  })
  const isOpen = await Promise.race([
    once(keeper, 'message').then(() => true),
    once(keeper, 'exit').then(() => false),
  ])
  return isOpen ? keeper : undefined
}
