import { type DatabaseFault, databaseFault } from '../database/faults.ts'
import { AdministrationError, exitCodes, OperatorError } from '../errors.ts'

/** Why and how a failed process ends. */
export interface Explanation {
  /** The reason, in one line if it is a known one. */
  readonly message: string
  readonly exitCode: number
  /** The code and the fields of an AdministrationError. The command line makes a sentence of them. */
  readonly administration?: Pick<AdministrationError, 'code' | 'fields'>
}

export function explain(error: unknown): Explanation {
  if (error instanceof AdministrationError) {
    const { message, exitCode, code, fields } = error
    return { message, exitCode, administration: { code, fields } }
  }
  if (error instanceof OperatorError) return { message: error.message, exitCode: error.exitCode }
  if (isOutOfFiles(error)) return { message: outOfFiles, exitCode: exitCodes.failed }
  const fault = databaseFault(error)
  if (fault !== undefined) return { message: describeFault(fault), exitCode: exitCodes.failed }
  const stack = error instanceof Error ? error.stack : String(error)
  const message = `this should not have happened; please report it.\n${stack}`
  return { message, exitCode: exitCodes.failed }
}

const outOfFiles =
  'Too many files are open. Raise the limit of open files (ulimit -n, LimitNOFILE= of systemd) to 1024 or more; "serve" ' +
  'needs 10100 for all its connections.'

/** Whether this process, or the machine, may open no more files. It can be about any file, a module of ours too. */
function isOutOfFiles(error: unknown): boolean {
  for (let each = error, depth = 0; each instanceof Error && depth < 10; each = each.cause, depth += 1) {
    const { code, message } = each as NodeJS.ErrnoException
    if (code === 'EMFILE' || code === 'ENFILE' || /too many open files/.test(message)) return true
  }
  return false
}

/** What an operator can do, by SQLSTATE. */
const remedies: Readonly<Record<string, string>> = {
  '25006': 'Set DATABASE_URL to the primary, or end the read-only mode.',
  '42501':
    "Use the role of the operator in DATABASE_URL: the service's may change no clients and resources. If a role lost " +
    'rights, run "bin/mintmark migrate" with --service-role and --operator-role, as the owner of the tables.',
  '53100': 'Free some space on the disk of the database.',
  '55P03': 'Another process holds a lock. Try again when the other one has finished.',
}

function describeFault({ code, message, isAbsence }: DatabaseFault): string {
  const said = /[.!?]$/.test(message) ? message : `${message}.`
  if (isAbsence) return `The database cannot be reached: ${said} Try again when it can.`
  return `The database refused: ${said} ${remedies[code] ?? 'Correct this and try again.'}`
}
