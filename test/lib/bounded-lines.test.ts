/** A file that is named by mistake may be a disk: it is given up, and not read into memory. */
import { PassThrough, Readable } from 'node:stream'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { boundedLines } from '../../src/lib/bounded-lines.ts'

async function linesOf(stream: Readable, bytesMax: number): Promise<string[]> {
  const lines: string[] = []
  for await (const line of boundedLines(stream, bytesMax)) lines.push(line)
  return lines
}

test('lines up to the bound are read, wherever the chunks end', async () => {
  const chunks = ['ab', 'cd\r\nef', 'gh', '\n\ni'].map((text) => Buffer.from(text))
  expect(await linesOf(Readable.from(chunks), 5)).toEqual(['abcd', 'efgh', '', 'i'])
})

test('a line that does not end is given up, and so is its source', async () => {
  const endless = new Readable({
    read() {
      this.push(Buffer.alloc(64, 'x'))
    },
  })
  await expect(linesOf(endless, 1_000)).rejects.toThrow('line 1 has more than 1000 bytes')
  expect(endless.destroyed).toBe(true)
})

test('a source that fails fails the lines', async () => {
  const broken = new PassThrough()
  broken.write('a\n')
  setImmediate(() => broken.destroy(new Error('the device failed')))
  await expect(linesOf(broken, 10)).rejects.toThrow('the device failed')
})

test('a mark of UTF-8 is no part of the first line', async () => {
  expect(await linesOf(Readable.from([Buffer.from('\ufeffa\n\ufeffb')]), 10)).toEqual(['a', '\ufeffb'])
})

test.each([
  [Buffer.from('\ufeffa\n', 'utf16le'), 'it is UTF-16 text'],
  [gzipSync('a\n'), 'it is compressed with gzip; unpack it first'],
  [zstdCompressSync('a\n'), 'it is compressed with zstd; unpack it first'],
])('another form than text is said as what it is', async (bytes, problem) => {
  await expect(linesOf(Readable.from([bytes]), 1_000)).rejects.toThrow(problem)
})
