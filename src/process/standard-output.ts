/** Handles a reader of standard output or error that goes away, for example `| head`, and a disk that is full. */
let closed = false
let watched = false

/** Must be called before anything is printed. */
export function watchOutput(): void {
  if (watched) return
  watched = true
  // Why is known to who wrote (cli/terminal/output.ts).
  process.stdout.on('error', () => {
    closed = true
  })
  // If standard error has no reader either, the error cannot be reported anywhere.
  process.stderr.on('error', () => {})
}

/** Whether nothing can be written any more. It is known one turn of the event loop after the write. */
export function isOutputClosed(): boolean {
  return closed
}
