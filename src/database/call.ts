import type pg from 'pg'

/** A statement that is prepared once per connection. */
export interface PreparedStatement {
  readonly name: string
  readonly text: string
}

/** The part of pg's connection that its types do not describe. */
interface Wire {
  readonly stream: { cork(): void; uncork(): void }
  /** The texts of the statements that this connection has prepared, by name. */
  readonly parsedStatements: Readonly<Record<string, string>>
  parse(statement: PreparedStatement): void
  bind(call: { statement: string; values: readonly (string | null)[] }): void
  execute(): void
  sync(): void
}

/** The statement returned no value. */
export class NoValue extends Error {
  override readonly name = 'NoValue'
}

/** Nobody waits for the answer of the database any more. Begins with the words of the driver's own error. */
export function noAnswer(): Error {
  return new Error('query read timeout: the database did not answer in time')
}

/**
 * Whether a notice says that the wait for a synchronous standby was cancelled. PostgreSQL then reports success: the
 * transaction is durable on this server, and no standby has confirmed it. The text may be in any language.
 */
export function isUnconfirmed({
  routine,
  message,
}: {
  routine?: string | undefined
  message?: string | undefined
}): boolean {
  return routine === 'SyncRepWaitForLSN' || message?.includes('synchronous replication') === true
}

/**
 * One call of a prepared statement that returns one value, for `client.query`. A normal query of pg costs
 * more: it requests a description of the rows, creates an object for each row, and sets and clears a timer.
 * For commits this took a tenth of all CPU at a moderate load. Many of its objects also survived the small
 * garbage collections, so full collections came every few seconds and stopped all requests. This call does
 * none of it. It has no timer: the caller must watch the time and call `giveUp`.
 */
export class PreparedCall implements pg.Submittable {
  /** The connection remembers under this name that the statement is prepared. */
  readonly name: string
  readonly text: string
  /**
   * The first column of the last row, as text. Rejects with the error of the server, or if there is no value.
   */
  readonly answer: Promise<string>
  /** Set by pg if the connection URL has its own time limit. Calling it clears pg's timer. */
  callback?: () => void
  readonly #values: readonly (string | null)[]
  readonly #settle: PromiseWithResolvers<string>
  #value: string | undefined

  constructor(statement: PreparedStatement, values: readonly (string | null)[]) {
    this.name = statement.name
    this.text = statement.text
    this.#values = values
    this.#settle = Promise.withResolvers()
    this.answer = this.#settle.promise
    // The caller may await the answer later. Until then a rejection must not count as unhandled.
    this.answer.catch(() => {})
  }

  /**
   * Rejects the answer now. The connection must not be used again, because the real answer may still arrive.
   */
  giveUp(): void {
    this.#settle.reject(noAnswer())
  }

  // ── Called by pg's client ──

  submit(connection: pg.Connection): void {
    const wire = connection as unknown as Wire
    // Sends the four messages in one packet.
    wire.stream.cork()
    if (wire.parsedStatements[this.name] === undefined) wire.parse(this)
    wire.bind({ statement: this.name, values: this.#values })
    wire.execute()
    wire.sync()
    wire.stream.uncork()
  }

  handleDataRow({ fields }: { fields: readonly (string | null)[] }): void {
    this.#value = fields[0] ?? undefined
  }

  handleReadyForQuery(): void {
    if (this.#value === undefined) this.#settle.reject(new NoValue('the database answered without a value'))
    else this.#settle.resolve(this.#value)
    this.callback?.()
  }

  handleError(error: unknown): void {
    this.#settle.reject(error)
    this.callback?.()
  }

  handleCommandComplete(): void {}

  // This call does not request the following messages. A proxy before the database may send them anyway. They
  // are ignored, because a missing handler would end the process.
  handleRowDescription(): void {}
  handleEmptyQuery(): void {}
  handlePortalSuspended(): void {}
  handleCopyInResponse(): void {}
  handleCopyData(): void {}
}
