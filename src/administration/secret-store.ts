import { generateSecret, type NewSecret } from '../authentication/secret-hash.ts'
import type { TagMaker } from '../authentication/secret-tag-store.ts'
import { AdministrationError } from '../errors.ts'
import { type ChangeContext, changeRegistry } from '../ledger/change-store.ts'
import { optionalMoment } from '../lib/moment.ts'
import { limits } from '../limits.ts'
import { isValid, requireClient } from './client-store.ts'

/** A change that creates secrets. */
export interface SecretContext extends ChangeContext {
  /** Makes their tags. Undefined where the key-encryption key is not at hand: their first use makes them. */
  readonly tagMaker: TagMaker | undefined
}

export interface AddOptions {
  /** Seconds since 1970; undefined: never. */
  readonly expiresAt?: number | undefined
  /** Given the secret just before the COMMIT. What it throws undoes the whole. */
  readonly deliver?: (secret: NewSecret) => void
}

/** Adds a secret. The others stay valid, so that deployments can move to the new one one by one. */
export async function addSecret(
  context: SecretContext,
  clientId: string,
  options: AddOptions = {},
): Promise<{ secret: NewSecret; clientStatus: string }> {
  const secret = await generateSecret()
  return await changeRegistry(
    context,
    async (transaction, records) => {
      const { status } = await requireClient(transaction, clientId)
      const now = context.clock.nowMilliseconds()
      const others = await transaction.clientSecret.findMany({ where: { clientId, revokedAt: null } })
      const valid = others.filter((row) => isValid(row, now)).length
      if (valid >= limits.secretsPerClientMax) {
        const limit = limits.secretsPerClientMax
        throw new AdministrationError('secrets_too_many', { clientId, count: valid, limit })
      }
      const { secretId, hash, hint } = secret
      const expiresAt = options.expiresAt === undefined ? null : new Date(options.expiresAt * 1000)
      await transaction.clientSecret.create({ data: { secretId, clientId, hash, hint, expiresAt } })
      await context.tagMaker?.write(transaction, [{ clientId, ...secret }])
      const changes = [{ field: 'expires_at', from: null, to: optionalMoment(options.expiresAt) }]
      records.add('secret', 'added', { clientId, credentialId: secretId }, expiresAt === null ? [] : changes)
      return { secret, clientStatus: status }
    },
    { beforeCommit: () => options.deliver?.(secret) },
  )
}

export interface SecretRevocation {
  /** False when it was revoked before. */
  readonly revoked: boolean
  /** How many valid secrets the client has left. */
  readonly validLeft: number
}

/** Revokes a secret, in force when this returns. Tokens that were issued with it live until they expire. */
export async function revokeSecret(
  context: ChangeContext,
  clientId: string,
  secretId: string,
): Promise<SecretRevocation> {
  return await changeRegistry(context, async (transaction, records) => {
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
    const validLeft = secrets.filter((row) => isValid(row, now)).length
    return { revoked: count === 1, validLeft }
  })
}
