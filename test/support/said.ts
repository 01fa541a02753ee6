import { explain } from '../../src/cli/terminal/explain.ts'

/** What an operator at the command line is told of an attempt that fails. */
export async function said(attempt: Promise<unknown>): Promise<string> {
  try {
    await attempt
  } catch (error) {
    return explain(error).message ?? ''
  }
  throw new Error('it did not fail')
}
