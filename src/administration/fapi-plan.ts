import { isFapiAlgorithm } from '../authentication/fapi.ts'
import type { TrustRule } from '../registry/issuer.ts'
import type { ClientDefinition, ResourceDefinition, StoredClient } from './definition.ts'
import type { Mistake } from './mistake.ts'
import type { OtherGrant } from './plan.ts'
import type { TrustState } from './trust-plan.ts'

/**
 * Finds what contradicts the FAPI 2.0 Security Profile (authentication/fapi.ts) in what is already registered. The
 * schema (client-registration.ts) finds what contradicts it in the client itself. Pure.
 */

/** @param rules of issuers that are not planned. */
export function clientFapiMistakes(
  { clientId, access, keys }: ClientDefinition,
  index: number,
  stored: StoredClient | undefined,
  resources: ReadonlyMap<string, ResourceDefinition>,
  rules: readonly TrustRule[],
): Mistake[] {
  const path = ['clients', index, 'fapi']
  const mistakes = access.flatMap(({ audience }, at): Mistake[] => {
    const algorithm = resources.get(audience)?.signingAlgorithm
    if (algorithm === undefined || isFapiAlgorithm(algorithm)) return []
    return [{ code: 'fapi_resource_algorithm', path: ['clients', index, 'access', at, 'audience'], audience }]
  })
  const count = stored?.validSecrets ?? 0
  if (count > 0) mistakes.push({ code: 'fapi_secrets', path, clientId, count })
  const kept = keys === undefined ? (stored?.keys ?? []) : []
  const thumbprints = kept
    .filter(({ state, algorithm }) => state === 'valid' && !isFapiAlgorithm(algorithm))
    .map(({ thumbprint }) => thumbprint)
  if (thumbprints.length > 0) mistakes.push({ code: 'fapi_stored_keys', path, clientId, thumbprints })
  const wide = rules
    .filter((rule) => rule.clientId === clientId && rule.assertionAudience !== 'issuer')
    .map(({ rule }) => `the rule ${rule}`)
  if (wide.length > 0) mistakes.push({ code: 'fapi_rules', path, rules: wide })
  return mistakes
}

/** A resource cannot change to an algorithm that a client which may call it must not get. */
export function resourceFapiMistakes(
  { audience, signingAlgorithm }: ResourceDefinition,
  index: number,
  otherGrants: readonly OtherGrant[],
): Mistake[] {
  if (isFapiAlgorithm(signingAlgorithm)) return []
  const holders = otherGrants
    .filter((grant) => grant.audience === audience && grant.isFapi === true)
    .map(({ clientId }) => clientId)
  if (holders.length === 0) return []
  return [{ code: 'resource_algorithm_fapi', path: ['resources', index, 'signing_algorithm'], holders }]
}

export function rulesOf({ issuers }: TrustState, planned: ReadonlySet<string>): readonly TrustRule[] {
  return [...issuers.values()].flatMap(({ issuer, rules }) => (planned.has(issuer) ? [] : rules))
}
