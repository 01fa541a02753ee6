import { actor } from '../ledger/change-store.ts'
import type { AuditRecord, OutcomeOf, RecordType } from '../ledger/record.ts'
import type { FieldChange, Plan } from './plan.ts'

/**
 * What the ledger says about changes of the registry: who made them, on which machine, which fields, and
 * what those held before and after. A secret is named by its id; neither it nor its hash is ever in here.
 */
export class ChangeRecords {
  readonly #records: AuditRecord[] = []
  readonly #time: number
  readonly #actor = actor()

  /** @param time of the change, in milliseconds since 1970. */
  constructor(time: number) {
    this.#time = time
  }

  get all(): readonly AuditRecord[] {
    return this.#records
  }

  add<Type extends RecordType>(
    type: Type,
    outcome: OutcomeOf<Type>,
    fields: Pick<AuditRecord, 'clientId' | 'audience' | 'scope' | 'credentialId' | 'kid'>,
    changes: readonly FieldChange[] = [],
    more: Readonly<Record<string, unknown>> = {},
  ): void {
    const described = Object.fromEntries(changes.map(({ field, from, to }) => [field, { from, to }]))
    const detail = { ...this.#actor, ...(changes.length === 0 ? {} : { changes: described }), ...more }
    this.#records.push({ time: this.#time, type, outcome, ...fields, detail })
  }

  /** @param secretIds of new clients, by client id. */
  addPlan(plan: Plan, secretIds: ReadonlyMap<string, string>): void {
    for (const { definition, status, changes } of plan.resources) {
      if (status !== 'unchanged') this.add('resource', status, { audience: definition.audience }, changes)
    }
    for (const step of plan.clients) {
      const { clientId } = step.definition
      if (step.status === 'created') {
        this.add('client', 'created', { clientId })
        this.add('secret', 'added', { clientId, credentialId: secretIds.get(clientId) })
      }
      const fields = step.changes.filter(({ field }) => field !== 'status')
      if (fields.length > 0) this.add('client', 'changed', { clientId }, fields)
      if (
        fields.length < step.changes.length ||
        (step.status === 'created' && step.finalStatus === 'disabled')
      ) {
        this.add('client', step.finalStatus === 'disabled' ? 'disabled' : 'enabled', { clientId })
      }
      for (const { access, outcome, changes } of step.access) {
        const { audience, scopes } = access
        this.add('access', outcome, { clientId, audience, scope: scopes.join(' ') }, changes)
      }
    }
  }
}
