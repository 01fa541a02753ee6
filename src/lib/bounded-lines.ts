import { createInterface } from 'node:readline'
import { type Readable, Transform } from 'node:stream'

/** A line of what the ledger exports has some thousand bytes. A list of everything may be in one. */
const lineBytesMax = 256 * 1024 * 1024

const newline = 0x0a

/**
 * The lines of a stream that nobody promised anything about: a disk or another device has one that never ends.
 * @throws what reading fails with, or an error that says in which line there is too much.
 */
export async function* boundedLines(stream: Readable, bytesMax = lineBytesMax): AsyncGenerator<string> {
  let line = 1
  let bytes = 0
  const bound = new Transform({
    transform(chunk: Buffer | string, _encoding, done) {
      const data = typeof chunk === 'string' ? Buffer.from(chunk) : chunk
      for (let start = 0; ; ) {
        const end = data.indexOf(newline, start)
        bytes += (end === -1 ? data.length : end) - start
        if (bytes > bytesMax) return done(new Error(`line ${line} has more than ${bytesMax} bytes`))
        if (end === -1) break
        bytes = 0
        line += 1
        start = end + 1
      }
      done(null, data)
    },
  })
  stream.once('error', (error) => bound.destroy(error))
  const lines = createInterface({ input: stream.pipe(bound), crlfDelay: Number.POSITIVE_INFINITY })
  // A stream that fails only ends the lines.
  let failure: unknown
  bound.once('error', (error) => {
    failure = error
    stream.destroy()
    lines.close()
  })
  try {
    yield* lines
    if (failure !== undefined) throw failure
  } finally {
    stream.destroy()
  }
}
