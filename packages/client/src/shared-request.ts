/**
 * One request for several callers. Each can leave without the others; when the last one leaves, the request is given up,
 * unless it is wanted for its own sake.
 */
export class SharedRequest<Result> {
  readonly #controller = new AbortController()
  readonly #result: Promise<Result>
  readonly #outlivesCallers: boolean
  #callers = 0

  constructor(
    work: (signal: AbortSignal) => Promise<Result>,
    options: { readonly outlivesCallers: boolean },
  ) {
    this.#outlivesCallers = options.outlivesCallers
    this.#result = work(this.#controller.signal)
    // Callers hear of it. If there are none any more, nobody needs to.
    this.#result.catch(() => undefined)
  }

  /** Resolves when it is over, well or not. */
  get settled(): Promise<void> {
    const nothing = (): void => undefined
    return this.#result.then(nothing, nothing)
  }

  /** Whether it was given up. Nobody can join it any more. */
  get isGivenUp(): boolean {
    return this.#controller.signal.aborted
  }

  async join(signal: AbortSignal | undefined): Promise<Result> {
    signal?.throwIfAborted()
    this.#callers += 1
    try {
      return await (signal === undefined ? this.#result : this.#untilAborted(signal))
    } finally {
      this.#callers -= 1
      if (this.#callers === 0 && !this.#outlivesCallers) this.#controller.abort()
    }
  }

  async #untilAborted(signal: AbortSignal): Promise<Result> {
    let stop = (): void => undefined
    const aborted = new Promise<never>((_resolve, reject) => {
      stop = () => reject(signal.reason)
      signal.addEventListener('abort', stop, { once: true })
    })
    try {
      return await Promise.race([this.#result, aborted])
    } finally {
      signal.removeEventListener('abort', stop)
    }
  }
}
