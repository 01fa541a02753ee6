import type { ClientKey } from '../authentication/client-key.ts'
import { isFapiAlgorithm } from '../authentication/fapi.ts'
import { AdministrationError } from '../errors.ts'
import { optionalMoment } from '../lib/moment.ts'
import { limits } from '../limits.ts'
import { isValid, requireClient } from './client-store.ts'
import { changeSealed, type RegistryContext } from './sealing.ts'

/** Public keys of clients, added and revoked one by one. A registration may list all of them instead (plan.ts). */

/**
 * Adds keys. The others stay valid, so that deployments can move to a new one one by one.
 * @param expiresAt in seconds since 1970; undefined: never.
 */
export async function addClientKeys(
  context: RegistryContext,
  clientId: string,
  keys: readonly ClientKey[],
  expiresAt: number | undefined,
): Promise<{ clientStatus: string }> {
  return await changeSealed(context, async (transaction, records, seals) => {
    const { status, fapi } = await requireClient(transaction, clientId)
    const unfit = fapi ? keys.find(({ algorithm }) => !isFapiAlgorithm(algorithm)) : undefined
    if (unfit !== undefined)
      throw new AdministrationError('client_fapi_key', { clientId, thumbprint: unfit.thumbprint })
    const now = context.clock.nowMilliseconds()
    const others = await transaction.clientKey.findMany({ where: { clientId } })
    const valid = others.filter((row) => isValid(row, now))
    for (const { thumbprint, kid } of keys) {
      const same = others.find((row) => row.thumbprint === thumbprint)
      if (same !== undefined) {
        const isRevoked = same.revokedAt !== null
        throw new AdministrationError('client_key_exists', { clientId, thumbprint, isRevoked })
      }
      if (kid !== undefined && valid.some((row) => row.kid === kid)) {
        throw new AdministrationError('client_key_named_alike', { clientId, kid })
      }
    }
    const limit = limits.keysPerClientMax
    if (valid.length + keys.length > limit) {
      throw new AdministrationError('client_keys_too_many', { clientId, count: valid.length, limit })
    }
    const end = expiresAt === undefined ? null : new Date(expiresAt * 1000)
    const changes = [{ field: 'expires_at', from: null, to: optionalMoment(expiresAt) }]
    for (const { thumbprint, kid = null, algorithm, publicJwk } of keys) {
      await transaction.clientKey.create({
        data: { clientId, thumbprint, kid, algorithm, publicJwk, expiresAt: end },
      })
      records.add('client_key', 'added', { clientId, credentialId: thumbprint }, end === null ? [] : changes)
    }
    await seals.read(transaction, { clientIds: [clientId] })
    seals.addKeys(
      clientId,
      keys.map((key) => ({ ...key, expiresAt })),
    )
    return { clientStatus: status }
  })
}

export interface KeyRevocation {
  readonly thumbprint: string
  /** False when it was revoked before. */
  readonly revoked: boolean
  /** How many valid keys the client has left. */
  readonly validLeft: number
}

/**
 * Revokes a key, in force when this returns. Tokens that were issued with it live until they expire.
 * @param name its thumbprint, or the kid of one that is not revoked.
 */
export async function revokeClientKey(
  context: RegistryContext,
  clientId: string,
  name: string,
): Promise<KeyRevocation> {
  return await changeSealed(context, async (transaction, records, seals) => {
    const now = context.clock.nowMilliseconds()
    const keys = await transaction.clientKey.findMany({ where: { clientId } })
    const named = keys.filter(({ thumbprint, kid }) => thumbprint === name || kid === name)
    const key = named.find(({ revokedAt }) => revokedAt === null) ?? named[0]
    if (key === undefined) {
      await requireClient(transaction, clientId)
      throw new AdministrationError('client_key_not_found', { clientId, key: name })
    }
    const { thumbprint } = key
    const { count } = await transaction.clientKey.updateMany({
      where: { clientId, thumbprint, revokedAt: null },
      data: { revokedAt: new Date(now) },
    })
    if (count === 1) records.add('client_key', 'revoked', { clientId, credentialId: thumbprint })
    await seals.read(transaction, { clientIds: [clientId] })
    seals.take(clientId, (client) => ({
      ...client,
      keys: (client.keys ?? []).filter((known) => known.thumbprint !== thumbprint),
    }))
    const validLeft = keys.filter((row) => row.thumbprint !== thumbprint && isValid(row, now)).length
    return { thumbprint, revoked: count === 1, validLeft }
  })
}
