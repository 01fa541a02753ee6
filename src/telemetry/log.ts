import { type DestinationStream, type Logger, pino } from 'pino'

/**
 * The log: one structured event per request, and what operators must know in between. What may be logged is
 * listed here, field by field; no object from a request is ever handed to it whole. The redaction below is
 * the second line, for the day somebody forgets the first.
 */
export type Log = Logger

export function createLog(level: string, destination: DestinationStream | undefined = undefined): Log {
  const options = {
    level,
    base: { service: 'mintmark' },
    messageKey: 'message',
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: {
      paths: secretNames.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]),
      censor: '[redacted]',
    },
  }
  return pino(options, destination ?? logOutput())
}

/** Bytes of lines that are kept while the output cannot be written; past it the newest are lost. */
const unwrittenBytesMax = 1024 * 1024

/**
 * Standard output. Synchronous, so that what is logged last, while the process ends, is not lost. A disk that is
 * full costs lines and nothing else: the log is for people, and what must not be lost is in the ledger.
 */
export function logOutput(): DestinationStream {
  const output = pino.destination({ fd: 1, sync: true, maxLength: unwrittenBytesMax })
  // Without a listener a line that cannot be written would be thrown at whoever wrote it.
  output.on('error', () => {})
  return output
}

const secretNames = [
  'authorization',
  'client_secret',
  'clientSecret',
  'secret',
  'password',
  'access_token',
  'accessToken',
  'client_assertion',
  'assertion',
  'privateKey',
  'private_key',
  'keyEncryptionKey',
  'body',
  'rawHeaders',
]

/** What one request leaves in the log. */
export interface RequestEvent {
  readonly requestId: string
  readonly method: string
  /** The route's pattern, not the URL: a query string may hold what its sender should not have put there. */
  readonly route: string
  readonly status: number
  readonly durationMilliseconds: number
  readonly address: string
  readonly outcome?: string | undefined
  readonly reason?: string | undefined
  readonly clientId?: string | undefined
  readonly audience?: string | undefined
}

export type LogRequest = (event: RequestEvent) => void

/**
 * Writes the line of each request. Looking for secrets in it would cost as much as a signature, and there is
 * nothing to find: its fields are those of `RequestEvent`, each of them text or a number.
 */
export function requestLog(log: Log): LogRequest {
  const plain = log.child({}, { redact: [] })
  return (event) => {
    const level = event.status >= 500 ? 'error' : event.status >= 400 ? 'warn' : 'info'
    plain[level]({ event: 'request', ...event }, `${event.method} ${event.route} ${event.status}`)
  }
}

/** An error for the log: its name, message and code, and the same of its causes; never its other fields. */
export function describeError(error: unknown, depth = 0): Record<string, unknown> {
  if (!(error instanceof Error)) return { message: textOf(error).slice(0, 200) }
  const code = (error as { code?: unknown }).code
  return {
    name: error.name,
    message: error.message.slice(0, 500),
    ...(typeof code === 'string' ? { code } : {}),
    ...(depth === 0 ? { stack: error.stack } : {}),
    ...(error.cause === undefined || depth >= 3 ? {} : { cause: describeError(error.cause, depth + 1) }),
  }
}

/** Text of whatever was thrown. Some things have none, and asking them throws again. */
function textOf(thrown: unknown): string {
  try {
    return String(thrown)
  } catch {
    return 'something that has no text'
  }
}
