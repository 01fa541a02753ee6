import { OperatorError } from '../../errors.ts'

/** Exit codes, the same for every command. `mintmark --help` lists them. */
export const exitCodes = { ok: 0, failed: 1, usage: 2, notFound: 3 } as const

export interface OptionDefinition {
  readonly type: 'boolean' | 'string'
  /** What stands for the value in the help: `FILE`. */
  readonly value?: string
  readonly multiple?: true
  /** A phrase, beginning in lower case, without a full stop. */
  readonly description: string
}

export interface PositionalDefinition {
  /** `CLIENT`. */
  readonly name: string
  readonly description: string
}

export type OptionDefinitions = Readonly<Record<string, OptionDefinition>>

/** Absent switches are false, absent lists empty, other absent options undefined. */
export type OptionValues<Options extends OptionDefinitions> = {
  readonly [Name in keyof Options]: Options[Name] extends { type: 'boolean' }
    ? boolean
    : Options[Name] extends { multiple: true }
      ? readonly string[]
      : string | undefined
}

export interface CommandDefinition<Options extends OptionDefinitions> {
  /** The words that call it: `['clients', 'show']`. */
  readonly path: readonly string[]
  /** A phrase for lists: "show one client". */
  readonly summary: string
  /** What one should know before using it. Lines of at most 100 columns. */
  readonly details?: string
  readonly positionals?: readonly PositionalDefinition[]
  readonly options: Options
  /** Complete commands that work, and what each does. */
  readonly examples: readonly (readonly [command: string, does: string])[]
  run(options: OptionValues<Options>, positionals: readonly string[]): Promise<void>
}

/** A command as the table holds it: what its options are only matters inside. */
export type Command = Omit<CommandDefinition<OptionDefinitions>, 'run'> & {
  run(options: OptionValues<OptionDefinitions>, positionals: readonly string[]): Promise<void>
}

/** Gives `run` the types of its own options. */
export function defineCommand<const Options extends OptionDefinitions>(
  definition: CommandDefinition<Options>,
): Command {
  return definition as unknown as Command
}

export const jsonOption = {
  json: { type: 'boolean', description: 'print JSON instead of a table' },
} as const satisfies OptionDefinitions

/** Something wrong with how a command was called, as opposed to what it did. */
export function usageError(message: string): OperatorError {
  return new OperatorError(message, { exitCode: exitCodes.usage })
}
