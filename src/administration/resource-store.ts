import type { Queryable } from '../database/open.ts'
import { AdministrationError } from '../errors.ts'
import { nearest } from '../lib/suggest.ts'
import type { ResourceDefinition } from './definition.ts'
import { refusalOf } from './mistake.ts'
import { parseResource } from './parse.ts'
import type { ResourceStep } from './plan.ts'
import { recordPlan } from './plan-records.ts'
import { lockRows, readResources } from './plan-store.ts'
import { changeSealed, type RegistryContext } from './sealing.ts'
import { gives } from './trust-plan.ts'
import { readIssuers } from './trust-store.ts'
import { carriedOut } from './update.ts'

/** One resource: created, changed and deleted, under the rules of a file. */

/** A resource in the words of a file. What is left out gets its default. */
export interface ResourceWords {
  readonly audience: string
  readonly name?: string
  readonly scopes?: readonly string[]
  readonly token_lifetime?: unknown
  readonly signing_algorithm?: unknown
  readonly token_typ?: unknown
  readonly external?: unknown
  readonly subject_form?: unknown
  readonly claims?: Readonly<Record<string, unknown>>
}

/** A resource that there is, in the same words: what has a default is said. */
export type StoredResourceWords = ResourceWords & Required<Omit<ResourceWords, 'subject_form' | 'claims'>>

/** How many clients a refusal names. */
const holdersShownMax = 10

/** @throws AdministrationError if there is one already, or if it would break a rule. */
export async function createResource(context: RegistryContext, words: ResourceWords): Promise<ResourceStep> {
  return await write(context, words.audience, (stored) => {
    if (stored !== undefined) throw new AdministrationError('resource_exists', { audience: words.audience })
    return words
  })
}

/** @throws AdministrationError if there is no such resource, or if it would break a rule. */
export async function updateResource(
  context: RegistryContext,
  audience: string,
  change: (words: StoredResourceWords) => ResourceWords,
): Promise<ResourceStep> {
  return await write(context, audience, (stored, audiences) => {
    if (stored === undefined) throw noSuchResource(audience, audiences)
    return change(wordsOf(stored))
  })
}

async function write(
  context: RegistryContext,
  audience: string,
  change: (stored: ResourceDefinition | undefined, audiences: Iterable<string>) => ResourceWords,
): Promise<ResourceStep> {
  const now = context.clock.nowMilliseconds()
  return await changeSealed(context, async (transaction, records, seals) => {
    await lockRows(transaction, { resources: [{ audience }], clients: [] })
    const stored = await readResources(transaction)
    await seals.read(transaction, { audiences: [audience] })
    const before = stored.get(audience)
    const believed = before === undefined ? undefined : seals.believedResource(before)
    const { value, mistakes } = parseResource(change(believed, stored.keys()))
    if (value === undefined) throw refusalOf(mistakes)
    const plan = await carriedOut(transaction, { resources: [value], clients: [] }, now, seals)
    recordPlan(records, plan, new Map())
    return plan.resources[0] as ResourceStep
  })
}

/** @throws AdministrationError if there is no such resource, or while a client has access to it or a rule gives it. */
export async function deleteResource(context: RegistryContext, audience: string): Promise<void> {
  await changeSealed(context, async (transaction, records, seals) => {
    await lockRows(transaction, { resources: [{ audience }], clients: [] })
    const stored = await readResources(transaction)
    if (!stored.has(audience)) throw noSuchResource(audience, stored.keys())
    const count = await transaction.access.count({ where: { audience } })
    const issuers = await readIssuers(transaction)
    const rules = [...issuers.values()]
      .flatMap((issuer) => issuer.rules)
      .filter((rule) => gives(rule, audience))
    if (count > 0 || rules.length > 0) {
      const rows = await transaction.access.findMany({
        where: { audience },
        orderBy: { clientId: 'asc' },
        take: holdersShownMax,
      })
      const holders = rows.map(({ clientId }) => clientId)
      const named = rules.map(({ rule }) => rule)
      throw new AdministrationError('resource_in_use', { audience, holders, count, rules: named })
    }
    await transaction.resource.deleteMany({ where: { audience } })
    await seals.read(transaction, { audiences: [audience] })
    seals.removeResource(audience)
    records.add('resource', 'deleted', { audience })
  })
}

/** The scopes of a resource. @throws AdministrationError if there is no such resource. */
export async function scopesOfResource(database: Queryable, audience: string): Promise<readonly string[]> {
  const stored = await readResources(database)
  const resource = stored.get(audience)
  if (resource === undefined) throw noSuchResource(audience, stored.keys())
  return resource.scopes
}

function noSuchResource(audience: string, audiences: Iterable<string>): AdministrationError {
  return new AdministrationError('resource_not_found', { audience, nearest: nearest(audience, audiences) })
}

function wordsOf(resource: ResourceDefinition): StoredResourceWords {
  const { audience, name, scopes, subjectForm, claims } = resource
  return {
    audience,
    name,
    scopes,
    token_lifetime: resource.tokenLifetimeSeconds,
    signing_algorithm: resource.signingAlgorithm,
    token_typ: resource.tokenTyp,
    external: resource.external === true,
    ...(subjectForm === undefined ? {} : { subject_form: subjectForm }),
    ...(claims === undefined ? {} : { claims }),
  }
}
