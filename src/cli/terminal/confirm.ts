import { createInterface } from 'node:readline/promises'
import { terminal } from './terminal.ts'

/** Asks a person at a terminal to type a word before a change that cannot be undone. */
export async function confirm(question: string, word: string, signal: AbortSignal): Promise<boolean> {
  const { stdin, stderr } = terminal()
  const dialogue = createInterface({ input: stdin, output: stderr })
  try {
    return (await dialogue.question(question, { signal })).trim() === word
  } finally {
    dialogue.close()
  }
}
