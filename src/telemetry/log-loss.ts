import type { EventEmitter } from 'node:events'
import { fileProblem } from '../lib/bounded-file.ts'

let failing = false

/** Whether the log of this process cannot be written: its disk is full, or its reader has gone. */
export function isLogFailing(): boolean {
  return failing
}

/** What writes the log: it emits `error` for a write that failed, `drop` for a line that is lost, and `write` for success. */
export interface LogWriter extends EventEmitter {
  write(line: string): unknown
}

/**
 * A log that cannot be written cannot say so. Standard error does, once, and /readyz does (health.ts). When it can be written
 * again, it says how many lines it lost.
 * @param tell writes to standard error.
 */
export function watchLoss(
  output: LogWriter,
  tell: (sentence: string) => void = (sentence) => void process.stderr.write(sentence),
): void {
  let lost = 0
  // Without this listener, a failed write would throw an error into the code that logs.
  output.on('error', (error: unknown) => {
    if (failing) return
    failing = true
    tell(
      `mintmark: cannot write the log to standard output: ${fileProblem(error)}. The service goes on, and the ledger has its ` +
        'records.\n',
    )
  })
  output.on('drop', () => {
    lost += 1
  })
  output.on('write', () => {
    if (!failing) return
    failing = false
    const message = 'the log could not be written for a while'
    const line = {
      level: 'warn',
      time: new Date().toISOString(),
      service: 'mintmark',
      event: 'log_lines_lost',
    }
    const count = lost
    lost = 0
    // Not within the write that is being finished.
    setImmediate(() => output.write(`${JSON.stringify({ ...line, count, message })}\n`))
  })
}
