import type { ClaimedText } from '../lib/claimed-text.ts'
import type { JudgedRule } from './trust-rules.ts'

/** Characters of a claim that the record of a refusal shows. */
const shownCharactersMax = 128

/** What the record of a refusal says of the rule that came closest. What a stranger chose is cleaned. */
export function closestRule(
  claimedText: Pick<ClaimedText, 'keep'>,
  closest: JudgedRule | undefined,
): Readonly<Record<string, string>> | undefined {
  if (closest === undefined) return undefined
  const [first] = closest.misfits
  if (first === undefined) return undefined
  const { rule } = closest.rule
  if (first.kind !== 'claim') return { closest_rule: rule, differs: first.kind }
  const { found, condition } = first
  if (found === undefined) return { closest_rule: rule, differs: `${condition.claim} is missing` }
  const text = typeof found === 'string' ? found : JSON.stringify(found)
  const shown = claimedText.keep(text.slice(0, shownCharactersMax), text.length <= shownCharactersMax)
  return { closest_rule: rule, differs: condition.claim, found: shown }
}
