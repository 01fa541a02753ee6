import type { RegisteredClient } from '../registry/client.ts'
import { subjectOfAssertion, type TrustRule } from '../registry/issuer.ts'
import { keySourceId } from './issuer-keys.ts'
import type { Caller, CallerRefusal, CallerView, Proof, ProvenFederated } from './method.ts'
import { type AssertionFacts, confirmationIn, judgeAssertion, type RuleVerdict } from './trust-rules.ts'

/** Whom an assertion of another issuer stands for, by the registry at one version. Pure. */

/** A caller for each rule that fits now. */
export function callersOf(
  { federated }: Proof,
  view: CallerView,
  now: number,
): readonly Caller[] | CallerRefusal {
  const issuer = federated && view.trust?.issuers.get(federated.facts.issuer)
  if (federated === undefined || issuer?.status !== 'active') return { refusal: 'assertion_issuer_untrusted' }
  // The signature was right for keys that no longer count. The caller tries again with the new ones.
  if (keySourceId(issuer) !== federated.keySource) return { refusal: 'registry_unsettled' }
  const verdict = judgeAssertion(issuer, federated.facts, federated.namedClientId, now)
  if ('refusal' in verdict) return { refusal: verdict.refusal }
  return callersBy(verdict, federated, view)
}

function callersBy(
  { clientId, rules }: Extract<RuleVerdict, { clientId: string }>,
  federated: ProvenFederated,
  { client, trust }: CallerView,
): readonly Caller[] | CallerRefusal {
  // The rules now stand for another client, which was not read. The caller tries again.
  if (clientId !== federated.clientId) return { refusal: 'registry_unsettled' }
  if (trust?.blocked.has(clientId) === true) return { refusal: 'workload_blocked' }
  const { expiresAt } = federated.facts
  return rules.map((rule) => ({
    client: demanding(
      rule.clientId === undefined ? workloadBy(rule, clientId) : narrowed(client, rule),
      rule,
    ),
    rule: {
      ...demandsOf(rule, federated.facts),
      name: rule.rule,
      tokenLifetimeSeconds: rule.tokenLifetimeSeconds,
      tokensEndBy: Math.floor(expiresAt),
      isSpent: rule.assertionUse === 'once',
    },
  }))
}

/** Its tokens are bound to what the rule asks for, in addition to what the client itself asks for. */
export function demanding(
  client: RegisteredClient | undefined,
  { requiredCertificate, requireDpop }: TrustRule,
): RegisteredClient | undefined {
  if (client === undefined || (requiredCertificate === undefined && requireDpop === undefined)) return client
  return {
    ...client,
    certificateBoundTokens: client.certificateBoundTokens === true || requiredCertificate !== undefined,
    dpopBoundTokens: client.dpopBoundTokens || requireDpop !== undefined,
  }
}

/** What the certificate and the key must be. A thief of an assertion has neither. */
export function demandsOf(
  { requiredCertificate: asked, requireDpop }: TrustRule,
  facts: Pick<AssertionFacts, 'claims' | 'subject'>,
) {
  const { jkt, certificateThumbprint } = confirmationIn(facts.claims)
  const value = asked?.value === subjectOfAssertion ? facts.subject : asked?.value
  return {
    ...(asked === undefined || value === undefined
      ? {}
      : { requiredCertificate: { ...asked, value }, confirmedCertificate: certificateThumbprint }),
    ...(requireDpop === undefined ? {} : { confirmedKey: jkt }),
  }
}

/** A workload is what a rule says of it. */
export function workloadBy({ access = [] }: TrustRule, clientId: string): RegisteredClient {
  return {
    clientId,
    status: 'active',
    tokenEndpointAuthMethod: undefined,
    allowedNetworks: [],
    expiresAt: undefined,
    secrets: new Map(),
    keys: [],
    assertionAudience: 'issuer',
    dpopBoundTokens: false,
    access: new Map(access.map(({ audience, scopes }) => [audience, scopes])),
  }
}

/** A client may have what it and the rule both have. */
function narrowed(client: RegisteredClient | undefined, { access }: TrustRule): RegisteredClient | undefined {
  if (client === undefined || access === undefined) return client
  const both = access.flatMap(({ audience, scopes }) => {
    const granted = client.access.get(audience)
    const common = granted?.filter((scope) => scopes.includes(scope)) ?? []
    // Access that was registered without scopes differs from access that has lost its scopes.
    const isLost = granted === undefined || (common.length === 0 && granted.length > 0 && scopes.length > 0)
    return isLost ? [] : [[audience, scopes.length === 0 ? [] : common] as const]
  })
  return { ...client, access: new Map(both) }
}
