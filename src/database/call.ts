import type pg from 'pg'

/** A statement that is prepared once per connection. */
export interface PreparedStatement {
  readonly name: string
  readonly text: string
}

/** What pg's connection has and its types do not say. */
interface Wire {
  readonly stream: { cork(): void; uncork(): void }
  /** The texts of the statements that this connection has prepared, by name. */
  readonly parsedStatements: Readonly<Record<string, string>>
  parse(statement: PreparedStatement): void
  bind(call: { statement: string; values: readonly (string | null)[] }): void
  execute(): void
  sync(): void
}

/**
 * One call of a prepared statement that answers with one value, for `client.query`. What pg makes of a query costs
 * more: it asks for a description of the rows, builds an object of each, and sets and clears a timer. For a commit,
 * with a batch of records in its hands, that was a tenth of all CPU at a moderate load; and so much of it outlived
 * the small collections of memory that full ones came every few seconds, and stalled everybody. So nothing of it is
 * here. Whoever calls keeps the time, and gives up.
 */
export class PreparedCall implements pg.Submittable {
  /** The client notes under this name that the statement is prepared. */
  readonly name: string
  readonly text: string
  /** The first column of the last row, as text. Rejects with what the server said, and when no value came. */
  readonly answer: Promise<string>
  /** Set by the client where the connection's URL has a time limit of its own, which ends with this call. */
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
    // Whoever waits for it may do something else first, and a rejection meanwhile is not a stray one.
    this.answer.catch(() => {})
  }

  /** Rejects the answer now. The connection must not be used again: the real answer may still come. */
  giveUp(): void {
    this.#settle.reject(new Error('query read timeout: the database did not answer in time'))
  }

  // ── What the client calls ──

  submit(connection: pg.Connection): void {
    const wire = connection as unknown as Wire
    // One packet and not four.
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
    if (this.#value === undefined) this.#settle.reject(new Error('the database answered without a value'))
    else this.#settle.resolve(this.#value)
    this.callback?.()
  }

  handleError(error: unknown): void {
    this.#settle.reject(error)
    this.callback?.()
  }

  handleCommandComplete(): void {}

  // Nothing of what follows is asked for. Something between here and the database that sends it all the same gets
  // no answer from this call, and must not end the process.
  handleRowDescription(): void {}
  handleEmptyQuery(): void {}
  handlePortalSuspended(): void {}
  handleCopyInResponse(): void {}
  handleCopyData(): void {}
}
