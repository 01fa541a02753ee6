import { readFileSync } from 'node:fs'
import { TokenError } from './errors.ts'

/** Reads a file with something that proves who we are. It is read for every use, because it may be replaced at any time. */
export function readCredentialFile(path: string, what: string): string {
  let text: string
  try {
    text = readFileSync(path, 'utf8').trim()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new TokenError('credential_unreadable', `${path}: cannot read the ${what} (${code}).`, {
      cause: error,
    })
  }
  if (text === '') throw new TokenError('credential_unreadable', `${path}: the file of the ${what} is empty.`)
  return text
}
