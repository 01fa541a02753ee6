import { describe, expect, test } from 'vitest'
import { plainText } from '../../src/lib/plain-text.ts'

/** The one rule for text that a stranger chose, in the log, in the ledger and in tables. */

describe('is replaced', () => {
  test.each([
    ['ESC', '\u001b'],
    ['a line break', '\n'],
    ['DEL', '\u007f'],
    ['CSI of C1', '\u009b'],
    ['NEL', '\u0085'],
    ['a line separator', '\u2028'],
    ['an override to the left', '\u202e'],
    ['an isolate', '\u2066'],
    ['the Arabic letter mark', '\u061c'],
    ['a zero-width space', '\u200b'],
    ['a zero-width joiner', '\u200d'],
    ['a byte order mark', '\ufeff'],
    ['a soft hyphen', '\u00ad'],
    ['a Hangul filler', '\u3164'],
    ['a tag', '\u{e0041}'],
    ['a variation selector that hides data', '\u{e0100}'],
    ['an annotation', '\ufff9'],
    ['half of a pair', '\ud83d'],
  ])('%s', (_name, character) => {
    expect(plainText(`a${character}b`)).toBe('a\ufffdb')
  })
})

test.each(['billing', 'Größe', '注文', 'שלום', 'العدد\u0600', '😀', '❤\ufe0f'])('stays: %s', (text) => {
  expect(plainText(text)).toBe(text)
})
