import { createInterface } from 'node:readline/promises'

/** Asks a person at a terminal to type a word before a change that cannot be undone. */
export async function confirm(question: string, word: string, signal: AbortSignal): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  try {
    return (await terminal.question(question, { signal })).trim() === word
  } finally {
    terminal.close()
  }
}
