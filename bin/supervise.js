import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { constants } from 'node:os'
import process from 'node:process'

/** Milliseconds in which the same wish arrives twice: from the terminal, and passed on by npm. */
const echoMilliseconds = 500

/** Milliseconds between two looks at whether npm is still there. */
const parentCheckMilliseconds = 500

/**
 * Runs a program and passes on the signals that ask us to end, each once.
 *
 * The child gets a session of its own. In ours, Ctrl-C would reach it twice, from the terminal and from us,
 * and a second signal means "at once" to a service that is closing in order. It can still use the terminal.
 *
 * @param {string} program
 * @param {readonly string[]} programArguments
 * @param {import('node:child_process').SpawnOptions} options
 * @returns {Promise<{ exitCode: number, interrupted: boolean, output: string }>} `output` is what came through
 *   pipes, if there are any.
 */
export function supervise(program, programArguments, options) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, programArguments, { ...options, detached: true })
    let interrupted = false
    let passedOnAt = Number.NEGATIVE_INFINITY
    /** @param {NodeJS.Signals} signal */
    const passOn = (signal) => {
      interrupted = true
      if (performance.now() - passedOnAt < echoMilliseconds) return
      passedOnAt = performance.now()
      child.kill(signal)
    }
    const stopListening = listenForTheEnd(passOn)
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (chunk) => {
        output += chunk
      })
    }
    child.once('error', (error) => {
      stopListening()
      reject(error)
    })
    child.once('close', (code, signal) => {
      stopListening()
      resolve({
        exitCode: signal === null ? (code ?? 1) : 128 + constants.signals[signal],
        interrupted,
        output,
      })
    })
  })
}

/**
 * Calls back for every wish to end, until the returned function is called.
 *
 * @param {(signal: NodeJS.Signals) => void} onEnd
 */
function listenForTheEnd(onEnd) {
  /** @type {NodeJS.Signals[]} */
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP']
  for (const signal of signals) process.on(signal, onEnd)
  const starters = findStarters()
  const parentCheck = setInterval(() => {
    if (findStarters() === starters) return
    clearInterval(parentCheck)
    onEnd('SIGTERM')
  }, parentCheckMilliseconds)
  return () => {
    clearInterval(parentCheck)
    for (const signal of signals) process.off(signal, onEnd)
  }
}

/**
 * Who runs us for npm: npm itself, or the shell that it put in between and that outlives it. A killed npm tells
 * nobody. Without npm there is nobody to watch: who starts us may well go and leave us running.
 */
function findStarters() {
  if (process.env['npm_lifecycle_event'] === undefined) return ''
  try {
    const status = readFileSync(`/proc/${process.ppid}/stat`, 'utf8')
    const [, name = '', grandparent] = status.match(/\((.*)\) . (\d+)/) ?? []
    return name.endsWith('sh') ? `${process.ppid} ${grandparent}` : `${process.ppid}`
  } catch {
    return `${process.ppid}` // Not Linux; the shell there gives way to the command.
  }
}
