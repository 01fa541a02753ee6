import { generateSecret, type NewSecret } from '../authentication/secret-hash.ts'
import { AdministrationError } from '../errors.ts'
import { type ClientDefinition, hasSecretByMethod } from './definition.ts'
import { refusalOf } from './mistake.ts'
import { makePlan } from './plan.ts'
import { recordPlan } from './plan-records.ts'
import { lockRows, readState, type SecretToWrite, writePlan } from './plan-store.ts'
import { changeSealed } from './sealing.ts'
import type { SecretContext } from './secret-store.ts'

export interface CreateOptions {
  /** When the first secret expires, in seconds since 1970; undefined: never. */
  readonly secretExpiresAt?: number | undefined
  /** Given the secret just before the COMMIT. If it throws, the whole change is undone. */
  readonly deliver?: (secret: NewSecret) => void
}

/**
 * One new client with one secret, or with none if it authenticates by a key or a certificate, under the same rules as a registration of many.
 * @throws AdministrationError when there is, or was, one of that id, or it asks for what no resource has. The paths
 * of its mistakes begin with `clients` and 0.
 */
export async function createClient(
  context: SecretContext,
  client: ClientDefinition,
  options: CreateOptions = {},
): Promise<NewSecret | undefined> {
  const { clientId } = client
  const registration = { resources: [], clients: [client] }
  const secret = hasSecretByMethod(client.tokenEndpointAuthMethod) ? await generateSecret() : undefined
  return await changeSealed(
    context,
    async (transaction, records, seals) => {
      await lockRows(transaction, registration)
      const state = await readState(transaction, registration, context.clock.nowMilliseconds())
      const existing = state.clients.get(clientId)
      if (existing !== undefined && existing.status !== 'deleted') {
        throw new AdministrationError('client_exists', { clientId })
      }
      const { plan, mistakes } = makePlan(registration, state)
      if (mistakes.length > 0) throw refusalOf(mistakes)
      const made = new Map<string, SecretToWrite>()
      if (secret !== undefined) made.set(clientId, { ...secret, expiresAt: options.secretExpiresAt })
      await writePlan(transaction, plan, made, context.actor.by)
      await seals.read(transaction, { clientIds: [clientId] })
      seals.setPlan(plan, made)
      if (secret !== undefined) await context.tagMaker?.write(transaction, [{ clientId, ...secret }])
      recordPlan(records, plan, new Map([...made].map(([id, { secretId }]) => [id, secretId])))
      return secret
    },
    { beforeCommit: () => secret && options.deliver?.(secret) },
  )
}
