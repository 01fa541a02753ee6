import { generateSecret, type NewSecret } from '../authentication/secret-hash.ts'
import { databaseNow } from '../database/clock.ts'
import type { Queryable } from '../database/open.ts'
import { AdministrationError } from '../errors.ts'
import { findChangesOfLast } from '../ledger/record-store.ts'
import { optionalMoment } from '../lib/moment.ts'
import { limits } from '../limits.ts'
import { requireClientWithSecrets } from './client-store.ts'
import { changeSealed } from './sealing.ts'
import {
  endReplaced,
  insertSecret,
  type ReplacedSecret,
  readReplaceable,
  type SecretContext,
} from './secret-store.ts'

export interface RotateOptions {
  /** Seconds for which the secrets before stay valid. 0: they are revoked. */
  readonly overlapSeconds: number
  /** They also end when nobody has used them for so many seconds. */
  readonly unusedSeconds?: number | undefined
  /** Seconds since the command began. A secret that replaced others since then is not replaced. */
  readonly elapsedSeconds?: () => number
  /** When the new one expires, in seconds since 1970; undefined: never. */
  readonly expiresAt?: number | undefined
  /** Given the secret just before the COMMIT. If it throws, the whole change is undone. */
  readonly deliver?: (secret: NewSecret) => void
}

export interface SecretRotation {
  readonly secret: NewSecret
  readonly clientStatus: string
  /** The secrets that it replaces. */
  readonly replaced: readonly ReplacedSecret[]
}

/**
 * Replaces the secrets of a client: it gets a new one, and those before get an end. An earlier end of theirs stays. The
 * ends stand in their rows, so they come whether a process runs or not.
 */
export async function rotateSecret(
  context: SecretContext,
  clientId: string,
  options: RotateOptions,
): Promise<SecretRotation> {
  const { expiresAt, overlapSeconds, unusedSeconds } = options
  const secret = await generateSecret()
  const { secretId, hash } = secret
  return await changeSealed(
    context,
    async (transaction, records, seals) => {
      // Not by the clock of this machine: if that is behind, the secret in use would end at once.
      const now = Math.floor(await databaseNow(transaction))
      if (options.elapsedSeconds !== undefined)
        await refuseIfReplaced(transaction, clientId, options.elapsedSeconds())
      const { clientStatus, replaced } = await planRotation(transaction, clientId, overlapSeconds, now)
      const endsAt = now + overlapSeconds
      await insertSecret(transaction, clientId, secret, expiresAt)
      await endReplaced(transaction, replaced, { replacedBy: secretId, endsAt, unusedSeconds, now })
      await context.tagMaker?.write(transaction, [{ clientId, ...secret }])
      await seals.read(transaction, { clientIds: [clientId] })
      const ends = new Map(replaced.map((each) => [each.secretId, each.endsAt]))
      seals.take(clientId, (client) => ({
        ...client,
        secrets: client.secrets.map((known) => ({
          ...known,
          expiresAt: earlier(known.expiresAt, ends.get(known.secretId)),
        })),
      }))
      seals.addSecret(clientId, { secretId, hash, expiresAt })
      const replaces = { replaces: replaced.map((each) => each.secretId) }
      const added = [{ field: 'expires_at', from: null, to: optionalMoment(expiresAt) }]
      const changes = expiresAt === undefined ? [] : added
      records.add('secret', 'added', { clientId, credentialId: secretId }, changes, replaces)
      const more = {
        replaced_by: secretId,
        ...(unusedSeconds === undefined ? {} : { ends_when_unused_seconds: unusedSeconds }),
      }
      for (const each of replaced) {
        const change = {
          field: 'expires_at',
          from: optionalMoment(each.endedAt),
          to: optionalMoment(each.endsAt),
        }
        const outcome = overlapSeconds > 0 ? 'changed' : 'revoked'
        records.add('secret', outcome, { clientId, credentialId: each.secretId }, [change], more)
      }
      return { secret, clientStatus, replaced }
    },
    { beforeCommit: () => options.deliver?.(secret) },
  )
}

/**
 * What a replacement would do now, and whether it may be done.
 * @param now seconds since 1970.
 * @throws AdministrationError if the client may have no secret, or no more.
 */
export async function planRotation(
  database: Queryable,
  clientId: string,
  overlapSeconds: number,
  now: number,
): Promise<Omit<SecretRotation, 'secret'>> {
  const { status: clientStatus } = await requireClientWithSecrets(database, clientId)
  const before = await readReplaceable(database, clientId, now)
  const limit = limits.secretsPerClientMax
  if (overlapSeconds > 0 && before.length >= limit) {
    throw new AdministrationError('secrets_too_many', { clientId, count: before.length, limit })
  }
  const endsAt = now + overlapSeconds
  const replaced = before.map((each) => ({ ...each, endsAt: Math.min(each.endedAt ?? endsAt, endsAt) }))
  return { clientStatus, replaced }
}

/**
 * Two people replace the secret of a client at the same moment, and each puts a new one into its place. The first of the
 * two would end without a word to the person who has it.
 */
async function refuseIfReplaced(
  transaction: Queryable,
  clientId: string,
  elapsedSeconds: number,
): Promise<void> {
  const changes = await findChangesOfLast(transaction, elapsedSeconds)
  const replacing = changes.find(
    ({ type, outcome, detail, ...change }) =>
      type === 'secret' &&
      outcome === 'added' &&
      change.clientId === clientId &&
      detail?.['replaces'] !== undefined,
  )
  if (replacing?.credentialId === undefined) return
  throw new AdministrationError('secret_replaced_meanwhile', { clientId, secretId: replacing.credentialId })
}

function earlier(one: number | undefined, other: number | undefined): number | undefined {
  if (one === undefined || other === undefined) return one ?? other
  return Math.min(one, other)
}
