import { availableParallelism } from 'node:os'
import { generateSecret, type NewSecret } from '../authentication/secret-hash.ts'
import { OperatorError } from '../errors.ts'
import { type ChangeContext, changeRegistry } from '../ledger/change-store.ts'
import { makePlan, type Plan } from './plan.ts'
import { holdRows, readState, writePlan } from './plan-store.ts'
import { ChangeRecords } from './records.ts'
import type { SeedFile } from './seed-file.ts'

/**
 * Applies a file: plan, make the secrets, write everything in one transaction.
 *
 * One transaction and not one for each part, so that a failure, at whatever point, leaves the registry as it
 * was and the file can simply be applied again. Hashing is what takes long (26 ms for each new client), so
 * it comes before the transaction; what is then left takes about a second for ten thousand clients. The plan
 * is made again inside it, because somebody may have changed the registry meanwhile.
 */
export interface SeedOptions {
  /** Says what would be done, and does nothing. */
  readonly dryRun?: boolean
  /** Called once it is clear that there will be new secrets, before anything is changed. What it throws ends all. */
  readonly expectSecrets?: () => void
  /** Told how many of the new secrets have been made. */
  readonly onProgress?: (made: number, total: number) => void
  /**
   * Given the new secrets when everything is written and only the COMMIT remains, to put them where they
   * cannot get lost. What it throws undoes the whole.
   */
  readonly deliver?: (secrets: readonly ClientSecretPair[]) => void
}

export interface ClientSecretPair {
  readonly clientId: string
  readonly secret: string
}

export interface SeedResult {
  readonly plan: Plan
  /** Of the new clients, in the order of the file. Shown once and kept nowhere. */
  readonly secrets: readonly ClientSecretPair[]
}

/** Milliseconds for one transaction: a file of the greatest size on a slow machine. */
const transactionTimeoutMilliseconds = 15 * 60_000

/** @throws OperatorError naming line and key of every mistake, before anything is changed. */
export async function applySeed(
  context: ChangeContext,
  file: SeedFile,
  options: SeedOptions = {},
): Promise<SeedResult> {
  const { plan, mistakes } = makePlan(file, await readState(context.database.prisma, file))
  if (mistakes.length > 0) throw file.refuse(mistakes)
  if (options.dryRun === true || !hasWork(plan)) return { plan, secrets: [] }

  const expected = newClients(plan)
  if (expected.length > 0) options.expectSecrets?.()
  const made = await makeSecrets(expected, options.onProgress)
  let secrets: readonly ClientSecretPair[] = []
  return await changeRegistry(
    context,
    async (transaction) => {
      await holdRows(transaction, file)
      const { plan, mistakes } = makePlan(file, await readState(transaction, file))
      if (mistakes.length > 0) throw file.refuse(mistakes)
      const used = new Map(newClients(plan).map((clientId) => [clientId, secretOf(made, clientId)]))
      await writePlan(transaction, plan, used)
      const records = new ChangeRecords(context.clock.nowMilliseconds())
      records.addPlan(plan, new Map([...used].map(([clientId, { secretId }]) => [clientId, secretId])))
      secrets = [...used].map(([clientId, { secret }]) => ({ clientId, secret }))
      return { result: { plan, secrets }, records: records.all }
    },
    {
      timeoutMilliseconds: transactionTimeoutMilliseconds,
      beforeCommit: () => options.deliver?.(secrets),
    },
  )
}

function hasWork(plan: Plan): boolean {
  return [...plan.resources, ...plan.clients].some(({ status }) => status !== 'unchanged')
}

function newClients(plan: Plan): string[] {
  return plan.clients.flatMap(({ status, definition }) => (status === 'created' ? [definition.clientId] : []))
}

function secretOf(made: ReadonlyMap<string, NewSecret>, clientId: string): NewSecret {
  const secret = made.get(clientId)
  if (secret !== undefined) return secret
  throw new OperatorError(
    `The client ${clientId} vanished while this ran. Nothing was changed; run it again.`,
  )
}

/** As many at once as there are cores: each hash keeps one busy. */
async function makeSecrets(
  clientIds: readonly string[],
  onProgress: SeedOptions['onProgress'],
): Promise<Map<string, NewSecret>> {
  const made = new Map<string, NewSecret>()
  const waiting = clientIds.values()
  const work = async (): Promise<void> => {
    for (const clientId of waiting) {
      made.set(clientId, await generateSecret())
      onProgress?.(made.size, clientIds.length)
    }
  }
  await Promise.all(Array.from({ length: Math.min(availableParallelism(), clientIds.length) }, work))
  return made
}
