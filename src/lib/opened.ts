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

  async close(): Promise<void> {
    for (const close of this.#closers.splice(0).reverse()) await close()
  }
}
