import { generateSecret, type NewSecret } from '../authentication/secret-hash.ts'
import type { TagMaker } from '../authentication/secret-tag-store.ts'
import { AdministrationError } from '../errors.ts'
import { optionalMoment } from '../lib/moment.ts'
import { limits } from '../limits.ts'
import { isValid, requireClient } from './client-store.ts'
import { changeSealed, type RegistryContext } from './sealing.ts'

/** A change that creates secrets. */
export interface SecretContext extends RegistryContext {
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
  return await changeSealed(
    context,
    async (transaction, records, seals) => {
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
      await seals.read(transaction, { clientIds: [clientId] })
      seals.addSecret(clientId, { secretId, hash, expiresAt: options.expiresAt })
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
    seals.take(clientId, (client) => ({
      ...client,
      secrets: client.secrets.filter((secret) => secret.secretId !== secretId),
    }))
    const validLeft = secrets.filter((row) => isValid(row, now)).length
    return { revoked: count === 1, validLeft }
  })
}
