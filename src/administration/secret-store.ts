import { generateSecret, type NewSecret } from '../authentication/secret-hash.ts'
import type { TagMaker } from '../authentication/secret-tag-store.ts'
import type { Queryable } from '../database/open.ts'
import { AdministrationError } from '../errors.ts'
import { optionalMoment } from '../lib/moment.ts'
import { limits } from '../limits.ts'
import { isValid, requireClient, requireClientWithSecrets } from './client-store.ts'
import { changeSealed, type RegistryContext } from './sealing.ts'
import type { Seals } from './seals.ts'

/** A change that creates secrets. */
export interface SecretContext extends RegistryContext {
  /** Makes their tags. Undefined where the key-encryption key is not at hand: their first use makes them. */
  readonly tagMaker: TagMaker | undefined
}

export interface AddOptions {
  /** Seconds since 1970; undefined: never. */
  readonly expiresAt?: number | undefined
  /** Given the secret just before the COMMIT. If it throws, the whole change is undone. */
  readonly deliver?: (secret: NewSecret) => void
}

/**
 * Adds a secret. The others stay valid, so that deployments can move to the new one one by one. A client that proves itself
 * in another way may get one too: it is then there before the client changes over.
 */
export async function addSecret(
  context: SecretContext,
  clientId: string,
  options: AddOptions = {},
): Promise<{ secret: NewSecret; clientStatus: string; method: string | null }> {
  const secret = await generateSecret()
  return await changeSealed(
    context,
    async (transaction, records, seals) => {
      const { status, tokenEndpointAuthMethod } = await requireClientWithSecrets(transaction, clientId)
      const now = context.clock.nowMilliseconds()
      const others = await transaction.clientSecret.findMany({ where: { clientId, revokedAt: null } })
      const valid = others.filter((row) => isValid(row, now)).length
      if (valid >= limits.secretsPerClientMax) {
        const limit = limits.secretsPerClientMax
        throw new AdministrationError('secrets_too_many', { clientId, count: valid, limit })
      }
      const { secretId, hash } = secret
      await insertSecret(transaction, clientId, secret, options.expiresAt)
      await seals.read(transaction, { clientIds: [clientId] })
      seals.addSecret(clientId, { secretId, hash, expiresAt: options.expiresAt })
      await context.tagMaker?.write(transaction, [{ clientId, ...secret }])
      const changes = [{ field: 'expires_at', from: null, to: optionalMoment(options.expiresAt) }]
      const isEnding = options.expiresAt !== undefined
      records.add('secret', 'added', { clientId, credentialId: secretId }, isEnding ? changes : [])
      return { secret, clientStatus: status, method: tokenEndpointAuthMethod }
    },
    { beforeCommit: () => options.deliver?.(secret) },
  )
}

/** @param expiresAt seconds since 1970; undefined: never. */
export async function insertSecret(
  transaction: Queryable,
  clientId: string,
  { secretId, hash, hint }: NewSecret,
  expiresAt: number | undefined,
): Promise<void> {
  const end = expiresAt === undefined ? null : new Date(expiresAt * 1000)
  await transaction.clientSecret.create({ data: { secretId, clientId, hash, hint, expiresAt: end } })
}

export interface SecretRevocation {
  /** False when it was revoked before. */
  readonly revoked: boolean
  /** How many valid secrets the client has left. */
  readonly validLeft: number
}

/** Revokes a secret, in force when this returns. Tokens that were issued with it live until they expire. */
export async function revokeSecret(
  context: RegistryContext,
  clientId: string,
  secretId: string,
): Promise<SecretRevocation> {
  return await changeSealed(context, async (transaction, records, seals) => {
    const now = context.clock.nowMilliseconds()
    const { count } = await transaction.clientSecret.updateMany({
      where: { clientId, secretId, revokedAt: null },
      data: { revokedAt: new Date(now) },
    })
    const secrets = await transaction.clientSecret.findMany({ where: { clientId } })
    if (count === 1) records.add('secret', 'revoked', { clientId, credentialId: secretId })
    else if (!secrets.some((row) => row.secretId === secretId)) {
      await requireClient(transaction, clientId)
      throw new AdministrationError('secret_not_found', { clientId, secretId })
    }
    await seals.read(transaction, { clientIds: [clientId] })
    takeSecrets(seals, clientId, new Set([secretId]))
    const validLeft = secrets.filter((row) => isValid(row, now)).length
    return { revoked: count === 1, validLeft }
  })
}

function takeSecrets(seals: Seals, clientId: string, secretIds: ReadonlySet<string>): void {
  seals.take(clientId, (client) => ({
    ...client,
    secrets: client.secrets.filter(({ secretId }) => !secretIds.has(secretId)),
  }))
}

// ── Replacing ────────────────────────────────────────────────────────────────────────────────────────

/** A valid secret that is being replaced. Moments in seconds since 1970. */
export interface ReplaceableSecret {
  readonly secretId: string
  /** The end that it had. */
  readonly endedAt: number | undefined
  readonly lastUsedAt: number | undefined
}

export interface ReplacedSecret extends ReplaceableSecret {
  readonly endsAt: number
}

/** The valid secrets of a client, the oldest first. @param now seconds since 1970. */
export async function readReplaceable(
  database: Queryable,
  clientId: string,
  now: number,
): Promise<ReplaceableSecret[]> {
  const rows = await database.clientSecret.findMany({
    where: { clientId, revokedAt: null },
    orderBy: { createdAt: 'asc' },
    include: { use: true },
  })
  const secondsOf = (moment: Date | null | undefined): number | undefined =>
    moment === null || moment === undefined ? undefined : Math.floor(moment.getTime() / 1000)
  return rows
    .filter((row) => isValid(row, now * 1000))
    .map(({ secretId, expiresAt, use }) => ({
      secretId,
      endedAt: secondsOf(expiresAt),
      lastUsedAt: secondsOf(use?.lastUsedAt),
    }))
}

/**
 * Gives replaced secrets their end, and notes what else ends them. An earlier end stays. An end that is now is a revocation:
 * a replica whose clock is behind must not accept them for longer.
 */
export async function endReplaced(
  transaction: Queryable,
  replaced: readonly ReplaceableSecret[],
  overlap: {
    readonly replacedBy: string
    readonly endsAt: number
    readonly unusedSeconds: number | undefined
    readonly now: number
  },
): Promise<void> {
  const { replacedBy, unusedSeconds } = overlap
  const [end, now] = [new Date(overlap.endsAt * 1000), new Date(overlap.now * 1000)]
  const secretIds = replaced.map(({ secretId }) => secretId)
  await transaction.clientSecret.updateMany({
    where: { secretId: { in: secretIds }, OR: [{ expiresAt: null }, { expiresAt: { gt: end } }] },
    data: { expiresAt: end },
  })
  if (end <= now)
    await transaction.clientSecret.updateMany({
      where: { secretId: { in: secretIds } },
      data: { revokedAt: now },
    })
  for (const secretId of secretIds) {
    // What an earlier replacement said of its use stays, unless something else is said now.
    const unused = unusedSeconds === undefined ? {} : { unusedSeconds }
    const values = { replacedBy, startedAt: now, ...unused, watchedSince: now, watchedAt: now }
    await transaction.clientSecretOverlap.upsert({
      where: { secretId },
      create: { secretId, ...values },
      update: values,
    })
  }
}

// ── Leaked secrets ───────────────────────────────────────────────────────────────────────────────────

/** A secret that somebody names by its id, as far as it is known. */
export interface NamedSecret {
  readonly secretId: string
  readonly clientId: string
  readonly clientStatus: string
  readonly hash: string
  readonly state: 'valid' | 'expired' | 'revoked'
}

/** Names in one statement. */
const namesPerStatement = 5_000

export async function findSecrets(
  database: Queryable,
  secretIds: readonly string[],
  nowMilliseconds: number,
): Promise<ReadonlyMap<string, NamedSecret>> {
  const found = new Map<string, NamedSecret>()
  for (let start = 0; start < secretIds.length; start += namesPerStatement) {
    const rows = await database.clientSecret.findMany({
      where: { secretId: { in: secretIds.slice(start, start + namesPerStatement) } },
      include: { client: { select: { status: true } } },
    })
    for (const { secretId, clientId, hash, client, ...row } of rows) {
      const ended = row.revokedAt === null ? 'expired' : 'revoked'
      const state = isValid(row, nowMilliseconds) ? 'valid' : ended
      found.set(secretId, { secretId, clientId, clientStatus: client.status, hash, state })
    }
  }
  return found
}

/** Revokes these secrets, because they leaked. @returns the ids of those that were not revoked before. */
export async function revokeSecrets(
  context: RegistryContext,
  secrets: readonly Pick<NamedSecret, 'secretId' | 'clientId'>[],
): Promise<ReadonlySet<string>> {
  return await changeSealed(context, async (transaction, records, seals) => {
    const revoked = new Set<string>()
    const ofClients = new Map<string, Set<string>>()
    for (let start = 0; start < secrets.length; start += namesPerStatement) {
      const part = secrets.slice(start, start + namesPerStatement)
      const unrevoked = { secretId: { in: part.map(({ secretId }) => secretId) }, revokedAt: null }
      const rows = await transaction.clientSecret.findMany({ where: unrevoked, select: { secretId: true } })
      await transaction.clientSecret.updateMany({
        where: unrevoked,
        data: { revokedAt: new Date(context.clock.nowMilliseconds()) },
      })
      for (const { secretId } of rows) revoked.add(secretId)
    }
    for (const { clientId, secretId } of secrets) {
      const ofClient = ofClients.get(clientId) ?? new Set()
      ofClients.set(clientId, ofClient.add(secretId))
      if (!revoked.has(secretId)) continue
      records.add('secret', 'revoked', { clientId, credentialId: secretId }, [], { because: 'leaked' })
    }
    await seals.read(transaction, { clientIds: [...ofClients.keys()] })
    for (const [clientId, secretIds] of ofClients) takeSecrets(seals, clientId, secretIds)
    return revoked
  })
}
