import { momentText } from '../../lib/moment.ts'
import { isOutputClosed } from '../../process/standard-output.ts'
import { plainText } from '../../registry/grammar.ts'

/** Thrown when whoever reads our output has heard enough (`| head`). Not an error: everything unwinds and ends. */
export class OutputClosed extends Error {
  override readonly name = 'OutputClosed'
}

/** Writes to stdout what the command was asked for. */
export function print(text: string): void {
  if (isOutputClosed()) throw new OutputClosed()
  process.stdout.write(text)
}

/** Writes to stderr what a person should know beside it. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`)
}

/** One JSON document. What could disturb a terminal stands escaped in it. */
export function json(value: unknown): string {
  return escaped(JSON.stringify(value, null, 2))
}

export function jsonLine(value: unknown): string {
  return escaped(JSON.stringify(value))
}

function escaped(text: string): string {
  // Line breaks between values are the only controls that JSON.stringify leaves.
  return text.replace(/[^\n\x20-\x7e]/gu, (character) =>
    plainText(character) === character
      ? character
      : Array.from({ length: character.length }, (_, index) =>
          unicodeEscape(character.charCodeAt(index)),
        ).join(''),
  )
}

function unicodeEscape(code: number): string {
  return `\\u${code.toString(16).padStart(4, '0')}`
}

/** A moment for people: `2027-01-31 23:59:59Z`. */
export function shownMoment(seconds: number | undefined, absent = '-'): string {
  return seconds === undefined ? absent : momentText(seconds).replace('T', ' ')
}

/** `1 secret`, `2 secrets`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
