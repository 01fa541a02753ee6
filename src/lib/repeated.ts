/** Work that is done again and again beside the requests, and never twice at the same time. It keeps no process alive. */
export interface Repeated {
  /** Does it now, if it is not under way. Resolves when it is done. */
  now(): Promise<void>
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

  async function run(): Promise<void> {
    try {
      await work()
    } catch (error) {
      onFault(error)
    }
  }

  const now = (): Promise<void> => {
    running ??= run().finally(() => {
      running = undefined
    })
    return running
  }

  const timer = setInterval(now, everyMilliseconds).unref()
  return {
    now,
    async idle() {
      await running
    },
    async close() {
      clearInterval(timer)
      await running
    },
  }
}
