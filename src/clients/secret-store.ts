import { OperatorError } from '../errors.ts'
import { limits } from '../limits.ts'
import { type ChangeContext, changeRegistry } from '../registry/change.ts'
import { optionalMoment } from '../registry/plan.ts'
import { ChangeRecords } from '../registry/records.ts'
import { generateSecret, type NewSecret } from './secret.ts'
import { requireClient } from './store.ts'

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

export interface AddOptions {
  /** Seconds since 1970; undefined: never. */
  readonly expiresAt?: number | undefined
  /** Given the secret just before the COMMIT. What it throws undoes the whole. */
  readonly deliver?: (secret: NewSecret) => void
}

/** One more secret. The others stay valid, so that deployments can move to it one by one. */
export async function addSecret(
  context: ChangeContext,
  clientId: string,
  options: AddOptions = {},
): Promise<{ secret: NewSecret; clientStatus: string }> {
  const secret = await generateSecret()
  return await changeRegistry(
    context,
    async (transaction) => {
      const { status } = await requireClient(transaction, clientId)
      const now = context.clock.nowMilliseconds()
      const others = await transaction.clientSecret.findMany({ where: { clientId, revokedAt: null } })
      const valid = others.filter((row) => isValid(row, now)).length
      if (valid >= limits.secretsPerClientMax) {
        throw new OperatorError(
          `The client ${clientId} has ${valid} valid secrets, which is the most there can be. Revoke one first: ` +
            `"bin/mintmark clients secrets list ${clientId}" shows when each was last used.`,
        )
      }
      const { secretId, hash, hint } = secret
      const expiresAt = options.expiresAt === undefined ? null : new Date(options.expiresAt * 1000)
      await transaction.clientSecret.create({ data: { secretId, clientId, hash, hint, expiresAt } })
      const records = new ChangeRecords(now)
      const changes = [{ field: 'expires_at', from: null, to: optionalMoment(options.expiresAt) }]
      records.add('secret', 'added', { clientId, credentialId: secretId }, expiresAt === null ? [] : changes)
      return { result: { secret, clientStatus: status }, records: records.all }
    },
    { beforeCommit: () => options.deliver?.(secret) },
  )
}

export interface Revocation {
  /** False when it was revoked before. */
  readonly revoked: boolean
  /** Secrets of the client that still work. */
  readonly validLeft: number
}

/** Calls a secret back. It opens nothing any more once this returns; tokens issued with it run out by themselves. */
export async function revokeSecret(
  context: ChangeContext,
  clientId: string,
  secretId: string,
): Promise<Revocation> {
  return await changeRegistry(context, async (transaction) => {
    const now = context.clock.nowMilliseconds()
    const { count } = await transaction.clientSecret.updateMany({
      where: { clientId, secretId, revokedAt: null },
      data: { revokedAt: new Date(now) },
    })
    const records = new ChangeRecords(now)
    const secrets = await transaction.clientSecret.findMany({ where: { clientId } })
    if (count === 1) records.add('secret', 'revoked', { clientId, credentialId: secretId })
    else if (!secrets.some((row) => row.secretId === secretId)) {
      await requireClient(transaction, clientId)
      throw new OperatorError(
        `The client ${clientId} has no secret ${JSON.stringify(secretId)}. ` +
          `"bin/mintmark clients secrets list ${clientId}" shows those it has.`,
        { exitCode: 3 },
      )
    }
    const validLeft = secrets.filter((row) => isValid(row, now)).length
    return { result: { revoked: count === 1, validLeft }, records: records.all }
  })
}
