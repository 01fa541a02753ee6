import { availableParallelism } from 'node:os'
import { secretIdOf, UnusableHash } from '../authentication/secret.ts'
import { secretMatches } from '../authentication/secret-hash.ts'
import { AdministrationError } from '../errors.ts'
import { limits } from '../limits.ts'
import type { RegistryContext } from './sealing.ts'
import { findSecrets, type NamedSecret, revokeSecrets } from './secret-store.ts'

/**
 * Revokes leaked secrets by the secrets themselves: the finder does not have to know their client.
 *
 * The id in a secret is not enough. It is in logs, so anybody could publish an invented secret with the id of a real
 * one, and get that revoked. So each secret is first compared with its hash.
 */
export interface LeakedSecret {
  /** Counted from 1. */
  readonly line: number
  /** Undefined: the line has no whole secret of this service. */
  readonly secret: string | undefined
  /** The id at the beginning of a secret, also of an incomplete one. The id is not secret. */
  readonly secretId: string | undefined
}

export type LeakOutcome =
  | 'revoked'
  /** It would be, if this were not only asked. */
  | 'to_revoke'
  | 'already_revoked'
  /** There is no secret with this id here: it belongs to another environment, or somebody invented it. */
  | 'unknown'
  /** There is one of this id, and it is another one. */
  | 'not_the_secret'
  /** Cut off, mistyped, or something else. */
  | 'malformed'

export interface LeakFinding {
  readonly line: number
  readonly outcome: LeakOutcome
  readonly secretId: string | undefined
  readonly clientId: string | undefined
  readonly clientStatus: string | undefined
}

const candidate = /(?<![0-9A-Za-z])mm_[0-9A-Za-z]+/g
const idInFront = /^mm_([0-9A-Za-z]{8})/

/**
 * The secrets in a text, a line each. Other text in a line does not matter, and empty lines do not count.
 * @throws AdministrationError when there are too many.
 */
export function readLeaked(text: string): LeakedSecret[] {
  const found = text.split(/\r\n|\r|\n/).flatMap((content, index): LeakedSecret[] => {
    if (content.trim() === '') return []
    const line = index + 1
    const candidates = content.match(candidate) ?? []
    const whole = candidates.filter((each) => secretIdOf(each) !== undefined)
    if (whole.length > 0) return whole.map((secret) => ({ line, secret, secretId: secretIdOf(secret) }))
    const secretId = candidates.map((each) => idInFront.exec(each)?.[1]).find((id) => id !== undefined)
    return [{ line, secret: undefined, secretId }]
  })
  const limit = limits.leakedSecretsMax
  if (found.length > limit)
    throw new AdministrationError('leaked_secrets_too_many', { count: found.length, limit })
  return found
}

/** @param isDryRun finds out what would be done, and does nothing. */
export async function revokeLeaked(
  context: RegistryContext,
  leaked: readonly LeakedSecret[],
  isDryRun: boolean,
): Promise<LeakFinding[]> {
  const { database, clock } = context
  const secretIds = [...new Set(leaked.flatMap(({ secretId }) => secretId ?? []))]
  const known = await findSecrets(database.prisma, secretIds, clock.nowMilliseconds())
  const judged = await judgeAll(leaked, known)
  const due = new Map(
    judged.flatMap(({ outcome, named }) =>
      outcome === 'to_revoke' && named ? [[named.secretId, named] as const] : [],
    ),
  )
  const revoked =
    isDryRun || due.size === 0 ? new Set<string>() : await revokeSecrets(context, [...due.values()])
  const told = new Set<string>()
  return judged.map(({ line, secretId, outcome, named }) => {
    const common = { line, secretId, clientId: named?.clientId, clientStatus: named?.clientStatus }
    if (outcome !== 'to_revoke' || isDryRun || secretId === undefined) return { ...common, outcome }
    // The same secret on a later line was revoked by the first, and one that is gone meanwhile by somebody else.
    const isFirst = revoked.has(secretId) && !told.has(secretId)
    told.add(secretId)
    return { ...common, outcome: isFirst ? 'revoked' : 'already_revoked' }
  })
}

interface Judged {
  readonly line: number
  readonly secretId: string | undefined
  readonly outcome: LeakOutcome
  readonly named: NamedSecret | undefined
}

/** As many at once as there are cores: each hash keeps one busy. */
async function judgeAll(
  leaked: readonly LeakedSecret[],
  known: ReadonlyMap<string, NamedSecret>,
): Promise<Judged[]> {
  const judged: Judged[] = []
  const waiting = leaked.entries()
  const work = async (): Promise<void> => {
    for (const [index, each] of waiting) {
      const named = each.secretId === undefined ? undefined : known.get(each.secretId)
      judged[index] = { ...each, named, outcome: await judge(each.secret, named) }
    }
  }
  await Promise.all(Array.from({ length: Math.min(availableParallelism(), leaked.length) }, work))
  return judged.map(({ line, secretId, outcome, named }) => ({ line, secretId, outcome, named }))
}

async function judge(secret: string | undefined, named: NamedSecret | undefined): Promise<LeakOutcome> {
  if (secret === undefined) return 'malformed'
  if (named === undefined) return 'unknown'
  if (named.state === 'revoked') return 'already_revoked'
  try {
    return (await secretMatches(named.hash, secret)) ? 'to_revoke' : 'not_the_secret'
  } catch (error) {
    // Nobody can use it, and nobody can say that it is another one.
    if (error instanceof UnusableHash) return 'to_revoke'
    throw error
  }
}
