import type { Plan } from './world.ts'

/** The options of `npm run bench --`. */
export interface Options {
  readonly action: 'run' | 'list' | 'help'
  readonly plan: Plan
  /** The names of the chosen scenarios; empty for all. */
  readonly only: readonly string[]
  readonly write: boolean
}

/** A mistake on the command line. The message has one line. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

const ordinary: Plan = {
  rounds: 5,
  fewRounds: 3,
  roundSeconds: 3,
  warmUpSeconds: 3,
  connections: 64,
  manyClients: 100_000,
  coldClients: 10_000,
  guesses: 10_000,
  starts: 9,
}

/** Only shows that everything works. The rounds are too short for useful numbers. */
const quick: Plan = {
  ...ordinary,
  rounds: 1,
  fewRounds: 1,
  roundSeconds: 1,
  warmUpSeconds: 1,
  manyClients: 20_000,
  coldClients: 50,
  guesses: 200,
  starts: 2,
}

const full: Plan = {
  ...ordinary,
  rounds: 9,
  fewRounds: 5,
  roundSeconds: 6,
  warmUpSeconds: 8,
  starts: 15,
}

/** @param names the names of all scenarios. @throws UsageError */
export function readOptions(given: readonly string[], names: readonly string[]): Options {
  let options: Options = { action: 'run', plan: ordinary, only: [], write: false }
  const rest = [...given]
  for (let argument = rest.shift(); argument !== undefined; argument = rest.shift()) {
    if (argument === '--help' || argument === '-h') options = { ...options, action: 'help' }
    else if (argument === '--list') options = { ...options, action: 'list' }
    else if (argument === '--quick') options = { ...options, plan: quick }
    else if (argument === '--full') options = { ...options, plan: full }
    else if (argument === '--write') options = { ...options, write: true }
    else if (argument === '--only') options = { ...options, only: readNames(rest.shift(), names) }
    else if (argument.startsWith('--only='))
      options = { ...options, only: readNames(argument.slice(7), names) }
    else throw new UsageError(`there is no "${argument}"; --help says what there is`)
  }
  if (given.includes('--quick') && given.includes('--full')) {
    throw new UsageError('--quick and --full do not go together')
  }
  if (options.write && options.plan === quick) {
    throw new UsageError('--write takes a run that is not --quick')
  }
  return options
}

function readNames(text: string | undefined, names: readonly string[]): string[] {
  if (text === undefined || text === '') throw new UsageError('--only needs names; --list shows them')
  const chosen = text.split(',')
  const wrong = chosen.find((name) => !names.includes(name))
  if (wrong !== undefined) throw new UsageError(`there is no scenario "${wrong}"; --list shows them`)
  return chosen
}

export const help = `Usage: npm run bench -- [options]

Measures the service beside its peers and against its targets, in a quarter of an hour. It brings its own
PostgreSQL, sends all load to loopback addresses, and leaves nothing behind.

  --only NAMES   only these scenarios, separated by commas
  --quick        one short round of everything, a minute or two: shows that it works, and no more
  --full         more and longer rounds: about an hour
  --write        writes the result into bench/README.md; with --only, the sections of these scenarios
  --list         names the scenarios and what each answers
  --help         this

Ends with 1 when a request failed that should not have, whatever the targets say, and with 2 when an option is
wrong. A target that is missed does not change the exit code: the machine may be busy.
`
