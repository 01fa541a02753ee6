/** Handles a reader of standard output or error that goes away, for example `| head`. */
let closed = false
let watched = false

/** Must be called before anything is printed. */
export function watchOutput(): void {
  if (watched) return
  watched = true
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    closed = true
  })
  // If standard error has no reader either, the error cannot be reported anywhere.
  process.stderr.on('error', () => {})
}

/** Whether the reader has gone away. It is known one turn of the event loop after the write. */
export function isOutputClosed(): boolean {
  return closed
}
