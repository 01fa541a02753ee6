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
 * One call of a prepared statement that answers with one value, for `client.query`. What pg itself makes of a query
 * is an object of all its rows, built after it has asked for their description; and with a time limit, a timer
 * each. Those timers are what it is about: they outlive the query by the time limit, everything that the query
 * holds outlives it with them, and what lives that long only a full collection removes, which stalls everybody.
 * So there is no timer here: whoever calls keeps the time, and gives up.
 */
export class PreparedCall implements pg.Submittable {
  /** The client notes under this name that the statement is prepared. */
  readonly name: string
  readonly text: string
  /** The first column of the last row, as text; undefined if it was NULL. Rejects with what the server said. */
  readonly answer: Promise<string | undefined>
  readonly #values: readonly (string | null)[]
  readonly #settle: PromiseWithResolvers<string | undefined>
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
    this.#settle.reject(new Error('Query read timeout'))
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

  handleCommandComplete(): void {}

  handleReadyForQuery(): void {
    this.#settle.resolve(this.#value)
  }

  handleError(error: unknown): void {
    this.#settle.reject(error)
  }
}
