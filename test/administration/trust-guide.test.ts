/** The recipes of docs/guides/trust.md are seed files, and the tokens that the platforms really send fit them. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { parseRegistryFile } from '../../src/administration/registry-file.ts'
import { readFederatedText } from '../../src/authentication/federated-assertion.ts'
import { factsOf } from '../../src/authentication/federated-jwt.ts'
import { judgeAssertion } from '../../src/authentication/trust-rules.ts'
import type { TrustedIssuer } from '../../src/registry/issuer.ts'
import { github, gitlab, kubernetes, spire, tokenOf } from '../support/platforms.ts'

const guide = readFileSync('docs/guides/trust.md', 'utf8')
const recipes = new Map(
  [...guide.matchAll(/<!-- a test reads this: (\w+) -->\n```yaml\n([\s\S]*?)```/g)].map(
    ([, name = '', text = '']) => [name, text],
  ),
)
const platforms = { kubernetes, github, gitlab, spiffe: spire, demands: spire }
const uid = '5d0c8c0e-7a3c-4b5c-9d61-0c9a8a4c1f11'

test('every platform has its recipe', () => {
  expect([...recipes.keys()]).toEqual([...Object.keys(platforms), 'documents'])
})

test('documents of clients', () => {
  const { issuers = [] } = parseRegistryFile(recipes.get('documents') ?? '', 'trust.md')
  expect(issuers).toMatchObject([
    {
      keys: { kind: 'client_metadata' },
      owner: 'partners@example.com',
      rules: [{ conditions: [{ claim: 'sub', prefix: 'https://agents.example.com/' }] }],
    },
  ])
})

test.each(Object.entries(platforms))('%s', (name, platform) => {
  const { n = '' } = kubernetes.key.publicJwk
  const text = (recipes.get(name) ?? '').replace('kid: "…", n: "…"', `kid: "a", n: "${n}"`)
  const { issuers = [] } = parseRegistryFile(text, 'trust.md')
  const [issuer] = issuers
  expect(issuers).toHaveLength(1)
  const trusted = { ...issuer, status: 'active' } as TrustedIssuer
  const own = 'https://tokens.example.com'
  const now = 1_800_000_000
  const claims = name === 'kubernetes' ? { 'kubernetes.io': { serviceaccount: { uid } } } : {}
  const judged = (changes: Readonly<Record<string, unknown>>) => {
    const { assertion } = readFederatedText(
      tokenOf(platform, own, { claims: { ...claims, ...changes } }, now),
    )
    return judgeAssertion(trusted, factsOf(assertion as NonNullable<typeof assertion>, own), undefined, now)
  }
  expect(judged({})).toMatchObject({ rules: [{ rule: trusted.rules[0]?.rule }] })
  const near = { sub: 'spiffe://example.org/ns/other/sa/api', repository_id: '75', project_id: '21' }
  expect(judged(near)).toMatchObject({ refusal: 'assertion_no_rule_fits' })
})
