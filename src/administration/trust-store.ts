import type { Queryable } from '../database/open.ts'
import type { CertificateFieldName } from '../registry/client.ts'
import {
  conditionWords,
  type IssuerRow,
  type RuleRow,
  type TrustedIssuer,
  type TrustRule,
  toIssuer,
} from '../registry/issuer.ts'
import type { IssuerDefinition } from './definition.ts'
import { deletedRules, type IssuerStep } from './trust-plan.ts'

/** Trusted issuers read from the database, and written by a plan. */

/** All of them, with their rules. Two statements: a transaction runs one at a time. */
export async function readIssuers(database: Queryable): Promise<Map<string, TrustedIssuer>> {
  const issuers = await database.trustedIssuer.findMany({ orderBy: { issuer: 'asc' } })
  const rows = issuers.length === 0 ? [] : await database.trustRule.findMany({ orderBy: { rule: 'asc' } })
  const rules = Map.groupBy(rows, ({ issuer }) => issuer)
  return new Map(
    issuers.map(({ issuer, status, keySource, keysUrl, jwks, owner }) => {
      const row = {
        issuer,
        status: status as IssuerRow['status'],
        source: keySource as IssuerRow['source'],
        url: keysUrl,
        jwks,
        owner,
        rules: (rules.get(issuer) ?? []).map(toRuleRow),
      }
      return [issuer, toIssuer(row)]
    }),
  )
}

type StoredRule = Awaited<ReturnType<Queryable['trustRule']['findMany']>>[number]

function toRuleRow(row: StoredRule): RuleRow {
  return {
    rule: row.rule,
    conditions: row.conditions,
    client_id: row.clientId,
    access: row.access,
    assertion_audience: row.assertionAudience as RuleRow['assertion_audience'],
    max_age: row.assertionMaxAgeSeconds,
    use: row.assertionUse as RuleRow['use'],
    lifetime: row.tokenLifetimeSeconds,
    allow_default: row.allowDefaultServiceAccount,
    any_subject: row.dangerouslyAnySubject,
    required_certificate: [row.requiredField as CertificateFieldName | null, row.requiredValue],
    require_dpop: row.requireDpop,
  }
}

/** Those of some clients that exist and are not deleted. */
export async function livingClients(
  database: Queryable,
  clientIds: readonly string[],
): Promise<ReadonlySet<string>> {
  if (clientIds.length === 0) return new Set()
  const rows = await database.client.findMany({
    where: { clientId: { in: [...clientIds] }, status: { not: 'deleted' } },
    select: { clientId: true },
  })
  return new Set(rows.map(({ clientId }) => clientId))
}

/** Those of some clients that are held to the FAPI profile. */
export async function fapiClients(
  database: Queryable,
  clientIds: readonly string[],
): Promise<ReadonlySet<string>> {
  if (clientIds.length === 0) return new Set()
  const rows = await database.client.findMany({
    where: { clientId: { in: [...clientIds] }, fapi: true },
    select: { clientId: true },
  })
  return new Set(rows.map(({ clientId }) => clientId))
}

/** Locks the rows that are about to be compared and written, for the UPDATE that somebody types meanwhile. */
export async function lockIssuers(transaction: Queryable, issuers: readonly string[]): Promise<void> {
  if (issuers.length === 0) return
  await transaction.$queryRaw`SELECT issuer FROM trusted_issuer WHERE issuer = ANY(${issuers}::text[]) FOR UPDATE`
  await transaction.$queryRaw`SELECT rule FROM trust_rule WHERE issuer = ANY(${issuers}::text[]) FOR UPDATE`
}

/**
 * Writes what a plan changes of issuers. Their clients and resources are there already. Rules are deleted first: one that
 * moves from an issuer to another one keeps its name.
 */
export async function writeIssuers(transaction: Queryable, steps: readonly IssuerStep[]): Promise<void> {
  const deleted = deletedRules(steps).map(({ rule }) => rule)
  if (deleted.length > 0) await transaction.trustRule.deleteMany({ where: { rule: { in: deleted } } })
  for (const { definition, status, finalStatus, changes, rules } of steps) {
    if (status === 'created' || changes.length > 0) await writeIssuer(transaction, definition, finalStatus)
    for (const { rule, outcome } of rules)
      if (outcome !== 'deleted') await writeRule(transaction, definition.issuer, rule)
  }
}

async function writeIssuer(
  transaction: Queryable,
  { issuer, keys, owner }: IssuerDefinition,
  status: string,
): Promise<void> {
  const url = 'url' in keys ? keys.url : null
  const jwks = keys.kind === 'jwks' ? JSON.stringify(keys.keys) : null
  await transaction.$executeRaw`
    INSERT INTO trusted_issuer (issuer, status, key_source, keys_url, jwks, owner)
    VALUES (${issuer}, ${status}, ${keys.kind}, ${url}, ${jwks}::jsonb, ${owner ?? null}::text)
    ON CONFLICT (issuer) DO UPDATE SET status = excluded.status, key_source = excluded.key_source,
      keys_url = excluded.keys_url, jwks = excluded.jwks, owner = excluded.owner, updated_at = now()`
}

async function writeRule(transaction: Queryable, issuer: string, rule: TrustRule): Promise<void> {
  const conditions = JSON.stringify(rule.conditions.map(conditionWords))
  const access = rule.access === undefined ? null : JSON.stringify(rule.access)
  await transaction.$executeRaw`
    INSERT INTO trust_rule (rule, issuer, conditions, client_id, access, assertion_audience, assertion_max_age_seconds,
      assertion_use, token_lifetime_seconds, allow_default_service_account, dangerously_any_subject,
      required_certificate_field, required_certificate_value, require_dpop)
    VALUES (${rule.rule}, ${issuer}, ${conditions}::jsonb, ${rule.clientId ?? null}, ${access}::jsonb,
      ${rule.assertionAudience}, ${rule.assertionMaxAgeSeconds}::int, ${rule.assertionUse},
      ${rule.tokenLifetimeSeconds ?? null}::int, ${rule.allowDefaultServiceAccount}, ${rule.dangerouslyAnySubject},
      ${rule.requiredCertificate?.name ?? null}, ${rule.requiredCertificate?.value ?? null}, ${rule.requireDpop ?? null})
    ON CONFLICT (rule) DO UPDATE SET issuer = excluded.issuer, conditions = excluded.conditions,
      client_id = excluded.client_id, access = excluded.access, assertion_audience = excluded.assertion_audience,
      assertion_max_age_seconds = excluded.assertion_max_age_seconds, assertion_use = excluded.assertion_use,
      token_lifetime_seconds = excluded.token_lifetime_seconds,
      allow_default_service_account = excluded.allow_default_service_account,
      dangerously_any_subject = excluded.dangerously_any_subject,
      required_certificate_field = excluded.required_certificate_field,
      required_certificate_value = excluded.required_certificate_value, require_dpop = excluded.require_dpop, updated_at = now()`
}
