import { type DestinationStream, type Logger, pino } from 'pino'
import { plainText } from '../lib/plain-text.ts'
import { watchLoss } from './log-loss.ts'

/**
 * The log: one structured event per request, and events that operators must know. The fields of a request
 * that may be logged are listed here. No object of a request is ever logged whole. The redaction below is the
 * second defence, in case a later change breaks this rule.
 */
export type Log = Logger

export function createLog(level: string, destination: DestinationStream | undefined = undefined): Log {
  const options = {
    level,
    base: { service: 'mintmark' },
    messageKey: 'message',
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    hooks: { streamWrite: plainLine },
    redact: {
      paths: secretNames.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]),
      censor: '[redacted]',
    },
  }
  return pino(options, destination ?? logOutput())
}

/**
 * A line as it is written. JSON escapes the first 32 control characters and no others. A line break in a stack is such
 * an escape, and stays.
 */
function plainLine(line: string): string {
  const text = line.slice(0, -1)
  return `${plainText(text.length > lineCharactersUsual ? shortened(text) : text)}\n`
}

/** No event of this service is longer by itself. A row of the database that somebody wrote by hand may have any length. */
const lineCharactersUsual = 16_384
const textCharactersMax = 1_000
const itemsMax = 15

/** The same line with every long text and every long list cut, and the length that it had. */
function shortened(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text, (_name, value: unknown) => cut(value)))
  } catch {
    return text
  }
}

function cut(value: unknown): unknown {
  if (typeof value === 'string' && value.length > textCharactersMax)
    return `${value.slice(0, textCharactersMax)}… (${value.length} characters)`
  if (Array.isArray(value) && value.length > itemsMax)
    return [...value.slice(0, itemsMax), `… (${value.length} in all)`]
  return value
}

/** Bytes of log lines that are kept while the output cannot be written. Beyond that, new lines are lost. */
const unwrittenBytesMax = 1024 * 1024

/**
 * Standard output. It is written synchronously, so that the last lines of an ending process are not lost. On
 * a full disk, log lines are lost and the service continues: events that must not be lost are in the ledger.
 */
export function logOutput(): DestinationStream {
  const output = pino.destination({ fd: 1, sync: true, maxLength: unwrittenBytesMax })
  watchLoss(output)
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

/** The log entry of one request. */
export interface RequestEvent {
  readonly requestId: string
  readonly method: string
  /**
   * The pattern of the route, not the URL: a client may have put a secret into the query string by mistake.
   */
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
 * Writes one line for each request, without redaction. Redaction would cost as much as a signature and would
 * find nothing: the line has only the fields of `RequestEvent`, and each of them is text or a number.
 */
export function requestLog(log: Log): LogRequest {
  const plain = log.child({}, { redact: [] })
  return (event) => {
    const level = event.status >= 500 ? 'error' : event.status >= 400 ? 'warn' : 'info'
    plain[level]({ event: 'request', ...event }, `${event.method} ${event.route} ${event.status}`)
  }
}

/**
 * Describes an error for the log: its name, message and code, and the same for its causes. No other fields.
 */
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

/** The text of a thrown value. Some values have no text, and converting them throws another error. */
function textOf(thrown: unknown): string {
  try {
    return String(thrown)
  } catch {
    return 'something that has no text'
  }
}
