import { availableParallelism } from 'node:os'
import { generateSecret, type NewSecret } from '../authentication/secret-hash.ts'
import { AdministrationError } from '../errors.ts'
import type { Registration } from './definition.ts'
import { type Mistake, refusalOf } from './mistake.ts'
import type { ReadablePart } from './parse.ts'
import { makePlan, type Plan, type RegistryState } from './plan.ts'
import { recordPlan } from './plan-records.ts'
import { lockRows, readState, writePlan } from './plan-store.ts'
import { changeSealed, readableSeals } from './sealing.ts'
import type { SecretContext } from './secret-store.ts'

/**
 * Applies a registration: it plans, makes the secrets, and writes everything in one transaction.
 *
 * It is one transaction, so that any failure leaves the registry as it was, and the same file can simply be applied
 * again. Hashing takes long (26 ms for each new client), so it comes before the transaction; what is then left takes
 * about a second for ten thousand clients. The plan is made again inside the transaction, because somebody may have
 * changed the registry meanwhile.
 */
export interface ApplyOptions {
  /** Says what would be done, and does nothing. */
  readonly dryRun?: boolean
  /**
   * Called once it is clear that there will be new secrets, before anything is changed. If it throws, nothing happens.
   */
  readonly expectSecrets?: () => void
  /** Told how many of the new secrets have been made. */
  readonly onProgress?: (made: number, total: number) => void
  /**
   * Given the new secrets when everything is written and only the COMMIT remains, to put them where they cannot get
   * lost. If it throws, the whole change is undone.
   */
  readonly deliver?: (secrets: readonly ClientSecretPair[]) => void
  /** How mistakes are reported that only show beside the registry. A file adds the places in it. */
  readonly refusal?: (mistakes: readonly Mistake[]) => AdministrationError
}

export interface ClientSecretPair {
  readonly clientId: string
  readonly secret: string
}

export interface Applied {
  readonly plan: Plan
  /** Of the new clients, in the order of the registration. Shown once and kept nowhere. */
  readonly secrets: readonly ClientSecretPair[]
}

/** Milliseconds for one transaction: the largest file on a slow machine. */
const transactionTimeoutMilliseconds = 15 * 60_000

/** @throws AdministrationError with every mistake, before anything is changed. */
export async function applyRegistration(
  context: SecretContext,
  registration: Registration,
  options: ApplyOptions = {},
): Promise<Applied> {
  const refusal = options.refusal ?? refusalOf
  const { database, clock } = context
  const before = await readState(database.prisma, registration, clock.nowMilliseconds())
  const sealed = await readableSeals(database.prisma, context.sealing)
  await sealed.read(database.prisma, namesIn(registration))
  const { plan, mistakes } = makePlan(sealed.withStatuses(registration), before)
  if (mistakes.length > 0) throw refusal(mistakes)
  // With a sealed registry, rows that need no change may still be rows that were written without the key.
  const isDone = !hasWork(plan) && context.sealing === undefined
  if (options.dryRun === true || isDone) return { plan, secrets: [] }

  const expected = newClients(plan)
  if (expected.length > 0) options.expectSecrets?.()
  const made = await makeSecrets(expected, options.onProgress)
  let secrets: readonly ClientSecretPair[] = []
  return await changeSealed(
    context,
    async (transaction, records, seals) => {
      await lockRows(transaction, registration)
      const state = await readState(transaction, registration, clock.nowMilliseconds())
      await seals.read(transaction, namesIn(registration))
      const { plan, mistakes } = makePlan(seals.withStatuses(registration), state)
      if (mistakes.length > 0) throw refusal(mistakes)
      const used = new Map(newClients(plan).map((clientId) => [clientId, secretOf(made, clientId)]))
      await writePlan(transaction, plan, used, context.actor.by)
      seals.setPlan(plan, used)
      const tagged = [...used].map(([clientId, secret]) => ({ clientId, ...secret }))
      await context.tagMaker?.write(transaction, tagged)
      recordPlan(records, plan, new Map([...used].map(([clientId, { secretId }]) => [clientId, secretId])))
      secrets = [...used].map(([clientId, { secret }]) => ({ clientId, secret }))
      return { plan, secrets }
    },
    {
      timeoutMilliseconds: transactionTimeoutMilliseconds,
      beforeCommit: () => options.deliver?.(secrets),
    },
  )
}

function namesIn({ clients, resources, issuers = [] }: Registration) {
  return {
    clientIds: clients.map(({ clientId }) => clientId),
    audiences: resources.map(({ audience }) => audience),
    issuers: issuers.map(({ issuer }) => issuer),
  }
}

/** What is wrong with the readable part of a registration beside what is registered. */
export async function mistakesBeside(
  { database, clock }: Pick<SecretContext, 'database' | 'clock'>,
  part: ReadablePart,
): Promise<Mistake[]> {
  const state = await readState(database.prisma, part, clock.nowMilliseconds())
  const { mistakes } = makePlan(part, withoutUnread(state, part))
  return mistakes.flatMap((mistake) => {
    // It may well be there, or have the scope, in an entry that could not be read. The same is true of a client.
    if ('audience' in mistake && part.unread.audiences.has(mistake.audience)) return []
    if (mistake.code === 'rule_client_unknown' && part.unread.clientIds.has(mistake.clientId)) return []
    const [list, index, ...rest] = mistake.path
    const indexes =
      list === 'clients' ? part.clientIndexes : list === 'trust' ? part.issuerIndexes : part.resourceIndexes
    return [{ ...mistake, path: [list ?? '', indexes[Number(index)] ?? 0, ...rest] }]
  })
}

/** Nobody knows what clients and issuers will have whose entries could not be read. So nothing may contradict that. */
function withoutUnread(state: RegistryState, { unread }: ReadablePart): RegistryState {
  const { otherGrants, holders = [], trust } = state
  const isRead = ({ clientId }: { readonly clientId: string }) => !unread.clientIds.has(clientId)
  return {
    ...state,
    otherGrants: otherGrants.filter(isRead),
    holders: holders.filter(isRead),
    trust: trust && {
      ...trust,
      issuers: new Map([...trust.issuers].filter(([issuer]) => !unread.issuers.has(issuer))),
      fapiClientIds: new Set([...(trust.fapiClientIds ?? [])].filter((id) => !unread.clientIds.has(id))),
    },
  }
}

function hasWork(plan: Plan): boolean {
  return [...plan.resources, ...plan.clients, ...plan.issuers].some(({ status }) => status !== 'unchanged')
}

/** Those who get a secret: a client that authenticates by a key needs none. */
function newClients(plan: Plan): string[] {
  return plan.clients.flatMap(({ getsSecret, definition }) => (getsSecret ? [definition.clientId] : []))
}

function secretOf(made: ReadonlyMap<string, NewSecret>, clientId: string): NewSecret {
  const secret = made.get(clientId)
  if (secret !== undefined) return secret
  // It existed a moment ago and no longer does: somebody deleted its row by hand.
  throw new AdministrationError('client_vanished', { clientId })
}

/** As many at once as there are cores: each hash keeps one busy. */
async function makeSecrets(
  clientIds: readonly string[],
  onProgress: ApplyOptions['onProgress'],
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
