import type { Queryable } from '../database/open.ts'
import { AdministrationError } from '../errors.ts'
import type { Access, Client } from '../generated/client.ts'
import { nearest } from '../lib/suggest.ts'
import type { StoredClient, StoredClientWithSecrets, StoredSecret } from './definition.ts'
import { changeSealed, type RegistryContext } from './sealing.ts'

/** Clients read from the database, and changed one at a time. Many at once are changed by a plan. */

/** What is read beside a client's own columns: its access, and when those secrets end that are not revoked. */
export const alsoRead = {
  access: { orderBy: { audience: 'asc' } },
  secrets: { where: { revokedAt: null }, select: { expiresAt: true } },
} as const

interface SecretRow {
  readonly secretId: string
  readonly hint: string
  readonly createdAt: Date
  readonly expiresAt: Date | null
  readonly revokedAt: Date | null
  readonly use: { readonly lastUsedAt: Date } | null
}

const clientsPerPage = 500

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
  nowMilliseconds: number,
): StoredClient {
  return {
    clientId: row.clientId,
    name: row.name,
    status: row.status as StoredClient['status'],
    tokenEndpointAuthMethod: row.tokenEndpointAuthMethod ?? undefined,
    allowedNetworks: row.allowedNetworks,
    expiresAt: optionalSeconds(row.expiresAt),
    access: row.access.map(({ audience, scopes }) => ({ audience, scopes })),
    validSecrets: row.secrets.filter((secret) => isValid(secret, nowMilliseconds)).length,
    createdAt: seconds(row.createdAt),
    updatedAt: seconds(row.updatedAt),
  }
}

function toStoredSecret(row: SecretRow, nowMilliseconds: number): StoredSecret {
  return {
    secretId: row.secretId,
    hint: row.hint,
    state: isValid(row, nowMilliseconds) ? 'valid' : row.revokedAt === null ? 'expired' : 'revoked',
    createdAt: seconds(row.createdAt),
    expiresAt: optionalSeconds(row.expiresAt),
    revokedAt: optionalSeconds(row.revokedAt),
    lastUsedAt: optionalSeconds(row.use?.lastUsedAt),
  }
}

/** All clients by id, a page at a time. @param statuses those to show. */
export async function* clientPages(
  database: Queryable,
  statuses: readonly string[],
  nowMilliseconds: number,
): AsyncGenerator<readonly StoredClient[]> {
  let after = ''
  for (;;) {
    const rows = await database.client.findMany({
      where: { clientId: { gt: after }, status: { in: [...statuses] } },
      orderBy: { clientId: 'asc' },
      take: clientsPerPage,
      // Not _count, which adds up the whole table for each page.
      include: alsoRead,
    })
    const last = rows.at(-1)
    if (last === undefined) return
    yield rows.map((row) => toStored(row, nowMilliseconds))
    if (rows.length < clientsPerPage) return
    after = last.clientId
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
  const secrets = row.secrets.map((secret) => toStoredSecret(secret, nowMilliseconds))
  return { ...toStored(row, nowMilliseconds), secrets }
}

async function noSuchClient(database: Queryable, clientId: string): Promise<AdministrationError> {
  // Not all of a hundred thousand: whoever mistypes an id mostly gets its beginning right.
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

/** @throws AdministrationError when there is no such client, or not any more. */
export async function requireClient(database: Queryable, clientId: string): Promise<{ status: string }> {
  const row = await database.client.findUnique({ where: { clientId }, select: { status: true } })
  if (row === null) throw await noSuchClient(database, clientId)
  if (row.status === 'deleted') throw new AdministrationError('client_deleted', { clientId })
  return row
}

export interface Deletion {
  /** False when it was deleted before. */
  readonly deleted: boolean
  readonly secretsRevoked: number
  readonly accessRemoved: number
}

/**
 * Deletes a client for good. Its row stays, so that its id stays taken and the ledger's records keep their
 * meaning. Its secrets are revoked and its access is removed.
 */
export async function deleteClient(context: RegistryContext, clientId: string): Promise<Deletion> {
  return await changeSealed(context, async (transaction, records, seals) => {
    await seals.read(transaction, { clientIds: [clientId] })
    seals.take(clientId, (client) => ({ ...client, status: 'deleted', secrets: [], access: [] }))
    const { count } = await transaction.client.updateMany({
      where: { clientId, status: { not: 'deleted' } },
      data: { status: 'deleted' },
    })
    if (count === 0) {
      const row = await transaction.client.findUnique({ where: { clientId }, select: { status: true } })
      if (row === null) throw await noSuchClient(transaction, clientId)
      return { deleted: false, secretsRevoked: 0, accessRemoved: 0 }
    }
    records.add('client', 'deleted', { clientId })
    const secrets = await transaction.clientSecret.findMany({ where: { clientId, revokedAt: null } })
    await transaction.clientSecret.updateMany({
      where: { clientId, revokedAt: null },
      data: { revokedAt: new Date(context.clock.nowMilliseconds()) },
    })
    for (const { secretId } of secrets) records.add('secret', 'revoked', { clientId, credentialId: secretId })
    const access = await transaction.access.findMany({ where: { clientId } })
    await transaction.access.deleteMany({ where: { clientId } })
    for (const { audience, scopes } of access) {
      records.add('access', 'deleted', { clientId, audience, scope: scopes.join(' ') })
    }
    return { deleted: true, secretsRevoked: secrets.length, accessRemoved: access.length }
  })
}
