import { claimsText } from '../registry/fixed-claims.ts'
import { type CameBack, claimsBeyond, isTexts, type Question } from './came-back-state.ts'
import type { fieldsOfResource } from './plan.ts'

/** What came back of resources (came-back.ts). Pure. */

/** The fields of a resource, as the records of changes name them. */
export const resourceFields = [
  'scopes',
  'token_lifetime',
  'signing_algorithm',
  'token_typ',
  'external',
  'subject_form',
  'claims',
] as const satisfies readonly (keyof ReturnType<typeof fieldsOfResource>)[]

export const resourceJudges = {
  existence({ names: [audience = ''], record, value, state }: Question): CameBack[] {
    if (value !== 'deleted' || !state.resources.has(audience)) return []
    return [{ kind: 'resource_undeleted', audience, takenAt: record.time }]
  },

  resource({ names: [audience = '', field = ''], record, value, state }: Question): CameBack[] {
    const resource = state.resources.get(audience)
    if (resource === undefined) return []
    const common = { audience, takenAt: record.time }
    if (field === 'scopes' && isTexts(value)) {
      const surplus = resource.scopes.filter((scope) => !value.includes(scope))
      return surplus.length === 0 ? [] : [{ ...common, kind: 'resource_scopes_back', surplus }]
    }
    const setTo = [String(value)]
    if (field === 'token_lifetime' && typeof value === 'number' && resource.tokenLifetimeSeconds > value)
      return [{ ...common, kind: 'resource_lifetime_longer', setTo }]
    if (field === 'signing_algorithm' && typeof value === 'string' && resource.signingAlgorithm !== value)
      return [{ ...common, kind: 'resource_changed', setTo, detail: field }]
    if (field === 'token_typ' && typeof value === 'string' && resource.tokenTyp !== value)
      return [{ ...common, kind: 'resource_changed', setTo, detail: field }]
    if (field === 'external' && typeof value === 'boolean' && (resource.external === true) !== value)
      return [{ ...common, kind: 'resource_changed', setTo: [value ? 'yes' : 'no'], detail: field }]
    if (field === 'subject_form' && (resource.subjectForm ?? null) !== value)
      return [{ ...common, kind: 'resource_changed', setTo: value === null ? [] : setTo, detail: field }]
    if (field === 'claims' && (claimsText(resource.claims) ?? null) !== value) {
      const surplus = claimsBeyond(resource.claims, value)
      return [{ ...common, kind: 'resource_claims_changed', setTo: value === null ? [] : setTo, surplus }]
    }
    return []
  },
} as const
