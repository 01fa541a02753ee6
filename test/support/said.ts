import { messageOf } from '../../src/cli/terminal/sentences.ts'

/** What the command line says of an attempt that fails. */
export async function said(attempt: Promise<unknown>): Promise<string> {
  try {
    await attempt
  } catch (error) {
    return messageOf(error)
  }
  throw new Error('it did not fail')
}
