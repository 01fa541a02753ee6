import { generateSecret, type NewSecret } from '../authentication/secret-hash.ts'
import { OperatorError } from '../errors.ts'
import { type ChangeContext, changeRegistry } from '../ledger/change-store.ts'
import { optionalMoment } from '../lib/moment.ts'
import { limits } from '../limits.ts'
import { isValid, requireClient } from './client-store.ts'
import { ChangeRecords } from './records.ts'

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
