import type { Writable } from 'node:stream'
import { momentText } from '../../lib/moment.ts'
import { plainText } from '../../lib/plain-text.ts'
import { isOutputClosed } from '../../process/standard-output.ts'
import { terminal } from './terminal.ts'

/**
 * Thrown when the output cannot be written any more. It ends the command. Without an error message if only its reader has
 * gone away (`| head`).
 */
export class OutputClosed extends Error {
  override readonly name = 'OutputClosed'
}

/** The first error of each output. */
const failures = new WeakMap<Writable, NodeJS.ErrnoException>()

/** Writes the result of a command to stdout. What others said in it cannot disturb a terminal. */
export function print(text: string): void {
  write(text.split('\n').map(plainText).join('\n'))
}

/** Takes back what stands on this line of a terminal. */
export function eraseLine(): void {
  write('\r\x1b[K')
}

function write(text: string): void {
  const { stdout } = terminal()
  if (isOutputClosed() || failures.has(stdout)) throw new OutputClosed()
  stdout.write(text, (error) => {
    if (error && !failures.has(stdout)) failures.set(stdout, error)
  })
}

/** Resolves when everything that was printed is out, or is known to be lost. @returns why, if it is lost. */
export async function outputFailure(): Promise<NodeJS.ErrnoException | undefined> {
  const { stdout } = terminal()
  await flushed(stdout)
  return failures.get(stdout)
}

/** Resolves when everything written before is out, or nobody is there to read it. */
export function flushed(stream: Writable): Promise<void> {
  return new Promise((resolve) => {
    // An error is told one turn of the event loop after the write.
    if (stream.destroyed) setImmediate(resolve)
    else stream.write('', () => resolve())
  })
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
