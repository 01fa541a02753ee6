import pg from 'pg'

/**
 * Statements through a pooler that gives each transaction another session: PgBouncer in transaction mode and
 * what is like it. A statement has no name, because the next session does not know it. Its settings end with its
 * transaction: those of a single statement travel in front of it, in the same packet and transaction.
 */

/** Settings of PostgreSQL and their values. */
export type Settings = Readonly<Record<string, string>>

/** What pg's client runs. */
interface Runnable extends pg.Submittable {
  callback?: ((error: unknown, result?: unknown) => void) | undefined
  query_timeout?: number
  text?: string
  handleDataRow(message: unknown): void
  handleRowDescription(message: unknown): void
  handleCommandComplete(message: unknown, connection: unknown): void
  handleEmptyQuery(connection: unknown): void
  handlePortalSuspended(connection: unknown): void
  handleReadyForQuery(connection: unknown): void
  handleError(error: unknown, connection: unknown): void
  handleCopyInResponse(connection: unknown): void
  handleCopyData(message: unknown, connection: unknown): void
}

interface Wire {
  readonly stream: { cork(): void; uncork(): void }
  parse(statement: { name: string; text: string; types?: unknown }): void
  bind(call: object): void
  describe(what: { type: 'P'; name: string }): void
  execute(call: { portal: string }): void
  sync(): void
  query(text: string): void
}

interface PooledClient {
  query: unknown
  readonly connection: Wire
  getTransactionStatus(): string | null
}

type Callback = (error: unknown, result?: unknown) => void

/** Makes every query of this client one that needs no session of its own. */
export function scopeQueries(client: pg.Client, settings: Settings): void {
  const assignments = Object.entries(settings).map(([name, value]) => [quoted(name), quoted(value)] as const)
  const scope = {
    alone:
      assignments.length === 0
        ? undefined
        : `SELECT ${assignments.map(([name, value]) => `pg_catalog.set_config(${name}, ${value}, true)`).join(', ')}`,
    // Not with set_config: after it the isolation of the transaction could not be chosen any more.
    begin: [
      'BEGIN ISOLATION LEVEL READ COMMITTED',
      // A path is a list of names, which a text in quotes is not.
      ...Object.entries(settings).map(
        ([name, value]) => `SET LOCAL ${name} = ${name === 'search_path' ? value : quoted(value)}`,
      ),
    ].join('; '),
  }
  const pooled = client as unknown as PooledClient
  const run = client.query.bind(client) as (runnable: Runnable) => unknown
  const wire = nameless(pooled.connection)
  const isIdle = (): boolean => pooled.getTransactionStatus() === 'I'
  pooled.query = (config: Runnable | string, values?: unknown, callback?: Callback): unknown => {
    if (typeof config === 'object' && typeof config.submit === 'function') {
      if (typeof values === 'function') config.callback ??= values as Callback
      run(new ScopedQuery(config, wire, scope, isIdle))
      return config
    }
    const query = new (pg as unknown as { Query: new (...all: unknown[]) => Runnable }).Query(
      config,
      values,
      callback,
    )
    if (typeof config === 'object' && config.query_timeout !== undefined)
      query.query_timeout = config.query_timeout
    if (query.callback !== undefined) {
      run(new ScopedQuery(query, wire, scope, isIdle))
      return undefined
    }
    return new Promise((resolve, reject) => {
      query.callback = (error, result) => (error ? reject(error) : resolve(result))
      run(new ScopedQuery(query, wire, scope, isIdle))
    })
  }
}

/** The same connection, on which no statement has a name. */
function nameless(connection: Wire): Wire {
  return Object.create(connection, {
    parsedStatements: { get: () => ({}) },
    submittedNamedStatements: { get: () => ({}) },
    parse: {
      value: ({ text, types }: { text: string; types?: unknown }) =>
        connection.parse({ name: '', text, types }),
    },
    bind: { value: (call: object) => connection.bind({ ...call, statement: '' }) },
    query: {
      // A text without parameters, as one statement of the transaction that the settings have begun.
      value: (text: string) => {
        connection.parse({ name: '', text })
        connection.bind({})
        connection.describe({ type: 'P', name: '' })
        connection.execute({ portal: '' })
        connection.sync()
      },
    },
  })
}

interface Scope {
  /** The settings of a statement that is a transaction by itself. */
  readonly alone: string | undefined
  /** What takes the place of BEGIN. */
  readonly begin: string
}

class ScopedQuery implements Runnable {
  callback: ((error: unknown, result?: unknown) => void) | undefined
  readonly query_timeout?: number
  readonly #inner: Runnable
  readonly #wire: Wire
  readonly #scope: Scope
  readonly #isIdle: () => boolean
  /** How many answers come before that of the query itself. */
  #before = 0
  #isAnswered = false

  constructor(inner: Runnable, wire: Wire, scope: Scope, isIdle: () => boolean) {
    this.#inner = inner
    this.#wire = wire
    this.#scope = scope
    this.#isIdle = isIdle
    if (inner.query_timeout !== undefined) this.query_timeout = inner.query_timeout
    this.callback = inner.callback
    // pg replaces the callback of what it runs, in order to watch the time.
    inner.callback = (error, result) => this.callback?.(error, result)
  }

  submit(connection: pg.Connection): Error | undefined {
    const real = connection as unknown as Wire
    const isIdle = this.#isIdle()
    if (isIdle && this.#inner.text === 'BEGIN') {
      real.query(this.#scope.begin)
      return
    }
    const settings = isIdle ? this.#scope.alone : undefined
    real.stream.cork()
    if (settings !== undefined) {
      this.#before = 1
      real.parse({ name: '', text: settings })
      real.bind({})
      real.execute({ portal: '' })
    }
    const problem = this.#inner.submit(this.#wire as unknown as pg.Connection) as Error | null | undefined
    // The query could not be sent, and the server waits for the end of what was.
    if (problem && settings !== undefined) real.sync()
    real.stream.uncork()
    return problem ?? undefined
  }

  handleDataRow(message: unknown): void {
    if (this.#before === 0) this.#inner.handleDataRow(message)
  }

  handleRowDescription(message: unknown): void {
    this.#inner.handleRowDescription(message)
  }

  handleCommandComplete(message: unknown, connection: unknown): void {
    if (this.#before > 0) this.#before -= 1
    // The answers to the settings after BEGIN are ignored.
    else if (!this.#isAnswered) {
      this.#isAnswered = true
      this.#inner.handleCommandComplete(message, connection)
    }
  }

  handleEmptyQuery(connection: unknown): void {
    this.#inner.handleEmptyQuery(connection)
  }
  handlePortalSuspended(connection: unknown): void {
    this.#inner.handlePortalSuspended(connection)
  }
  handleReadyForQuery(connection: unknown): void {
    this.#inner.handleReadyForQuery(connection)
  }
  handleError(error: unknown, connection: unknown): void {
    this.#inner.handleError(error, connection)
  }
  handleCopyInResponse(connection: unknown): void {
    this.#inner.handleCopyInResponse(connection)
  }
  handleCopyData(message: unknown, connection: unknown): void {
    this.#inner.handleCopyData(message, connection)
  }
}

/** A text as a literal of SQL. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}
