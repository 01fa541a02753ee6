import type { AuditRecord, OutcomeOf, RecordType } from './record.ts'

/** Who makes a change, as its records name it. The code that starts the change gives it. It is never looked up. */
export interface Actor {
  /** A user of the operating system, an administrator, or `mintmark` for what the service does by itself. */
  readonly by: string
  /** The machine from which it was done. */
  readonly host?: string
}

/** A field that changes; both values as they are shown and recorded. None of them is ever a secret. */
export interface FieldChange {
  readonly field: string
  readonly from: unknown
  readonly to: unknown
}

/**
 * What the ledger says about one change of the registry: who made it, which fields, and what those held before
 * and after. A secret is named by its id; neither it nor its hash is ever in here.
 */
export class ChangeRecords {
  readonly #records: AuditRecord[] = []
  readonly #time: number
  readonly #actor: Actor

  /** @param time of the change, in milliseconds since 1970. */
  constructor(time: number, actor: Actor) {
    this.#time = time
    this.#actor = actor
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

  /** Adds to the detail of the first record what is about the whole change. */
  addToFirst(more: Readonly<Record<string, unknown>>): void {
    const [first] = this.#records
    if (first !== undefined) this.#records[0] = { ...first, detail: { ...first.detail, ...more } }
  }
}
