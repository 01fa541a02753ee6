/**
 * A fault of the database, found in any error. Prisma wraps the error of the driver in different ways for a
 * model, for SQL and for a transaction. Often only the innermost error has the code. This file treats all of
 * them alike.
 */
export interface DatabaseFault {
  /** A SQLSTATE, or the error code of the system or of Prisma; empty if the error has only a message. */
  readonly code: string
  /** The first line of the message of the server or the driver. */
  readonly message: string
  /** Whether the database cannot be reached, for example during a restart or a failover. It may come back. */
  readonly isAbsence: boolean
}

const sqlState = /^[0-9A-Z]{5}$/
const absentSqlState = /^(?:08|57P0|53300)/

/**
 * Faults of a database that can be reached: no privilege, read-only, no space, no memory, a lock or a
 * statement that took too long. All other SQLSTATEs are bugs of this program, not faults.
 */
const ordinarySqlState = /^(?:28|3D000|42501|25006|53|55P03|57014|58|40001|40P01)/

const absentSystemError =
  /^(?:ECONNREFUSED|ECONNRESET|ECONNABORTED|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EHOSTDOWN|ENOTFOUND|EAI_AGAIN)$/

/** These errors can be about any file. They are about the database if a connection attempt failed. */
const ambiguousSystemError = /^(?:ENOENT|EACCES|EMFILE|ENFILE)$/

/**
 * Unreachable, timeout while connecting, connection closed, no free connection, transaction not started or
 * lost.
 */
const absentPrismaError = /^(?:P1001|P1002|P1008|P1017|P2024|P2037)$/

/** Messages of the driver that come without a code. */
const absentMessage =
  /connection terminated|server has closed the connection|timeout expired|connection error and is not queryable|timeout exceeded when trying to connect|client was closed and is not queryable|connection is closed|query read timeout/i

/** @returns undefined if the error is not a fault of the database. */
export function databaseFault(error: unknown): DatabaseFault | undefined {
  // The innermost error comes from the database. The outer ones come from Prisma and from us, so they count
  // less.
  for (const each of layers(error).reverse()) {
    const fault = judge(each)
    if (fault !== undefined) return fault
  }
  return undefined
}

/** Whether the database cannot be reached, and may be back soon. */
export function isDatabaseAway(error: unknown): boolean {
  return databaseFault(error)?.isAbsence ?? false
}

/** The code of an error: a SQLSTATE or the error code of the system; empty if there is none. */
export function errorCode(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return errorCode(error.errors[0])
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' ? code : ''
}

function judge({ code, message }: Layer): DatabaseFault | undefined {
  // A message of Prisma starts with the failed call. The reason follows after the last empty line.
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

/** Deeper than any real nesting. The limit is needed because an error can be its own cause. */
const layersMax = 10

/** The error and its nested causes, the outermost first. */
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
    // The pool itself ended the connection, and the end is the cause that it names.
    if (/due to connection timeout/.test(text(message))) break
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
