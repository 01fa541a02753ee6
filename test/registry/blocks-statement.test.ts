import { expect, test } from 'vitest'
import { believeBlocks, blocksStatement, readBlocksStatement } from '../../src/registry/blocks-statement.ts'

test('the same blocks have the same text, in whatever order and however often they are named', () => {
  expect(blocksStatement(['b', 'a', 'b'])).toEqual(blocksStatement(['a', 'b']))
  expect(readBlocksStatement(blocksStatement(['b', 'a']))).toEqual(['a', 'b'])
  expect(readBlocksStatement(blocksStatement([]))).toEqual([])
  expect(readBlocksStatement(undefined)).toBeUndefined()
})

test('what a row or the statement blocks is blocked; a row that is missing is named', () => {
  const { blocked, unblocked } = believeBlocks(['by-hand', 'kept'], blocksStatement(['deleted', 'kept']))
  expect([...blocked].toSorted()).toEqual(['by-hand', 'deleted', 'kept'])
  expect(unblocked).toEqual(['deleted'])
  expect(believeBlocks(['kept'], undefined)).toEqual({ blocked: new Set(['kept']), unblocked: [] })
})
