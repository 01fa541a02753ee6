import { createInterface } from 'node:readline'
import { type Readable, Transform } from 'node:stream'

/** A line of what the ledger exports has some thousand bytes. A list of everything may be in one. */
const lineBytesMax = 256 * 1024 * 1024

const newline = 0x0a

const utf8Mark = [0xef, 0xbb, 0xbf]

/** What a file begins with that is kept in another form than text in UTF-8. */
const otherForms: readonly (readonly [bytes: readonly number[], problem: string])[] = [
  [[0xff, 0xfe], 'it is UTF-16 text, as PowerShell writes it; save it as UTF-8'],
  [[0xfe, 0xff], 'it is UTF-16 text; save it as UTF-8'],
  [[0x1f, 0x8b], 'it is compressed with gzip; unpack it first'],
  [[0x28, 0xb5, 0x2f, 0xfd], 'it is compressed with zstd; unpack it first'],
  [[0xfd, 0x37, 0x7a, 0x58, 0x5a], 'it is compressed with xz; unpack it first'],
  [[0x50, 0x4b, 0x03, 0x04], 'it is a zip archive; unpack it first'],
]

const beginsWith = (data: Buffer, bytes: readonly number[]): boolean =>
  bytes.every((byte, at) => data[at] === byte)

const formProblem = (data: Buffer): string | undefined =>
  otherForms.find(([bytes]) => beginsWith(data, bytes))?.[1]

/**
 * The lines of a stream that nobody promised anything about: a disk or another device has one that never ends.
 * @throws what reading fails with, or an error that says in which line there is too much.
 */
export async function* boundedLines(stream: Readable, bytesMax = lineBytesMax): AsyncGenerator<string> {
  let line = 1
  let bytes = 0
  let isFirst = true
  const bound = new Transform({
    transform(chunk: Buffer | string, _encoding, done) {
      let data = typeof chunk === 'string' ? Buffer.from(chunk) : chunk
      if (isFirst) {
        const problem = formProblem(data)
        if (problem !== undefined) return done(new Error(problem))
        if (beginsWith(data, utf8Mark)) data = data.subarray(utf8Mark.length)
        isFirst = false
      }
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
