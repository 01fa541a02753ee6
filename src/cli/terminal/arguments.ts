import { parseArgs } from 'node:util'
import { momentExample, readDuration, readMoment, readMomentMilliseconds } from '../../lib/moment.ts'
import { didYouMean } from '../../lib/suggest.ts'
import { type Command, type OptionValues, usageError } from './command.ts'
import { usageLine } from './help.ts'

export interface ParsedArguments {
  readonly help: boolean
  readonly options: OptionValues<Command['options']>
  readonly positionals: readonly string[]
}

/**
 * Reads the arguments after a command's own words. Node's parseArgs splits them. What is allowed is decided here, because
 * a mistake is answered with what to write instead, and Node's messages do not say that.
 * @throws OperatorError with exit code 2.
 */
export function parseArguments(command: Command, given: readonly string[]): ParsedArguments {
  const definitions = Object.entries(command.options)
  const { tokens } = parseArgs({
    args: given.map((each) => (thumbprint.test(each) ? `${nameMark}${each}` : each)),
    options: {
      help: { type: 'boolean', short: 'h' },
      ...Object.fromEntries(definitions.map(([option, { type }]) => [option, { type }])),
    },
    strict: false,
    allowPositionals: true,
    tokens: true,
  })
  const values: Record<string, unknown> = Object.fromEntries(
    definitions.map(([option, { type, multiple }]) => [
      option,
      type === 'boolean' ? false : multiple === true ? [] : undefined,
    ]),
  )
  const positionals: string[] = []
  let help = false
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(withoutMark(token.value))
    if (token.kind !== 'option') continue
    if (token.name === 'help') help = true
    else takeOption(command, token, values)
  }
  if (!help) checkPositionals(command, positionals)
  return { help, options: values as ParsedArguments['options'], positionals }
}

/** A key is named by its thumbprint (RFC 7638) in base64url. One of 64 begins with a dash, but is not an option. */
const thumbprint = /^-[A-Za-z0-9_-]{42}$/
/** No argument of a process can contain this character. */
const nameMark = '\0'
const withoutMark = (text: string): string => (text.startsWith(nameMark) ? text.slice(1) : text)

interface OptionToken {
  readonly name: string
  readonly rawName: string
  readonly value: string | undefined
  readonly inlineValue: boolean | undefined
}

function takeOption(command: Command, token: OptionToken, values: Record<string, unknown>): void {
  const { rawName } = token
  const value = token.value === undefined ? undefined : withoutMark(token.value)
  const definition = Object.hasOwn(command.options, token.name) ? command.options[token.name] : undefined
  if (definition === undefined) {
    const hint = didYouMean(
      rawName,
      [...Object.keys(command.options), 'help'].map((known) => `--${known}`),
    )
    const name = command.path.join(' ')
    throw usageError(`"${name}" has no option ${rawName}.${hint} "bin/mintmark ${name} --help" lists them.`)
  }
  if (definition.type === 'boolean') {
    if (value !== undefined) throw usageError(`${rawName} takes no value. Write ${rawName} alone.`)
    values[token.name] = true
    return
  }
  const example = `${rawName} ${definition.value ?? 'VALUE'}`
  if (value === undefined || value === '') throw usageError(`${rawName} needs a value: ${example}`)
  if (token.value?.startsWith('-') && value !== '-' && token.inlineValue !== true) {
    throw usageError(`${rawName} needs a value; if "${value}" is meant, write ${rawName}=${value}`)
  }
  if (definition.multiple === true) (values[token.name] as string[]).push(value)
  else if (values[token.name] !== undefined) throw usageError(`${rawName} is given twice. Write it once.`)
  else values[token.name] = value
}

function checkPositionals(command: Command, positionals: readonly string[]): void {
  const name = command.path.join(' ')
  const expected = command.positionals ?? []
  const missing = expected[positionals.length]
  if (missing !== undefined && missing.optional !== true) {
    throw usageError(`"${name}" needs ${missing.name}, ${missing.description}. Usage: ${usageLine(command)}`)
  }
  const surplus = positionals[expected.length]
  if (surplus !== undefined) {
    throw usageError(`"${name}" does not take "${surplus}". Usage: ${usageLine(command)}`)
  }
}

/** An option whose value is yes or no; undefined if it is not given. */
export function yesOrNo(option: string, text: string | undefined): boolean | undefined {
  if (text === undefined || text === 'yes' || text === 'no')
    return text === undefined ? undefined : text === 'yes'
  throw usageError(`--${option}: must be yes or no.`)
}

/** A time in the past: `2h` ago, a day, or a date and time. In milliseconds since 1970, as `now` is. */
export function pastMoment(option: string, text: string, now: number): number {
  const ago = readDuration(text)
  if (ago !== undefined) return now - ago * 1000
  const moment = readMomentMilliseconds(text) ?? readMomentMilliseconds(`${text}T00:00:00Z`)
  if (moment !== undefined) return moment
  throw usageError(
    `--${option}: "${text}" is not a time. Write a time ago like 30m, 2h or 7d, a day like 2027-01-31 (UTC), ` +
      `or ${momentExample}`,
  )
}

/**
 * Refuses the end of a client that has passed: it would get no token, and nobody would see why.
 * @param now seconds since 1970.
 */
export function requireFuture(option: string, text: string | undefined, now: number): void {
  const moment = text === undefined ? undefined : readMoment(text)
  if (moment === undefined || moment > now) return
  throw usageError(
    `--${option}: "${text}" is in the past. Write a later time. "bin/mintmark clients disable CLIENT" stops a client now.`,
  )
}

/** A time in the future: `90d` from now, or a date and time. In seconds since 1970, as `now` is. */
export function futureMoment(option: string, text: string, now: number): number {
  const ahead = readDuration(text)
  const moment = ahead === undefined ? readMoment(text) : now + ahead
  if (moment === undefined) {
    throw usageError(
      `--${option}: "${text}" is not a time. Write a time from now like 90d, or ${momentExample}`,
    )
  }
  if (moment <= now) throw usageError(`--${option}: "${text}" is in the past. Write a later time.`)
  return moment
}
