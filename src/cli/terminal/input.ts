import { OperatorError } from '../../errors.ts'
import { note } from './output.ts'
import { terminal } from './terminal.ts'

/**
 * Reads standard input to its end. From a person at a terminal, one line is enough.
 * @throws OperatorError when there is more than the limit. No message repeats what was read.
 */
export async function readInput(asked: string, bytesMax: number): Promise<string> {
  const { stdin } = terminal()
  const isTerminal = stdin.isTTY === true
  if (isTerminal) note(asked)
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of stdin) {
    const bytes = Buffer.from(chunk as Buffer | string)
    chunks.push(bytes)
    length += bytes.length
    if (length > bytesMax)
      throw new OperatorError(`standard input has more than ${bytesMax} bytes. Nothing was changed.`)
    if (isTerminal && bytes.includes('\n')) break
  }
  return Buffer.concat(chunks).toString('utf8')
}
