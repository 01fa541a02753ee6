import type { ChildProcess, Serializable } from 'node:child_process'

/**
 * The connection that is on its way to a worker. Node hands a worker one at a time and waits for its answer; of
 * a worker that dies before it answers nobody ever hears, and the caller would wait for as long as the primary
 * runs. Node has no name for this moment, so its messages are watched: they are the only sign of it.
 */
export interface Handover {
  /** Closes what the worker, which has ended and from which no answer is left to come, did not take. */
  close(): void
}

export function watchHandover(worker: ChildProcess): Handover {
  const send = worker.send.bind(worker)
  let underWay: { close(): void } | undefined
  worker.send = (message: Serializable, ...more: unknown[]): boolean => {
    const [handle] = more
    if (typeof handle === 'object' && handle !== null && 'close' in handle)
      underWay = handle as { close(): void }
    return Reflect.apply(send, worker, [message, ...more])
  }
  // Before Node's own listener, which goes on to the next connection.
  worker.prependListener('internalMessage', (answer: { readonly ack?: number }) => {
    if (answer.ack !== undefined) underWay = undefined
  })
  return { close: () => underWay?.close() }
}
