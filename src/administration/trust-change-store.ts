import type { Queryable } from '../database/open.ts'
import { AdministrationError } from '../errors.ts'
import { nearest } from '../lib/suggest.ts'
import type { TrustedIssuer } from '../registry/issuer.ts'
import { refusalOf } from './mistake.ts'
import { parseIssuer } from './parse.ts'
import { recordPlan } from './plan-records.ts'
import { changeSealed, type RegistryContext } from './sealing.ts'
import { issuerWords } from './trust-definition.ts'
import type { IssuerStep } from './trust-plan.ts'
import { lockIssuers, readIssuers } from './trust-store.ts'
import { carriedOut } from './update.ts'

/** Trusted issuers and their rules, changed one at a time. A registration may name many instead (plan.ts). */

export type IssuerWords = Readonly<Record<string, unknown>> & {
  readonly rules: readonly Readonly<Record<string, unknown>>[]
}

/**
 * Reads an issuer, lets the caller say it otherwise in the words of files, and carries out the difference.
 * @param change is given undefined if the issuer is not trusted yet.
 * @throws AdministrationError if it would break a rule. The paths of its mistakes begin with a field of the issuer, or with
 * `trust` and 0.
 */
async function changeIssuer(
  context: RegistryContext,
  issuer: string,
  change: (words: IssuerWords | undefined) => IssuerWords,
): Promise<IssuerStep> {
  const now = context.clock.nowMilliseconds()
  return await changeSealed(context, async (transaction, records, seals) => {
    await lockIssuers(transaction, [issuer])
    const stored = (await readIssuers(transaction)).get(issuer)
    await seals.read(transaction, { issuers: [issuer] })
    const believed = stored === undefined ? undefined : seals.believedIssuer(stored)
    const { value, mistakes } = parseIssuer(change(believed && issuerWords(believed)))
    if (value === undefined) throw refusalOf(mistakes)
    const registration = { resources: [], clients: [], issuers: [value] }
    const plan = await carriedOut(transaction, registration, now, seals)
    recordPlan(records, plan, new Map())
    return plan.issuers[0] as IssuerStep
  })
}

/**
 * Adds a rule, and trusts its issuer if that is new.
 * @param keys how the keys of the issuer are had, in the words of files. Undefined: as they are; of a new issuer, by discovery.
 * @param owner who answers for the issuer. Undefined: as it is.
 * @throws AdministrationError `rule_exists`, or if it would break a rule. Paths as in `changeIssuer`.
 */
export async function addRule(
  context: RegistryContext,
  issuer: string,
  keys: Readonly<Record<string, unknown>> | undefined,
  rule: Readonly<Record<string, unknown>> & { readonly rule: string },
  owner?: string,
): Promise<IssuerStep> {
  return await changeIssuer(context, issuer, (words = { issuer, rules: [] }) => {
    if (words.rules.some((each) => each['rule'] === rule.rule)) {
      throw new AdministrationError('rule_exists', { rule: rule.rule, issuer })
    }
    const {
      jwks_uri: _uri,
      spiffe_bundle: _bundle,
      jwks: _jwks,
      client_metadata: _documents,
      ...others
    } = words
    const found = keys === undefined ? words : { ...others, ...keys }
    return { ...found, ...(owner === undefined ? {} : { owner }), rules: [...words.rules, rule] }
  })
}

/** Stops to believe an issuer, or begins again. In force when this returns. @returns whether that is anything new. */
export async function setIssuerStatus(
  context: RegistryContext,
  issuer: string,
  status: 'active' | 'disabled',
): Promise<boolean> {
  return await changeSealed(context, async (transaction, records, seals) => {
    const stored = (await readIssuers(transaction)).get(issuer)
    if (stored === undefined) throw await noSuchIssuer(transaction, issuer)
    const { count } = await transaction.trustedIssuer.updateMany({
      where: { issuer, status: { not: status } },
      data: { status },
    })
    await seals.read(transaction, { issuers: [issuer] })
    const isNew =
      status === 'active'
        ? seals.setIssuer({ ...seals.believedIssuer(stored), status })
        : seals.takeFromIssuer(stored, (before) => ({ ...before, status }))
    const isChanged = count === 1 || isNew
    const outcome = status === 'active' ? 'enabled' : 'disabled'
    if (isChanged) records.add('issuer', outcome, { credentialId: issuer })
    return isChanged
  })
}

/**
 * Takes a rule away, in force when this returns. Tokens that it gave live until they expire.
 * @throws AdministrationError if there is no such rule.
 */
export async function removeRule(context: RegistryContext, rule: string): Promise<{ issuer: string }> {
  return await changeSealed(context, async (transaction, records, seals) => {
    const row = await transaction.trustRule.findUnique({ where: { rule } })
    if (row === null) throw await noSuchRule(transaction, rule)
    const { issuer } = row
    await transaction.trustRule.deleteMany({ where: { rule } })
    records.add('trust_rule', 'deleted', { credentialId: rule, clientId: row.clientId ?? undefined })
    await seals.read(transaction, { issuers: [issuer] })
    const stored = (await readIssuers(transaction)).get(issuer)
    const without = (before: TrustedIssuer) => ({
      ...before,
      rules: before.rules.filter((each) => each.rule !== rule),
    })
    if (stored !== undefined) seals.takeFromIssuer(stored, without)
    return { issuer }
  })
}

/** Takes an issuer away with all its rules. @throws AdministrationError if it is not trusted. */
export async function removeIssuer(
  context: RegistryContext,
  issuer: string,
): Promise<{ rules: readonly string[] }> {
  return await changeSealed(context, async (transaction, records, seals) => {
    const rows = await transaction.trustRule.findMany({ where: { issuer }, orderBy: { rule: 'asc' } })
    await transaction.trustRule.deleteMany({ where: { issuer } })
    const { count } = await transaction.trustedIssuer.deleteMany({ where: { issuer } })
    if (count === 0) throw await noSuchIssuer(transaction, issuer)
    for (const { rule } of rows) records.add('trust_rule', 'deleted', { credentialId: rule })
    records.add('issuer', 'deleted', { credentialId: issuer })
    await seals.read(transaction, { issuers: [issuer] })
    seals.removeIssuer(issuer)
    return { rules: rows.map(({ rule }) => rule) }
  })
}

async function noSuchIssuer(database: Queryable, issuer: string): Promise<AdministrationError> {
  const rows = await database.trustedIssuer.findMany({ select: { issuer: true } })
  const known = nearest(
    issuer,
    rows.map((row) => row.issuer),
  )
  return new AdministrationError('issuer_not_found', { issuer, nearest: known })
}

async function noSuchRule(database: Queryable, rule: string): Promise<AdministrationError> {
  const rows = await database.trustRule.findMany({ select: { rule: true } })
  return new AdministrationError('rule_not_found', {
    rule,
    nearest: nearest(
      rule,
      rows.map((row) => row.rule),
    ),
  })
}
