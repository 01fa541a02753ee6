import { spawn, spawnSync } from 'node:child_process'
import { closeSync, symlinkSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { FileTooLarge, fileProblem, openToRead, readBounded, readOpen } from '../../src/lib/bounded-file.ts'
import { scratch } from '../support/scratch.ts'

test('a file is read up to its limit, and not one byte over', ({ onTestFinished }) => {
  const files = scratch()
  onTestFinished(() => files.remove())
  const path = files.path('file')
  for (const length of [0, 1, 65_536, 100_000]) {
    writeFileSync(path, 'x'.repeat(length))
    expect(readBounded(path, 100_000).toString()).toBe('x'.repeat(length))
  }
  expect(() => readBounded(path, 99_999)).toThrow(FileTooLarge)
})

test('what has no size, or no end, is read in the same way', ({ onTestFinished }) => {
  const files = scratch()
  onTestFinished(() => files.remove())
  expect(() => readBounded('/dev/zero', 1_000_000)).toThrow('more than 1000000 bytes')
  const program = `
    import { readBounded } from ${JSON.stringify(new URL('../../src/lib/bounded-file.ts', import.meta.url).href)}
    process.stdout.write(String(readBounded('/dev/stdin', 1_000_000).length))`
  const line = 'head -c 200000 /dev/zero | "$0" --input-type=module --eval "$1"'
  const { stdout } = spawnSync('sh', ['-c', line, process.execPath, program], { encoding: 'utf8' })
  expect(stdout).toBe('200000')
})

test('a pipe is waited for, and given up if nobody writes into it', ({ onTestFinished }) => {
  const files = scratch()
  onTestFinished(() => files.remove())
  const path = files.path('pipe')
  expect(spawnSync('sh', ['-c', 'mkfifo "$0"', path]).status).toBe(0)
  const file = openToRead(path)
  expect(() => readOpen(file, 10, 1)).toThrow('it is a pipe, and nobody writes into it')
  closeSync(file)
  const writer = spawn('sh', ['-c', 'printf one > "$0"', path])
  onTestFinished(() => void writer.kill())
  expect(readBounded(path, 10).toString()).toBe('one')
})

test('why a file cannot be read is said in words', ({ onTestFinished }) => {
  const files = scratch()
  onTestFinished(() => files.remove())
  writeFileSync(files.path('file'), '')
  symlinkSync('circle', files.path('circle'))
  for (const [path, words] of [
    [files.path('none'), 'there is no such file'],
    [files.path('.'), 'it is a directory'],
    [files.path('file/below'), 'a part of its path is a file and not a directory'],
    [files.path('circle'), 'its symbolic links lead in a circle'],
    [files.path('n'.repeat(300)), 'its name is too long'],
    ['a\0b', 'its name has a zero byte'],
  ] as const) {
    let error: unknown
    try {
      readBounded(path, 10)
    } catch (reason) {
      error = reason
    }
    expect([path, fileProblem(error)]).toEqual([path, words])
  }
  expect(fileProblem(new Error('something else'))).toBe('something else')
})
