/** What a record says of the rule that came closest. */
import { expect, test } from 'vitest'
import { closestRule } from '../../src/authentication/closest-rule.ts'
import type { Misfit } from '../../src/authentication/trust-rules.ts'
import type { TrustRule } from '../../src/registry/issuer.ts'

const claim = (found: unknown): Misfit => ({ kind: 'claim', condition: { claim: 'ref', equals: 'x' }, found })
/** Shows what was cleaned, and whether it may be shown at all. */
const claimedText = { keep: (text: string, isPossible: boolean) => `${isPossible}: ${text}` }
const told = (...misfits: Misfit[]) =>
  closestRule(claimedText, { rule: { rule: 'deploy' } as TrustRule, misfits })

const whole = 'w'.repeat(128)

test.each<[title: string, first: Misfit, said: object]>([
  ['a claim that is another', claim('main'), { differs: 'ref', found: 'true: main' }],
  ['a claim that is no text', claim([7, true]), { differs: 'ref', found: 'true: [7,true]' }],
  ['a claim that is there and empty', claim(''), { differs: 'ref', found: 'true: ' }],
  ['a claim that is null', claim(null), { differs: 'ref', found: 'true: null' }],
  ['a claim that is not there', claim(undefined), { differs: 'ref is missing' }],
  ['as long a claim as is shown', claim(whole), { differs: 'ref', found: `true: ${whole}` }],
  ['a longer one, as far as it is shown', claim(`${whole}x`), { differs: 'ref', found: `false: ${whole}` }],
  ['another audience', { kind: 'audience' }, { differs: 'audience' }],
  ['an old assertion', { kind: 'too_old', maxAgeSeconds: 60 }, { differs: 'too_old' }],
])('%s is told, with the name of the rule', (_title, first, said) => {
  expect(told(first)).toEqual({ closest_rule: 'deploy', ...said })
})

test('of several differences the first is told', () => {
  expect(told({ kind: 'audience' }, claim('main'))).toEqual({ closest_rule: 'deploy', differs: 'audience' })
})

test('without a rule, or with one that fits, there is nothing to tell', () => {
  expect(closestRule(claimedText, undefined)).toBeUndefined()
  expect(told()).toBeUndefined()
})
