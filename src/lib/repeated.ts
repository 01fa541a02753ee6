/** Work that is done again and again beside the requests, and never twice at the same time. It keeps no process alive. */
export interface Repeated {
  /** Does it now, if it is not under way. Resolves when it is done. */
  now(): Promise<void>
  /** The same, and once more after it if it is under way: that may have begun before the reason to do it. */
  again(): Promise<void>
  /** Resolves when it is not under way. */
  idle(): Promise<void>
  /** The same, and it does not begin any more. */
  close(): Promise<void>
}

/** @param onFault told why the work failed. It is tried again at its next time. */
export function repeat(
  everyMilliseconds: number,
  work: () => Promise<unknown>,
  onFault: (error: unknown) => void,
): Repeated {
  let running: Promise<void> | undefined
  let next: Promise<void> | undefined
  let isClosed = false

  async function run(): Promise<void> {
    try {
      await work()
    } catch (error) {
      onFault(error)
    }
  }

  const now = async (): Promise<void> => {
    if (isClosed) return
    running ??= run().finally(() => {
      running = undefined
    })
    await running
  }

  async function again(): Promise<void> {
    if (running === undefined) return await now()
    next ??= running.then(() => {
      next = undefined
      return now()
    })
    await next
  }

  const timer = setInterval(now, everyMilliseconds).unref()
  return {
    now,
    again,
    async idle() {
      await running
    },
    async close() {
      isClosed = true
      clearInterval(timer)
      await running
    },
  }
}
