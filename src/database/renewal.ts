import type pg from 'pg'

/**
 * Replaces all connections of some pools: idle ones at once, and those in use when they are given back. What is
 * under way on them goes on.
 */
export class Renewal {
  readonly #idle = new Map<pg.PoolClient, pg.Pool>()
  readonly #old = new WeakSet<pg.PoolClient>()
  readonly #current = new Set<pg.PoolClient>()
  readonly #cause = new Error('the connection is replaced')

  constructor(pools: readonly pg.Pool[]) {
    for (const pool of pools) {
      pool.on('connect', (client) => this.#current.add(client))
      pool.on('acquire', (client) => this.#idle.delete(client))
      pool.on('remove', (client) => this.#forget(client))
      pool.on('release', (error, client) => {
        // The pool drops a connection that somebody has begun to close.
        if (this.#old.has(client)) void (client as unknown as pg.Client).end()
        else if (!error) this.#idle.set(client, pool)
      })
    }
  }

  renew(): void {
    for (const client of this.#current) this.#old.add(client)
    for (const client of [...this.#idle.keys()]) {
      this.#forget(client)
      // To the pool it is like a connection that broke while it was idle.
      client.emit('error', this.#cause)
    }
  }

  /** Whether an error of a pool says no more than that a connection was replaced. */
  causes(error: Error): boolean {
    return error === this.#cause
  }

  #forget(client: pg.PoolClient): void {
    this.#idle.delete(client)
    this.#current.delete(client)
  }
}
