/** A log that cannot be written is noticed by somebody who reads no log. */
import { EventEmitter } from 'node:events'
import { expect, test } from 'vitest'
import { isLogFailing, watchLoss } from '../../src/telemetry/log-loss.ts'

class Writer extends EventEmitter {
  readonly lines: string[] = []

  write(line: string): void {
    this.lines.push(line)
  }
}

test('it is told once, in the health, and with the number of lost lines when it can be written again', async () => {
  const output = new Writer()
  const said: string[] = []
  watchLoss(output, (sentence) => said.push(sentence))
  output.emit('write', 1)
  expect(isLogFailing()).toBe(false)
  for (let count = 0; count < 3; count += 1) {
    output.emit('error', Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' }))
    output.emit('drop', 'a line')
  }
  expect(isLogFailing()).toBe(true)
  expect(said).toEqual([expect.stringContaining('standard output: the disk is full. The service goes on')])
  expect(output.lines).toEqual([])
  output.emit('write', 1)
  expect(isLogFailing()).toBe(false)
  await new Promise((resolve) => setImmediate(resolve))
  expect(output.lines.map((line) => JSON.parse(line))).toEqual([
    expect.objectContaining({ event: 'log_lines_lost', count: 3 }),
  ])
})
