import { contradictions } from '../registry/fixed-claims.ts'
import { subjectOf } from '../registry/subject.ts'
import type { ClientDefinition, ResourceDefinition } from './definition.ts'
import type { Mistake, Path } from './mistake.ts'
import type { Holder } from './plan.ts'

/**
 * Whether a client and a resource can have a token together: their claims must not contradict each other, and the form of
 * the subject must fit. A request is refused for the same reasons (token/decide.ts), where rows or rules made it so. Pure.
 */

/** @param at where the client stands. */
export function unfitResources(
  { clientId, access, claims }: Pick<ClientDefinition, 'clientId' | 'access' | 'claims'>,
  at: Path,
  resources: ReadonlyMap<string, ResourceDefinition>,
): Mistake[] {
  return access.flatMap(({ audience }, index): Mistake[] => {
    const resource = resources.get(audience)
    if (resource === undefined) return []
    const { subjectForm: form } = resource
    const unfit: Mistake[] =
      form === undefined || subjectOf(form, clientId) !== undefined
        ? []
        : [{ code: 'subject_unfit', path: [...at, 'access', index], form, clientIds: [clientId] }]
    const others = [`the resource ${audience}`]
    const contradicting = contradictions(claims, resource.claims).map(
      (claim): Mistake => ({ code: 'claims_contradict', path: [...at, 'claims', claim], claim, others }),
    )
    return [...unfit, ...contradicting]
  })
}

/** @param at where the resource stands. */
export function unfitHolders(
  { audience, subjectForm: form, claims }: ResourceDefinition,
  at: Path,
  holders: readonly Holder[],
): Mistake[] {
  const ofResource = holders.filter((holder) => holder.audience === audience)
  const clientIds =
    form === undefined
      ? []
      : ofResource.map(({ clientId }) => clientId).filter((id) => subjectOf(form, id) === undefined)
  const unfit: Mistake[] =
    clientIds.length === 0
      ? []
      : [{ code: 'subject_unfit', path: [...at, 'subject_form'], form: form ?? '', clientIds }]
  const contradicting = Object.keys(claims ?? {}).flatMap((claim): Mistake[] => {
    const others = ofResource
      .filter((holder) => contradictions(claims, holder.claims).includes(claim))
      .map(({ clientId }) => `the client ${clientId}`)
    return others.length === 0
      ? []
      : [{ code: 'claims_contradict', path: [...at, 'claims', claim], claim, others }]
  })
  return [...unfit, ...contradicting]
}
