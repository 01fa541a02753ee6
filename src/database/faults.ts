/**
 * What an error says about the database. Prisma wraps what the driver says, in a different way for a model, for
 * SQL and for a transaction, and often leaves the code only in the innermost error; here all of them are one.
 */
export interface DatabaseFault {
  /** A SQLSTATE, or the system's or Prisma's name of the error; empty where there is only a sentence. */
  readonly code: string
  /** The first line of what the server or the driver said. */
  readonly message: string
  /** Whether it went away or cannot be reached: a restart or a failover explains it, and it may come back. */
  readonly isAbsence: boolean
}

/** Classes of SQLSTATE that are the caller's mistake, or ours: a bug to report, and not a fault. */
const sqlState = /^[0-9A-Z]{5}$/
const absentSqlState = /^(?:08|57P0|53300)/

/** Ordinary refusals: no privilege, read-only, no room, out of memory, a lock or a statement that took too long. */
const ordinarySqlState = /^(?:28|3D000|42501|25006|53|55P03|57014|58|40001|40P01)/

const absentSystemError =
  /^(?:ECONNREFUSED|ECONNRESET|ECONNABORTED|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EHOSTDOWN|ENOTFOUND|EAI_AGAIN)$/

/** These may be about any file; they are about the database when it was connecting that failed. */
const ambiguousSystemError = /^(?:ENOENT|EACCES)$/

/** Cannot be reached, took too long to reach, closed the connection, no connection free, transaction not started or lost. */
const absentPrismaError = /^(?:P1001|P1002|P1008|P1017|P2024|P2037)$/

/** What the driver says without a code. */
const absentMessage =
  /connection terminated|timeout expired|connection error and is not queryable|timeout exceeded when trying to connect|client was closed and is not queryable|connection is closed|query read timeout/i

/** @returns undefined when the error is about something else. */
export function databaseFault(error: unknown): DatabaseFault | undefined {
  // Innermost first: it is the database's own word, and what stands around it is only ours and Prisma's.
  for (const each of layers(error).reverse()) {
    const fault = judge(each)
    if (fault !== undefined) return fault
  }
  return undefined
}

/** Whether the database is away, and may be back soon. */
export function isDatabaseAway(error: unknown): boolean {
  return databaseFault(error)?.isAbsence ?? false
}

/** The code that an error carries: a SQLSTATE, or the system's name; empty where there is none. */
export function errorCode(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return errorCode(error.errors[0])
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' ? code : ''
}

function judge({ code, message }: Layer): DatabaseFault | undefined {
  // Prisma's own message begins with the call that failed; what follows the last empty line is the reason.
  const reason = firstLine(message.split(/\n\s*\n/).at(-1) ?? message)
  const fault = (isAbsence: boolean): DatabaseFault => ({ code, message: reason, isAbsence })
  const isAbsence =
    absentSystemError.test(code) ||
    absentPrismaError.test(code) ||
    (ambiguousSystemError.test(code) && /\bconnect /.test(message)) ||
    (sqlState.test(code) && absentSqlState.test(code)) ||
    ((code === '' || code.startsWith('P')) && absentMessage.test(message))
  if (isAbsence) return fault(true)
  return sqlState.test(code) && ordinarySqlState.test(code) ? fault(false) : undefined
}

interface Layer {
  readonly code: string
  readonly message: string
}

/** Deeper than any wrapping goes; an error may also be its own cause. */
const layersMax = 10

/** The error and what it wraps, the outermost first. */
function layers(error: unknown): Layer[] {
  const found: Layer[] = []
  let rest: unknown = error
  while (typeof rest === 'object' && rest !== null && found.length < layersMax) {
    const { code, originalCode, message, originalMessage, cause, errors, meta } = rest as Record<
      string,
      unknown
    >
    found.push({
      code: text(originalCode) || text(code),
      message: text(originalMessage) || text(message),
    })
    rest = cause ?? (meta as { driverAdapterError?: unknown } | null | undefined)?.driverAdapterError
    if (Array.isArray(errors) && errors.length > 0) rest = errors[0]
  }
  return found
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

export function firstLine(message: string): string {
  return message.trim().split('\n', 1)[0]?.trim() ?? ''
}
