import { expect, test } from 'vitest'
import { Opened } from '../../src/lib/opened.ts'

test('everything is closed once, the last one first, also after one that does not close', async () => {
  const opened = new Opened()
  const closed: string[] = []
  opened.onClose(() => closed.push('first'))
  opened.onClose(async () => {
    await new Promise((resolve) => setImmediate(resolve))
    closed.push('second')
    throw new Error('second does not close')
  })
  opened.onClose(() => {
    closed.push('third')
    throw new Error('third does not close')
  })
  await expect(opened.close()).rejects.toThrow('third does not close')
  expect(closed).toEqual(['third', 'second', 'first'])
  await opened.close()
  expect(closed).toHaveLength(3)
})
