import { styleText } from 'node:util'
import { release } from '../../release.ts'
import type { Command, OptionDefinition } from './command.ts'
import { terminal } from './terminal.ts'

/** Help for the program, for a group of commands and for one command, made from their definitions. */

/** A word or two that several commands begin with. */
export interface CommandGroup {
  readonly path: readonly string[]
  readonly summary: string
  /** Calls that a list of commands would not show. */
  readonly examples?: readonly (readonly [command: string, does: string])[]
}

const program = 'bin/mintmark'
const bold = (text: string): string => styleText('bold', text, { stream: terminal().stdout })

export function usageLine(command: Command): string {
  const positionals = (command.positionals ?? [])
    .map(({ name, optional }) => (optional === true ? ` [${name}]` : ` ${name}`))
    .join('')
  return `${program} ${command.path.join(' ')}${positionals} [options]`
}

export function commandHelp(command: Command): string {
  const sections = [`${sentence(command.summary)}\n\n${bold('Usage:')} ${usageLine(command)}`]
  if (command.details !== undefined) sections.push(command.details.trim())
  const positionals = command.positionals ?? []
  if (positionals.length > 0) {
    sections.push(
      section(
        'Arguments',
        positionals.map(({ name, description }) => [name, description]),
      ),
    )
  }
  const options = Object.entries(command.options).map(([name, option]) => optionRow(name, option))
  sections.push(section('Options', [...options, ['--help', 'show this']]))
  const examples = command.examples.map(([line, does]) => `  # ${does}\n  ${line}`)
  if (examples.length > 0) sections.push(`${bold('Examples:')}\n${examples.join('\n\n')}`)
  return `${sections.join('\n\n')}\n`
}

function optionRow(name: string, option: OptionDefinition): [string, string] {
  const value = option.type === 'boolean' ? '' : ` ${option.value ?? 'VALUE'}`
  return [`--${name}${value}`, option.description + (option.multiple === true ? ' (may be repeated)' : '')]
}

/** Help for the commands that begin with a path. All commands begin with the empty path. */
export function groupHelp(
  path: readonly string[],
  commands: readonly Command[],
  groups: readonly CommandGroup[],
): string {
  const group = groups.find((candidate) => candidate.path.join(' ') === path.join(' '))
  const below = commands.filter((command) => path.every((word, index) => command.path[index] === word))
  const rows = below.map((command): [string, string] => {
    const positionals = (command.positionals ?? []).map(({ name }) => ` ${name}`).join('')
    return [`${command.path.join(' ')}${positionals}`, command.summary]
  })
  const call = [program, ...path].join(' ')
  const sections = [
    path.length === 0
      ? `Mintmark ${release}: an OAuth 2.0 token service for machines.`
      : sentence(group?.summary ?? path.join(' ')),
    `${bold('Usage:')} ${call} COMMAND [options]`,
    section('Commands', rows),
  ]
  if (group?.examples !== undefined) sections.push(section('Examples', group.examples))
  if (path.length === 0) sections.push(...generalSections())
  sections.push(`"${call} COMMAND --help" explains a command and shows examples.`)
  return `${sections.join('\n\n')}\n`
}

function generalSections(): string[] {
  return [
    section('General options', [
      ['--help', 'show this'],
      ['--version', 'show the version'],
    ]),
    section('Exit codes', [
      ['0', 'done, also when there was nothing to do'],
      ['1', 'failed; one line on stderr says why and what to do'],
      ['2', 'called wrongly; nothing was done'],
      ['3', 'there is no such client, secret, resource or key'],
    ]),
    'Without DATABASE_URL everything works on the embedded database in the data directory ("data", or\n' +
      'MINTMARK_DATA_DIR). Settings are environment variables; .env.example explains each of them.\n' +
      'All commands work while the service runs, and what they change is in force when they return.',
  ]
}

function section(title: string, rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([term]) => term.length))
  const lines = rows.map(([term, text]) => `  ${term.padEnd(width)}  ${text}`)
  return `${bold(`${title}:`)}\n${lines.join('\n')}`
}

function sentence(phrase: string): string {
  return `${phrase.charAt(0).toUpperCase()}${phrase.slice(1)}.`
}
