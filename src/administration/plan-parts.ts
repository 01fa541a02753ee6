import type { FieldChange } from '../ledger/change-records.ts'
import { nearest } from '../lib/suggest.ts'
import type { AccessDefinition, ResourceDefinition } from './definition.ts'
import type { Mistake, Path } from './mistake.ts'

/** What the parts of a plan have in common (plan.ts, trust-plan.ts). Pure. */

export type Status = 'created' | 'changed' | 'unchanged'

/** @param at where the list of access stands. */
export function accessMistakes(
  access: readonly AccessDefinition[],
  at: Path,
  resources: ReadonlyMap<string, ResourceDefinition>,
): Mistake[] {
  return access.flatMap(({ audience, scopes }, index): Mistake[] => {
    const path = [...at, 'access', index]
    const resource = resources.get(audience)
    if (resource === undefined) {
      const known = nearest(audience, resources.keys())
      return [{ code: 'resource_unknown', path: [...path, 'audience'], audience, nearest: known }]
    }
    const { scopes: known } = resource
    return scopes.flatMap((scope, place): Mistake[] => {
      if (known.includes(scope)) return []
      return [{ code: 'scope_unknown', path: [...path, 'scopes', place], scope, audience, known }]
    })
  })
}

export function fieldChanges(...fields: readonly (readonly [string, unknown, unknown])[]): FieldChange[] {
  return fields
    .filter(([, from, to]) => JSON.stringify(from) !== JSON.stringify(to))
    .map(([field, from, to]) => ({ field, from, to }))
}
