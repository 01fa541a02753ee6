import type { ChildProcess, Serializable } from 'node:child_process'

/**
 * The connection that the primary is passing to a worker. Node passes one connection at a time to a worker
 * and waits for its answer. If the worker dies before it answers, Node keeps the connection open, and the
 * client waits for as long as the primary runs. Node has no event for this, so we watch the messages between
 * primary and worker.
 */
export interface Handover {
  /**
   * Closes the connection that a worker did not accept before it ended. Call it after the worker's last
   * message.
   */
  close(): void
}

export function watchHandover(worker: ChildProcess): Handover {
  const send = worker.send.bind(worker)
  let connection: { close(): void } | undefined
  worker.send = (message: Serializable, ...more: unknown[]): boolean => {
    const [handle] = more
    if (typeof handle === 'object' && handle !== null && 'close' in handle)
      connection = handle as { close(): void }
    return Reflect.apply(send, worker, [message, ...more])
  }
  // This listener must run before Node's own one, which passes the next connection.
  worker.prependListener('internalMessage', (answer: { readonly ack?: number }) => {
    if (answer.ack !== undefined) connection = undefined
  })
  return { close: () => connection?.close() }
}
