// First, before anything else is loaded: they close doors.
import '../process/inspector.ts'
import '../process/inherited.ts'
import { exitCodes } from '../errors.ts'
import { fileProblem } from '../lib/bounded-file.ts'
import { withoutCredentials } from '../lib/claimed-text.ts'
import { didYouMean } from '../lib/suggest.ts'
import { explain } from '../process/explain.ts'
import { watchOutput } from '../process/standard-output.ts'
import { release } from '../release.ts'
import { allCommands, findCommand, groups } from './command-list.ts'
import { parseArguments } from './terminal/arguments.ts'
import { type Command, usageError } from './terminal/command.ts'
import { commandHelp, groupHelp } from './terminal/help.ts'
import { Interrupted } from './terminal/interrupted.ts'
import { flushed, note, OutputClosed, outputFailure, print } from './terminal/output.ts'
import { messageOf } from './terminal/sentences.ts'
import { atTerminal, processTerminal, type Terminal } from './terminal/terminal.ts'

/**
 * Runs a command at a terminal. Several may run at once in one process.
 * @returns the exit code.
 */
export function main(given: readonly string[], terminal: Terminal): Promise<number> {
  return atTerminal(terminal, async () => {
    const exitCode = await run(given)
    const failure = await outputFailure()
    if (failure === undefined || failure.code === 'EPIPE' || exitCode !== exitCodes.ok) return exitCode
    note(
      `mintmark: cannot write the output: ${fileProblem(failure)}. What was printed before may be incomplete.`,
    )
    return exitCodes.failed
  })
}

async function run(given: readonly string[]): Promise<number> {
  try {
    return await dispatch(given[0] === 'help' ? [...given.slice(1), '--help'] : given)
  } catch (error) {
    if (error instanceof OutputClosed) return exitCodes.ok
    if (error instanceof Interrupted) return error.exitCode
    note(`mintmark: ${cutShort(withoutCredentials(messageOf(error)))}`)
    return explain(error).exitCode
  }
}

/** One word of a message, for example an argument that a script filled with a whole file. */
const wordCharactersMax = 1_000

function cutShort(message: string): string {
  return message.replace(new RegExp(`\\S{${wordCharactersMax + 1},}`, 'g'), (word) => `${word.slice(0, 80)}…`)
}

async function dispatch(given: readonly string[]): Promise<number> {
  const words = wordsOf(given)
  const command = await findCommand(words)
  if (command !== undefined) {
    const { help, options, positionals } = parseArguments(command, given.slice(command.path.length))
    if (!help) return (await command.run(options, positionals)) ?? exitCodes.ok
    print(commandHelp(command))
    return exitCodes.ok
  }
  const [first] = given
  if (first === '--version' || first === '-V') {
    print(`${release}\n`)
    return exitCodes.ok
  }
  const commands = await allCommands()
  const path = knownPrefix(commands, words)
  const next = given[path.length]
  if (next === '--help' || next === '-h') {
    print(groupHelp(path, commands, groups))
    return exitCodes.ok
  }
  const program = ['bin/mintmark', ...path].join(' ')
  if (next === undefined) throw usageError(`say what to do.\n\n${groupHelp(path, commands, groups)}`)
  if (next.startsWith('-'))
    throw usageError(`${next}: options come after the command. "${program} --help" lists commands.`)
  const known = new Set(
    commands.filter((each) => startsWith(each.path, path)).map((each) => each.path[path.length] ?? ''),
  )
  throw usageError(
    `there is no command "${[...path, next].join(' ')}".${didYouMean(next, known)} "${program} --help" lists them.`,
  )
}

function wordsOf(given: readonly string[]): readonly string[] {
  const end = given.findIndex((argument) => argument.startsWith('-'))
  return end === -1 ? given : given.slice(0, end)
}

/** The first words, as far as some command begins with them. */
function knownPrefix(commands: readonly Command[], words: readonly string[]): readonly string[] {
  let length = 0
  while (length < words.length && commands.some(({ path }) => startsWith(path, words.slice(0, length + 1))))
    length += 1
  return words.slice(0, length)
}

function startsWith(path: readonly string[], prefix: readonly string[]): boolean {
  return prefix.every((word, index) => path[index] === word)
}

/** A command that a signal ended has the shell's exit code for it: this, and the number of the signal. */
const signalledExitCode = 128

/**
 * Runs a command as this process. After it the process ends by itself, when everything that was printed is out.
 *
 * A command that was interrupted is ended here: its statement may still wait in the database for a lock that
 * somebody else holds, and the connection would keep the process until then.
 */
export async function runCommand(given: readonly string[]): Promise<void> {
  watchOutput()
  process.exitCode = await main(given, processTerminal)
  if (process.exitCode <= signalledExitCode) return
  await Promise.all([flushed(process.stdout), flushed(process.stderr)])
  process.exit()
}

if (import.meta.main) await runCommand(process.argv.slice(2))
