/** Standard output and error of a process whose reader may go away (`| head`). */
let closed = false
let watched = false

/** Called before anything is printed. */
export function watchOutput(): void {
  if (watched) return
  watched = true
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    closed = true
  })
  // Where nobody reads our complaints either, there is nothing left to do about them.
  process.stderr.on('error', () => {})
}

/** Whether the reader has gone. Only known after a turn of the loop. */
export function isOutputClosed(): boolean {
  return closed
}
