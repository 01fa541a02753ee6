/** The end of a message about a mistyped word: the known word that is nearest to it, or nothing if none is near. */
export function didYouMean(word: string, known: Iterable<string>): string {
  const best = nearest(word, known)
  return best === undefined ? '' : ` Did you mean "${best}"?`
}

/** This does not depend on the length of the word: most of a mistyped address is right. */
const wrongLettersMax = 3

/** The known word that a mistyped one is most like, if it is like one at all and not like several. */
export function nearest(word: string, known: Iterable<string>): string | undefined {
  let best: string | undefined
  // A third of the letters may be wrong. With more wrong letters another word is probably meant.
  let bestDistance = Math.min(Math.floor(Math.max(word.length, 3) / 3), wrongLettersMax) + 1
  for (const candidate of known) {
    if (Math.abs(candidate.length - word.length) > bestDistance) continue
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase())
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    } else if (distance === bestDistance && best !== undefined && candidate !== best) {
      // Each of them may be meant.
      best = undefined
    }
  }
  return best
}

/** How many letters must be inserted, deleted, replaced or swapped with the next one. Only for short words. */
function editDistance(first: string, second: string): number {
  let before: number[] = []
  let row = Array.from({ length: second.length + 1 }, (_, index) => index)
  for (let i = 0; i < first.length; i += 1) {
    const next = [i + 1]
    for (let j = 0; j < second.length; j += 1) {
      const replaced = (row[j] ?? 0) + (first[i] === second[j] ? 0 : 1)
      let least = Math.min(replaced, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1)
      const swapped = i > 0 && j > 0 && first[i] === second[j - 1] && first[i - 1] === second[j]
      if (swapped) least = Math.min(least, (before[j - 1] ?? 0) + 1)
      next.push(least)
    }
    before = row
    row = next
  }
  return row.at(-1) ?? 0
}
