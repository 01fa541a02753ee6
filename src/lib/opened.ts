/**
 * What was opened one after another, and is closed in the opposite order: whatever others still need is closed after them.
 * Also when something that comes later could not be opened.
 */
export class Opened {
  readonly #closers: (() => unknown)[] = []

  /** Called right after something was opened. A promise that `close` returns is waited for. */
  onClose(close: () => unknown): void {
    this.#closers.push(close)
  }

  /** Closes all of it, also what comes after something that does not close. @throws what that one threw. */
  async close(): Promise<void> {
    const errors: unknown[] = []
    for (const close of this.#closers.splice(0).reverse()) {
      try {
        await close()
      } catch (error) {
        errors.push(error)
      }
    }
    if (errors.length > 0) throw errors[0]
  }
}
