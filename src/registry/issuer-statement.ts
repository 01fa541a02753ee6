import { conditionWords, type TrustedIssuer, type TrustRule } from './issuer.ts'
import type { Statement } from './seal-tree.ts'
import type { Difference } from './statement.ts'

/**
 * What was registered about an issuer by a holder of the key-encryption key, with all its rules, and what its rows may
 * make of it (statement.ts says the same of clients).
 *
 * A rule counts as it was registered or not at all, because nothing always says which of two rules admits less. So a
 * hand-written DELETE and a disabled issuer count at once, and any other change by hand takes the rule away.
 */
export function issuerStatement({ issuer, status, keys, rules }: TrustedIssuer): Statement {
  const texts = rules.map(ruleText).toSorted((one, other) => (String(one[0]) < String(other[0]) ? -1 : 1))
  return ['issuer', issuer, status, keysText(keys), texts]
}

export interface BelievedIssuer {
  /** Undefined where nothing of it counts. */
  readonly issuer: TrustedIssuer | undefined
  /** What the rows would give. */
  readonly differences: readonly Difference[]
}

export function believeIssuer(row: TrustedIssuer, statement: Statement | undefined): BelievedIssuer {
  if (statement === undefined) {
    // An issuer that gives nothing needs no statement.
    return { issuer: undefined, differences: row.status === 'disabled' ? [] : ['unregistered'] }
  }
  const [, , status, keys, texts] = statement as unknown as IssuerText
  const registered = new Set(texts.map(sorted))
  const differences: Difference[] = []
  const rules = row.rules.filter((rule) => {
    const isRegistered = registered.has(sorted(ruleText(rule)))
    if (!isRegistered) differences.push(`trust_rule ${rule.rule}`)
    return isRegistered
  })
  if (sorted(keysText(row.keys)) !== sorted(keys)) {
    return { issuer: undefined, differences: ['keys', ...differences] }
  }
  const isEnabledByHand = row.status === 'active' && status === 'disabled'
  if (isEnabledByHand) differences.unshift('status')
  return { issuer: { ...row, status: isEnabledByHand ? status : row.status, rules }, differences }
}

type IssuerText = [string, string, TrustedIssuer['status'], readonly unknown[], (readonly unknown[])[]]

function keysText(keys: TrustedIssuer['keys']): readonly unknown[] {
  if (keys.kind === 'discovery' || keys.kind === 'client_metadata') return [keys.kind]
  return keys.kind === 'jwks' ? [keys.kind, keys.keys] : [keys.kind, keys.url]
}

function ruleText(rule: TrustRule): readonly unknown[] {
  return [
    rule.rule,
    rule.conditions.map(conditionWords),
    rule.clientId ?? null,
    rule.access?.map(({ audience, scopes }) => [audience, scopes]) ?? null,
    rule.assertionAudience,
    rule.assertionMaxAgeSeconds,
    rule.assertionUse,
    rule.tokenLifetimeSeconds ?? null,
    rule.allowDefaultServiceAccount,
    rule.dangerouslyAnySubject,
    ...demandsText(rule),
  ]
}

/** Nothing for a rule that asks for no more than the assertion, so that its text stays what it was. */
function demandsText({ requiredCertificate: asked, requireDpop }: TrustRule): readonly unknown[] {
  if (asked === undefined && requireDpop === undefined) return []
  return [asked?.name ?? null, asked?.value ?? null, requireDpop ?? null]
}

/** The database puts the members of an object into an order of its own. */
function sorted(value: unknown): string {
  return JSON.stringify(value, (_name, inner: unknown) => {
    if (typeof inner !== 'object' || inner === null || Array.isArray(inner)) return inner
    return Object.fromEntries(Object.entries(inner).sort(([one], [other]) => (one < other ? -1 : 1)))
  })
}
