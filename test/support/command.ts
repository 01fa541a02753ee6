import { Readable, Writable } from 'node:stream'
import { expect } from 'vitest'
import { main } from '../../src/cli/main.ts'
import type { Terminal } from '../../src/cli/terminal/terminal.ts'
import type { Outcome } from './process.ts'

// Node reads it from the environment of the process, which a command here does not have.
delete process.env['FORCE_COLOR']

/** Commands that serve until a signal ends them. They need a process of their own: startMintmark. */
const serving = ['start', 'serve']

/**
 * Runs one command of the command line in this process, with nothing in its environment but what is given. That costs
 * a tenth of what a process of its own costs. `test/drill/commands.test.ts` runs every command as a process.
 */
export function command(
  environment: Readonly<Record<string, string>>,
  ...commandArguments: readonly string[]
): Promise<Outcome> {
  return commandWithInput(environment, '', ...commandArguments)
}

/** @param input what the command finds on standard input. */
export function commandWithInput(
  environment: Readonly<Record<string, string>>,
  input: string,
  ...commandArguments: readonly string[]
): Promise<Outcome> {
  return runAt(environment, Readable.from(input === '' ? [] : [Buffer.from(input)]), commandArguments)
}

/** @param typed what a person at a terminal types. */
export function commandAtTerminal(
  environment: Readonly<Record<string, string>>,
  typed: string,
  ...commandArguments: readonly string[]
): Promise<Outcome> {
  const stdin = Object.assign(Readable.from([Buffer.from(typed)]), { isTTY: true })
  return runAt(environment, stdin, commandArguments)
}

async function runAt(
  environment: Readonly<Record<string, string>>,
  stdin: Terminal['stdin'],
  commandArguments: readonly string[],
): Promise<Outcome> {
  if (serving.includes(commandArguments[0] ?? '')) {
    throw new Error(`"${commandArguments[0]}" needs a process of its own: use commandProcess`)
  }
  const [stdout, stderr] = [collector(), collector()]
  const terminal: Terminal = {
    environment,
    stdin,
    stdout: stdout.stream,
    stderr: stderr.stream,
    // The signals of this process are the test runner's.
    onSignal: () => () => {},
  }
  const code = await main(commandArguments, terminal)
  return { code, stdout: stdout.text(), stderr: stderr.text() }
}

/** Like `run`, for commands that must succeed. @returns what they print. */
export function succeeding(
  run: (...given: readonly string[]) => Promise<Outcome>,
): (...given: readonly string[]) => Promise<string> {
  return async (...given) => {
    const outcome = await run(...given)
    expect(outcome, outcome.stderr).toMatchObject({ code: 0 })
    return outcome.stdout
  }
}

function collector(): { readonly stream: Writable; readonly text: () => string } {
  let text = ''
  const stream = new Writable({
    decodeStrings: false,
    write(chunk, _encoding, done) {
      text += String(chunk)
      done()
    },
  })
  return { stream, text: () => text }
}
