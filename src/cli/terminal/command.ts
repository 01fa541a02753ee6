import { exitCodes, OperatorError } from '../../errors.ts'

export interface OptionDefinition {
  readonly type: 'boolean' | 'string'
  /** The name of the value in the help: `FILE`. */
  readonly value?: string
  readonly multiple?: true
  /** A phrase, beginning in lower case, without a full stop. */
  readonly description: string
}

export interface PositionalDefinition {
  /** `CLIENT`. */
  readonly name: string
  readonly description: string
  /** It may be left out. Only the last ones may. */
  readonly optional?: true
}

export type OptionDefinitions = Readonly<Record<string, OptionDefinition>>

/** An option that is not given is false if it takes no value, an empty list if it may be repeated, else undefined. */
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
  /** What to know before using it. Lines of at most 100 columns. */
  readonly details?: string
  readonly positionals?: readonly PositionalDefinition[]
  readonly options: Options
  /** Complete commands that work as they stand, and what each does. */
  readonly examples: readonly (readonly [command: string, does: string])[]
  /** @returns the exit code, if it tells something and the command has not failed. */
  run(options: OptionValues<Options>, positionals: readonly string[]): Promise<void> | Promise<number>
}

/** A command as the list of all commands holds it. Which options it has matters only inside. */
export type Command = Omit<CommandDefinition<OptionDefinitions>, 'run'> & {
  run(
    options: OptionValues<OptionDefinitions>,
    positionals: readonly string[],
  ): Promise<void> | Promise<number>
}

/** Makes a command. `run` gets the types of the command's own options. */
export function defineCommand<const Options extends OptionDefinitions>(
  definition: CommandDefinition<Options>,
): Command {
  return definition as unknown as Command
}

export const jsonOption = {
  json: { type: 'boolean', description: 'print JSON instead of a table' },
} as const satisfies OptionDefinitions

/** The command was called wrongly. Nothing was done. */
export function usageError(message: string): OperatorError {
  return new OperatorError(message, { exitCode: exitCodes.usage })
}
