import type { Queryable } from '../database/open.ts'
import { OperatorError } from '../errors.ts'
import { type ChangeContext, changeRegistry } from '../ledger/change-store.ts'
import { didYouMean } from '../lib/suggest.ts'
import { ChangeRecords } from './records.ts'

/** Clients as operators see and change them. Times in seconds since 1970. */
export interface ClientSummary {
  readonly clientId: string
  readonly name: string
  readonly status: string
  readonly tokenEndpointAuthMethod: string
  readonly expiresAt: number | undefined
  readonly createdAt: number
  readonly resources: number
  readonly validSecrets: number
}

export interface ClientDetails extends Omit<ClientSummary, 'resources' | 'validSecrets'> {
  readonly updatedAt: number
  readonly allowedNetworks: readonly string[]
  readonly access: readonly { readonly audience: string; readonly scopes: readonly string[] }[]
  readonly secrets: readonly SecretDescription[]
}

/** What is known of a secret: everything but the secret. Times in seconds since 1970. */
export interface SecretDescription {
  readonly secretId: string
  readonly hint: string
  readonly state: 'valid' | 'expired' | 'revoked'
  readonly createdAt: number
  readonly expiresAt: number | undefined
  readonly revokedAt: number | undefined
  /** True to about a minute. */
  readonly lastUsedAt: number | undefined
}

interface SecretRow {
  readonly secretId: string
  readonly hint: string
  readonly createdAt: Date
  readonly expiresAt: Date | null
  readonly revokedAt: Date | null
  readonly use: { readonly lastUsedAt: Date } | null
}

export function isValid(
  secret: Pick<SecretRow, 'expiresAt' | 'revokedAt'>,
  nowMilliseconds: number,
): boolean {
  return (
    secret.revokedAt === null && (secret.expiresAt === null || secret.expiresAt.getTime() > nowMilliseconds)
  )
}

export function describeSecret(row: SecretRow, nowMilliseconds: number): SecretDescription {
  const seconds = (moment: Date | null | undefined): number | undefined =>
    moment === null || moment === undefined ? undefined : Math.floor(moment.getTime() / 1000)
  return {
    secretId: row.secretId,
    hint: row.hint,
    state: isValid(row, nowMilliseconds) ? 'valid' : row.revokedAt === null ? 'expired' : 'revoked',
    createdAt: Math.floor(row.createdAt.getTime() / 1000),
    expiresAt: seconds(row.expiresAt),
    revokedAt: seconds(row.revokedAt),
    lastUsedAt: seconds(row.use?.lastUsedAt),
  }
}

const clientsPerPage = 500

const seconds = (moment: Date): number => Math.floor(moment.getTime() / 1000)
const optionalSeconds = (moment: Date | null): number | undefined =>
  moment === null ? undefined : seconds(moment)

/** All clients by id, a page at a time. @param statuses those to show. */
export async function* clientPages(
  database: Queryable,
  statuses: readonly string[],
): AsyncGenerator<readonly ClientSummary[]> {
  let after = ''
  for (;;) {
    const rows = await database.client.findMany({
      where: { clientId: { gt: after }, status: { in: [...statuses] } },
      orderBy: { clientId: 'asc' },
      take: clientsPerPage,
      include: {
        // Not _count, which adds up the whole table for each page.
        access: { select: { audience: true } },
        secrets: { select: { revokedAt: true, expiresAt: true } },
      },
    })
    const last = rows.at(-1)
    if (last === undefined) return
    const now = Date.now()
    yield rows.map((row) => ({
      clientId: row.clientId,
      name: row.name,
      status: row.status,
      tokenEndpointAuthMethod: row.tokenEndpointAuthMethod,
      expiresAt: optionalSeconds(row.expiresAt),
      createdAt: seconds(row.createdAt),
      resources: row.access.length,
      validSecrets: row.secrets.filter((secret) => isValid(secret, now)).length,
    }))
    if (rows.length < clientsPerPage) return
    after = last.clientId
  }
}

/** @throws OperatorError when there is no such client. */
export async function findClient(database: Queryable, clientId: string): Promise<ClientDetails> {
  const row = await database.client.findUnique({
    where: { clientId },
    include: {
      access: { orderBy: { audience: 'asc' } },
      secrets: { orderBy: { createdAt: 'asc' }, include: { use: true } },
    },
  })
  if (row === null) throw await noSuchClient(database, clientId)
  const now = Date.now()
  return {
    clientId: row.clientId,
    name: row.name,
    status: row.status,
    tokenEndpointAuthMethod: row.tokenEndpointAuthMethod,
    allowedNetworks: row.allowedNetworks,
    expiresAt: optionalSeconds(row.expiresAt),
    createdAt: seconds(row.createdAt),
    updatedAt: seconds(row.updatedAt),
    access: row.access.map(({ audience, scopes }) => ({ audience, scopes })),
    secrets: row.secrets.map((secret) => describeSecret(secret, now)),
  }
}

export async function noSuchClient(database: Queryable, clientId: string): Promise<OperatorError> {
  // Not all of a hundred thousand: whoever mistypes an id mostly gets its beginning right.
  const similar = await database.client.findMany({
    where: { clientId: { startsWith: clientId.slice(0, 2) }, status: { not: 'deleted' } },
    select: { clientId: true },
    take: 500,
  })
  const hint = didYouMean(
    clientId,
    similar.map((row) => row.clientId),
  )
  const message = `There is no client ${JSON.stringify(clientId)}.${hint} "bin/mintmark clients list" shows them all.`
  return new OperatorError(message, { exitCode: 3 })
}

/** @returns whether that changed anything: it is no mistake to say it twice. */
export async function setClientStatus(
  context: ChangeContext,
  clientId: string,
  status: 'active' | 'disabled',
): Promise<boolean> {
  return await changeRegistry(context, async (transaction) => {
    const from = status === 'active' ? 'disabled' : 'active'
    const { count } = await transaction.client.updateMany({
      where: { clientId, status: from },
      data: { status },
    })
    const records = new ChangeRecords(context.clock.nowMilliseconds())
    if (count === 1) records.add('client', status === 'active' ? 'enabled' : 'disabled', { clientId })
    else await requireClient(transaction, clientId)
    return { result: count === 1, records: records.all }
  })
}

/** @throws OperatorError when there is no such client, or not any more. */
export async function requireClient(database: Queryable, clientId: string): Promise<{ status: string }> {
  const row = await database.client.findUnique({ where: { clientId }, select: { status: true } })
  if (row === null) throw await noSuchClient(database, clientId)
  if (row.status === 'deleted') {
    throw new OperatorError(
      `The client ${clientId} was deleted, which cannot be undone. Its id is never used again; create one with another.`,
    )
  }
  return row
}

export interface Deletion {
  /** False when it was deleted before. */
  readonly deleted: boolean
  readonly secretsRevoked: number
  readonly accessRemoved: number
}

/**
 * Deletes a client for good. The row stays, so that its id stays taken and the ledger's references keep a
 * meaning; its secrets are revoked and its access is gone.
 */
export async function deleteClient(context: ChangeContext, clientId: string): Promise<Deletion> {
  return await changeRegistry(context, async (transaction) => {
    const records = new ChangeRecords(context.clock.nowMilliseconds())
    const { count } = await transaction.client.updateMany({
      where: { clientId, status: { not: 'deleted' } },
      data: { status: 'deleted' },
    })
    if (count === 0) {
      const row = await transaction.client.findUnique({ where: { clientId }, select: { status: true } })
      if (row === null) throw await noSuchClient(transaction, clientId)
      return { result: { deleted: false, secretsRevoked: 0, accessRemoved: 0 }, records: [] }
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
    const result = { deleted: true, secretsRevoked: secrets.length, accessRemoved: access.length }
    return { result, records: records.all }
  })
}
