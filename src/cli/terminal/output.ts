import { momentText } from '../../lib/moment.ts'
import { plainText } from '../../lib/plain-text.ts'
import { isOutputClosed } from '../../process/standard-output.ts'
import { terminal } from './terminal.ts'

/**
 * Thrown when the reader of the output has gone away (`| head`). It ends the command without an error
 * message.
 */
export class OutputClosed extends Error {
  override readonly name = 'OutputClosed'
}

/** Writes the result of a command to stdout. */
export function print(text: string): void {
  if (isOutputClosed()) throw new OutputClosed()
  terminal().stdout.write(text)
}

/** Writes a remark for a person to stderr. What others said in it cannot disturb a terminal. */
export function note(text: string): void {
  terminal().stderr.write(`${text.split('\n').map(plainText).join('\n')}\n`)
}

/** One JSON document. Characters that could disturb a terminal are escaped. */
export function json(value: unknown): string {
  return escaped(JSON.stringify(value, null, 2))
}

export function jsonLine(value: unknown): string {
  return escaped(JSON.stringify(value))
}

function escaped(text: string): string {
  // JSON.stringify escapes control characters inside values. The line breaks between values must stay.
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

/** A moment for people, for example `2027-01-31 23:59:59Z`. */
export function shownMoment(seconds: number | undefined, absent = '-'): string {
  return seconds === undefined ? absent : momentText(seconds).replace('T', ' ')
}

/** For example `1 secret` or `2 secrets`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
