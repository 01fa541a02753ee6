import type { Queryable } from '../database/open.ts'
import { AdministrationError } from '../errors.ts'
import type { Access, Client, ClientKey, ClientKeyUse, ClientSecretOverlap } from '../generated/client.ts'
import type { SigningAlgorithm } from '../keys/signing-algorithm.ts'
import { nearest } from '../lib/suggest.ts'
import type { CertificateFieldName } from '../registry/client.ts'
import { endOf } from './client-end.ts'
import type { StoredClient, StoredClientWithSecrets, StoredKey, StoredSecret } from './definition.ts'
import { changeSealed, type RegistryContext } from './sealing.ts'

/** Clients read from the database, and changed one at a time. Many at once are changed by a plan. */

/** What is read beside a client's own columns: its access, and when those secrets end that are not revoked. */
export const alsoRead = {
  access: { orderBy: { audience: 'asc' } },
  secrets: { where: { revokedAt: null }, select: { expiresAt: true } },
} as const

type KeyRow = ClientKey & { readonly use: ClientKeyUse | null }

interface SecretRow {
  readonly secretId: string
  readonly hint: string
  readonly createdAt: Date
  readonly expiresAt: Date | null
  readonly revokedAt: Date | null
  readonly use: { readonly lastUsedAt: Date } | null
}

const seconds = (moment: Date): number => Math.floor(moment.getTime() / 1000)
const optionalSeconds = (moment: Date | null | undefined): number | undefined =>
  moment === null || moment === undefined ? undefined : seconds(moment)

export function isValid(
  secret: { readonly expiresAt: Date | null; readonly revokedAt?: Date | null },
  nowMilliseconds: number,
): boolean {
  const { expiresAt, revokedAt = null } = secret
  return revokedAt === null && (expiresAt === null || expiresAt.getTime() > nowMilliseconds)
}

export function toStored(
  row: Client & {
    readonly access: readonly Access[]
    readonly secrets: readonly { readonly expiresAt: Date | null; readonly revokedAt?: Date | null }[]
  },
  keys: readonly StoredKey[],
  nowMilliseconds: number,
  lastUsedAt?: number,
): StoredClient {
  const valid = row.secrets.filter((secret) => isValid(secret, nowMilliseconds))
  const stored = {
    expiresAt: optionalSeconds(row.expiresAt),
    tokenEndpointAuthMethod: row.tokenEndpointAuthMethod ?? undefined,
    certificateField: toField(row.certificateField, row.certificateValue),
  }
  return {
    ...stored,
    clientId: row.clientId,
    name: row.name,
    status: row.status as StoredClient['status'],
    allowedNetworks: row.allowedNetworks,
    access: row.access.map(({ audience, scopes }) => ({ audience, scopes })),
    keys,
    assertionAudience: row.assertionAudience as StoredClient['assertionAudience'],
    requiredCertificate: toField(row.requiredField, row.requiredValue),
    certificateBoundTokens: row.certificateBoundTokens,
    dpopBoundTokens: row.dpopBoundTokens,
    ...(row.fapi ? { fapi: true } : {}),
    jwksUri: row.jwksUri ?? undefined,
    claims: (row.claims ?? undefined) as StoredClient['claims'],
    owner: row.owner ?? undefined,
    purpose: row.purpose ?? undefined,
    kind: (row.kind ?? undefined) as StoredClient['kind'],
    validSecrets: valid.length,
    createdAt: seconds(row.createdAt),
    updatedAt: seconds(row.updatedAt),
    createdBy: row.createdBy ?? undefined,
    lastUsedAt,
    endsAt: endOf(stored, {
      secrets: valid.map(({ expiresAt }) => optionalSeconds(expiresAt)),
      keys: keys.filter(({ state }) => state === 'valid').map(({ expiresAt }) => expiresAt),
    }),
  }
}

function toField(name: string | null, value: string | null): StoredClient['certificateField'] {
  return name === null || value === null ? undefined : { name: name as CertificateFieldName, value }
}

function stateOf(row: { readonly expiresAt: Date | null; readonly revokedAt: Date | null }, now: number) {
  if (isValid(row, now)) return 'valid'
  return row.revokedAt === null ? 'expired' : 'revoked'
}

function toStoredKey(row: KeyRow, nowMilliseconds: number): StoredKey {
  return {
    thumbprint: row.thumbprint,
    kid: row.kid ?? undefined,
    algorithm: row.algorithm as SigningAlgorithm,
    state: stateOf(row, nowMilliseconds),
    createdAt: seconds(row.createdAt),
    expiresAt: optionalSeconds(row.expiresAt),
    revokedAt: optionalSeconds(row.revokedAt),
    lastUsedAt: optionalSeconds(row.use?.lastUsedAt),
    tokenEndpointAudienceCount: Number(row.use?.tokenEndpointAudienceCount ?? 0),
    tokenEndpointAudienceAt: optionalSeconds(row.use?.tokenEndpointAudienceAt),
  }
}

/**
 * The keys of some clients, by client, the oldest first. A statement of its own, and not one that Prisma adds to another:
 * a transaction runs one at a time.
 */
export async function readKeys(
  database: Queryable,
  clientIds: readonly string[],
  nowMilliseconds: number,
): Promise<ReadonlyMap<string, readonly StoredKey[]>> {
  const rows = await database.clientKey.findMany({
    where: { clientId: { in: [...clientIds] } },
    orderBy: { createdAt: 'asc' },
    include: { use: true },
  })
  const keys = new Map<string, StoredKey[]>()
  for (const row of rows) {
    keys.set(row.clientId, [...(keys.get(row.clientId) ?? []), toStoredKey(row, nowMilliseconds)])
  }
  return keys
}

/** When these clients last got a token, by client: those that ever did. A statement of its own for the same reason. */
export async function readLastUses(
  database: Queryable,
  clientIds: readonly string[],
): Promise<ReadonlyMap<string, number>> {
  const rows = await database.clientUse.findMany({ where: { clientId: { in: [...clientIds] } } })
  return new Map(rows.map(({ clientId, lastUsedAt }) => [clientId, seconds(lastUsedAt)]))
}

function toStoredSecret(
  row: SecretRow,
  overlap: ClientSecretOverlap | undefined,
  nowMilliseconds: number,
): StoredSecret {
  return {
    secretId: row.secretId,
    hint: row.hint,
    state: stateOf(row, nowMilliseconds),
    createdAt: seconds(row.createdAt),
    expiresAt: optionalSeconds(row.expiresAt),
    revokedAt: optionalSeconds(row.revokedAt),
    lastUsedAt: optionalSeconds(row.use?.lastUsedAt),
    overlap: overlap && {
      replacedBy: overlap.replacedBy,
      startedAt: seconds(overlap.startedAt),
      unusedSeconds: overlap.unusedSeconds ?? undefined,
    },
  }
}

/** @throws AdministrationError when there is no such client. */
export async function findClient(
  database: Queryable,
  clientId: string,
  nowMilliseconds: number,
): Promise<StoredClientWithSecrets> {
  const row = await database.client.findUnique({
    where: { clientId },
    include: {
      access: alsoRead.access,
      secrets: { orderBy: { createdAt: 'asc' }, include: { use: true } },
    },
  })
  if (row === null) throw await noSuchClient(database, clientId)
  const secretIds = row.secrets.map(({ secretId }) => secretId)
  const overlaps = await database.clientSecretOverlap.findMany({ where: { secretId: { in: secretIds } } })
  const secrets = row.secrets.map((secret) =>
    toStoredSecret(
      secret,
      overlaps.find(({ secretId }) => secretId === secret.secretId),
      nowMilliseconds,
    ),
  )
  const keys = await readKeys(database, [clientId], nowMilliseconds)
  const lastUses = await readLastUses(database, [clientId])
  const stored = toStored(row, keys.get(clientId) ?? [], nowMilliseconds, lastUses.get(clientId))
  return { ...stored, secrets }
}

async function noSuchClient(database: Queryable, clientId: string): Promise<AdministrationError> {
  // Not all of a hundred thousand clients: the beginning of a mistyped id is mostly right.
  const similar = await database.client.findMany({
    where: { clientId: { startsWith: clientId.slice(0, 2) }, status: { not: 'deleted' } },
    select: { clientId: true },
    take: 500,
  })
  const ids = similar.map((row) => row.clientId)
  return new AdministrationError('client_not_found', { clientId, nearest: nearest(clientId, ids) })
}

/** @returns whether that changed anything: a client may be disabled twice. */
export async function setClientStatus(
  context: RegistryContext,
  clientId: string,
  status: 'active' | 'disabled',
): Promise<boolean> {
  return await changeSealed(context, async (transaction, records, seals) => {
    const from = status === 'active' ? 'disabled' : 'active'
    const { count } = await transaction.client.updateMany({
      where: { clientId, status: from },
      data: { status },
    })
    if (count === 0) await requireClient(transaction, clientId)
    await seals.read(transaction, { clientIds: [clientId] })
    const isNew =
      status === 'active'
        ? seals.give(clientId, (client) => ({ ...client, status }))
        : seals.take(clientId, (client) => ({ ...client, status }))
    const isChanged = count === 1 || isNew
    if (isChanged) records.add('client', status === 'active' ? 'enabled' : 'disabled', { clientId })
    return isChanged
  })
}

/** @throws AdministrationError when there is no such client, or it was deleted. */
export async function requireClient(
  database: Queryable,
  clientId: string,
): Promise<{ status: string; fapi: boolean; tokenEndpointAuthMethod: string | null }> {
  const row = await database.client.findUnique({
    where: { clientId },
    select: { status: true, fapi: true, tokenEndpointAuthMethod: true },
  })
  if (row === null) throw await noSuchClient(database, clientId)
  if (row.status === 'deleted') throw new AdministrationError('client_deleted', { clientId })
  return row
}

/** @throws AdministrationError when there is no such client, or when it may have no secret. */
export async function requireClientWithSecrets(
  database: Queryable,
  clientId: string,
): Promise<{ status: string; tokenEndpointAuthMethod: string | null }> {
  const client = await requireClient(database, clientId)
  if (client.fapi) throw new AdministrationError('client_fapi_no_secret', { clientId })
  return client
}

export interface Deletion {
  /** False when it was deleted before. */
  readonly deleted: boolean
  readonly secretsRevoked: number
  readonly keysRevoked: number
  readonly accessRemoved: number
}

/**
 * Deletes a client for good. Its row stays, so that its id stays taken and the ledger's records keep their
 * meaning. Its secrets and keys are revoked and its access is removed.
 */
export async function deleteClient(context: RegistryContext, clientId: string): Promise<Deletion> {
  return await changeSealed(context, async (transaction, records, seals) => {
    await seals.read(transaction, { clientIds: [clientId] })
    seals.take(clientId, (client) => ({ ...client, status: 'deleted', secrets: [], keys: [], access: [] }))
    const { count } = await transaction.client.updateMany({
      where: { clientId, status: { not: 'deleted' } },
      data: { status: 'deleted' },
    })
    if (count === 0) {
      const row = await transaction.client.findUnique({ where: { clientId }, select: { status: true } })
      if (row === null) throw await noSuchClient(transaction, clientId)
      return { deleted: false, secretsRevoked: 0, keysRevoked: 0, accessRemoved: 0 }
    }
    records.add('client', 'deleted', { clientId })
    const secrets = await transaction.clientSecret.findMany({ where: { clientId, revokedAt: null } })
    await transaction.clientSecret.updateMany({
      where: { clientId, revokedAt: null },
      data: { revokedAt: new Date(context.clock.nowMilliseconds()) },
    })
    for (const { secretId } of secrets) records.add('secret', 'revoked', { clientId, credentialId: secretId })
    const keys = await transaction.clientKey.findMany({ where: { clientId, revokedAt: null } })
    await transaction.clientKey.updateMany({
      where: { clientId, revokedAt: null },
      data: { revokedAt: new Date(context.clock.nowMilliseconds()) },
    })
    for (const { thumbprint } of keys)
      records.add('client_key', 'revoked', { clientId, credentialId: thumbprint })
    const access = await transaction.access.findMany({ where: { clientId } })
    await transaction.access.deleteMany({ where: { clientId } })
    for (const { audience, scopes } of access) {
      records.add('access', 'deleted', { clientId, audience, scope: scopes.join(' ') })
    }
    const [secretsRevoked, keysRevoked] = [secrets.length, keys.length]
    return { deleted: true, secretsRevoked, keysRevoked, accessRemoved: access.length }
  })
}
