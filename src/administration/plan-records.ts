import type { ChangeRecords } from '../ledger/change-records.ts'
import { fieldsOfResource, type Plan } from './plan.ts'
import { keyWords, ruleWords } from './trust-definition.ts'
import { deletedRules, type IssuerStep } from './trust-plan.ts'

/**
 * What the ledger says about a plan that was carried out.
 * @param secretIds of new clients, by client id.
 */
export function recordPlan(records: ChangeRecords, plan: Plan, secretIds: ReadonlyMap<string, string>): void {
  for (const { definition, status, changes } of plan.resources) {
    if (status === 'unchanged') continue
    const told = status === 'created' ? { given: fieldsOfResource(definition) } : {}
    records.add('resource', status, { audience: definition.audience }, changes, told)
  }
  for (const step of plan.clients) {
    const { clientId } = step.definition
    if (step.status === 'created') {
      records.add('client', 'created', { clientId })
      const credentialId = secretIds.get(clientId)
      if (credentialId !== undefined) records.add('secret', 'added', { clientId, credentialId })
    }
    const fields = step.changes.filter(({ field }) => field !== 'status')
    if (fields.length > 0) records.add('client', 'changed', { clientId }, fields)
    if (
      fields.length < step.changes.length ||
      (step.status === 'created' && step.finalStatus === 'disabled')
    ) {
      records.add('client', step.finalStatus === 'disabled' ? 'disabled' : 'enabled', { clientId })
    }
    for (const { key, outcome, changes } of step.keys) {
      records.add('client_key', outcome, { clientId, credentialId: key.thumbprint }, changes)
    }
    for (const { access, outcome, changes } of step.access) {
      const { audience, scopes } = access
      records.add('access', outcome, { clientId, audience, scope: scopes.join(' ') }, changes)
    }
  }
  // As they are written: a rule that moves from an issuer to another one is deleted first.
  for (const { issuer, rule, clientId } of deletedRules(plan.issuers))
    records.add('trust_rule', 'deleted', { credentialId: rule, clientId }, [], { issuer })
  for (const step of plan.issuers) recordIssuer(records, step)
}

function recordIssuer(records: ChangeRecords, step: IssuerStep): void {
  const { definition, status, finalStatus, changes, rules } = step
  const credentialId = definition.issuer
  const fields = changes.filter(({ field }) => field !== 'status')
  if (status === 'created') records.add('issuer', 'created', { credentialId }, [], keyWords(definition.keys))
  if (fields.length > 0) records.add('issuer', 'changed', { credentialId }, fields)
  if (fields.length < changes.length || (status === 'created' && finalStatus === 'disabled')) {
    records.add('issuer', finalStatus === 'disabled' ? 'disabled' : 'enabled', { credentialId })
  }
  for (const { rule, outcome, changes: ofRule } of rules) {
    if (outcome === 'deleted') continue
    const { rule: name, clientId } = rule
    const told =
      outcome === 'created' ? { issuer: credentialId, given: ruleWords(rule) } : { issuer: credentialId }
    records.add('trust_rule', outcome, { credentialId: name, clientId }, ofRule, told)
  }
}
