import { createInterface } from 'node:readline/promises'
import { OperatorError } from '../../errors.ts'
import { usageError } from './command.ts'
import { terminal } from './terminal.ts'

/**
 * Asks a person at a terminal to type a word before a change that cannot be undone. The end of the input is no answer.
 * @throws OperatorError if it is not typed, so that what follows the command is not done either, and where nobody can
 * answer: a script says --yes.
 */
export async function confirm(question: string, word: string, signal: AbortSignal): Promise<void> {
  const { stdin, stderr } = terminal()
  if (!stdin.isTTY)
    throw usageError('nobody is at a terminal to confirm this, so nothing was changed. Add --yes.')
  const dialogue = createInterface({ input: stdin, output: stderr })
  try {
    const closed = new Promise<string>((resolve) => {
      dialogue.once('close', () => resolve(''))
    })
    const typed = await Promise.race([dialogue.question(question, { signal }), closed])
    if (typed.trim() !== word)
      throw new OperatorError(`that is not ${JSON.stringify(word)}, so nothing was changed.`)
  } finally {
    dialogue.close()
  }
}
