import { looksLikeCredential } from './claimed-text.ts'
import { plainText } from './plain-text.ts'

/** A value in a message. undefined: it may be a secret that was meant for another setting. */
export function shownValue(text: string): string | undefined {
  if (looksLikeCredential(text) && !/^\d*$/.test(text)) return undefined
  return JSON.stringify(plainText(text.slice(0, 80)))
}

/** What is around a value, and is not seen in a file or a message. Not every program that reads a .env takes it off. */
export function wrapping(text: string): string {
  if (/^(["'`]).*\1\s*$/s.test(text)) return ' Remove the quotes around it.'
  if (/\r/.test(text))
    return ' It has a carriage return: save the file with the settings with the line ends of Unix.'
  return text === text.trim() ? '' : ' Remove the space or line end around it.'
}

/** Whether nothing unseen is in a text or around it. */
export function isUnwrapped(text: string): boolean {
  return text === text.trim() && plainText(text) === text
}

/**
 * What a shell or a reader of .env would have changed stays where neither read the file. A directory of that name would be
 * made, and the service would start in it without its clients and keys.
 */
export function isPlainPath(text: string): boolean {
  return isUnwrapped(text) && !/^["'`~]|["'`]$|^\$|\$[{(]| #/.test(text)
}
