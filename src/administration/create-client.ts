import { generateSecret, type NewSecret } from '../authentication/secret-hash.ts'
import { OperatorError } from '../errors.ts'
import { type ChangeContext, changeRegistry } from '../ledger/change-store.ts'
import type { ClientDefinition } from './definition.ts'
import { makePlan } from './plan.ts'
import { holdRows, readState, writePlan } from './plan-store.ts'
import { ChangeRecords } from './records.ts'

export interface CreateOptions {
  /** When the first secret ends, in seconds since 1970; undefined: never. */
  readonly secretExpiresAt?: number | undefined
  /** Given the secret just before the COMMIT. What it throws undoes the whole. */
  readonly deliver?: (secret: NewSecret) => void
}

/**
 * One new client with one secret, under the same rules as a file of them.
 * @throws OperatorError when there is, or was, one of that id, or it asks for what no resource has.
 */
export async function createClient(
  context: ChangeContext,
  client: ClientDefinition,
  options: CreateOptions = {},
): Promise<NewSecret> {
  const definitions = { resources: [], clients: [client] }
  const secret = await generateSecret()
  return await changeRegistry(
    context,
    async (transaction) => {
      await holdRows(transaction, definitions)
      const state = await readState(transaction, definitions)
      const existing = state.clients.get(client.clientId)
      if (existing !== undefined && existing.status !== 'deleted') {
        throw new OperatorError(
          `There is already a client ${client.clientId}. "bin/mintmark clients show ${client.clientId}" shows it; ` +
            `"bin/mintmark clients secrets add ${client.clientId}" gives it another secret.`,
        )
      }
      const { plan, mistakes } = makePlan(definitions, state)
      const [first] = mistakes
      if (first !== undefined) {
        // The mistakes of a file, told in the words of the command line.
        throw new OperatorError(`${first.path.includes('access') ? '--access' : 'CLIENT'}: ${first.message}`)
      }
      await writePlan(
        transaction,
        plan,
        new Map([[client.clientId, { ...secret, expiresAt: options.secretExpiresAt }]]),
      )
      const records = new ChangeRecords(context.clock.nowMilliseconds())
      records.addPlan(plan, new Map([[client.clientId, secret.secretId]]))
      return { result: secret, records: records.all }
    },
    { beforeCommit: () => options.deliver?.(secret) },
  )
}
