/**
 * Text that a stranger chose is shown to people: in the log, in the ledger and in tables. This is the one rule for
 * what may stand in it.
 *
 * Characters that forge a line, colour a terminal, turn the text around or cannot be seen: controls (U+009B begins a
 * terminal sequence as ESC does), line and paragraph separators, bidirectional and zero-width marks, everything else
 * that is shown as nothing, and halves of surrogate pairs. Only the two marks that choose between a text and an emoji
 * may stay.
 */
export const treacherous =
  /(?![\ufe0e\ufe0f])[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Bidi_Control}\p{Default_Ignorable_Code_Point}\ufff9-\ufffb]/gu

const printableAscii = /^[\x20-\x7e]*$/

/** The text with each such character replaced, safe to show on a terminal. The same text if there is none. */
export function plainText(text: string): string {
  return printableAscii.test(text) ? text : text.replace(treacherous, '\ufffd')
}
