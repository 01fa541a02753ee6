import { type DatabaseFault, databaseFault } from '../../database/faults.ts'
import { AdministrationError, OperatorError } from '../../errors.ts'
import { exitCodes } from './command.ts'
import { Interrupted } from './connect.ts'
import { OutputClosed } from './output.ts'
import { exitCodeOf, sentenceOf } from './sentences.ts'

/** How a command that threw ends. */
export interface Explanation {
  /** Why, in one line where the reason is known; undefined for somebody who knows. */
  readonly message: string | undefined
  readonly exitCode: number
}

export function explain(error: unknown): Explanation {
  if (error instanceof OutputClosed) return { message: undefined, exitCode: exitCodes.ok }
  if (error instanceof Interrupted) return { message: undefined, exitCode: error.exitCode }
  if (error instanceof AdministrationError) {
    return { message: sentenceOf(error), exitCode: exitCodeOf(error) }
  }
  if (error instanceof OperatorError) return { message: error.message, exitCode: error.exitCode }
  const fault = databaseFault(error)
  if (fault !== undefined) return { message: describeFault(fault), exitCode: exitCodes.failed }
  const stack = error instanceof Error ? error.stack : String(error)
  const message = `this should not have happened; please report it.\n${stack}`
  return { message, exitCode: exitCodes.failed }
}

/** What an operator can mend, by SQLSTATE. */
const remedies: Readonly<Record<string, string>> = {
  '25006': 'It takes no writes: name the primary, or end its read-only mode.',
  '42501': 'Give the role of DATABASE_URL the rights it lacks, or use the role that owns the tables.',
  '53100': 'Make room on its disk.',
  '55P03': 'Something else holds a lock; try again when it is done.',
}

function describeFault({ code, message, isAbsence }: DatabaseFault): string {
  const said = /[.!?]$/.test(message) ? message : `${message}.`
  const remedy = remedies[code] ?? (isAbsence ? 'Try again when it is back.' : 'Mend that and try again.')
  return `The database refused: ${said} ${remedy}`
}
