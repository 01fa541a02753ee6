import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import type { EndingSecret } from '../authentication/secret-expiry.ts'
import type { Statements } from '../database/open.ts'
import { link } from '../ledger/chain.ts'
import { type Actor, ChangeRecords } from '../ledger/change-records.ts'
import { reserveChain } from '../ledger/hand-change-store.ts'
import type { Clock } from '../lib/clock.ts'
import { momentText, optionalMoment } from '../lib/moment.ts'
import { type Repeated, repeat } from '../lib/repeated.ts'
import { limits } from '../limits.ts'
import { release } from '../release.ts'
import { endUnused, findExpiring, type UnusedSecret, watchUnused } from './secret-end-store.ts'

/**
 * What a process that serves does about secrets that end: it ends replaced secrets that are no longer used, and warns
 * about secrets that end while they are needed. Each process does this. No decision about a token depends on it,
 * because the end of a secret is in its row.
 */
export interface SecretWatchOptions {
  readonly database: Statements
  readonly clock: Clock
  readonly actor: Actor
  /** Told of each secret when its end is near, and again on its last day. */
  readonly onExpiring: (secrets: readonly EndingSecret[]) => void
  readonly onEnded: (secret: UnusedSecret) => void
  readonly onFault: (error: unknown) => void
}

const lastDaySeconds = 86_400

export class SecretWatch {
  readonly #options: SecretWatchOptions
  readonly #looks: Repeated
  #expiring: readonly EndingSecret[] = []
  #told = new Set<string>()

  constructor(options: SecretWatchOptions) {
    this.#options = options
    this.#looks = repeat(limits.secretLookMilliseconds, () => this.#look(), options.onFault)
    void this.#looks.now()
  }

  /** Whether a secret ends soon that is needed. */
  get hasExpiring(): boolean {
    const now = this.#options.clock.nowSeconds()
    return this.#expiring.some(({ expiresAt }) => expiresAt > now)
  }

  /** Resolves when the look that is under way is over. */
  async idle(): Promise<void> {
    await this.#looks.idle()
  }

  async close(): Promise<void> {
    await this.#looks.close()
  }

  async #look(): Promise<void> {
    const { database, clock, actor, onEnded } = this.#options
    for (const secret of await endUnusedSecrets(database, clock, actor)) onEnded(secret)
    this.#expiring = await findExpiring(database, clock.nowSeconds())
    this.#tell()
  }

  #tell(): void {
    const { clock, onExpiring } = this.#options
    const now = clock.nowSeconds()
    const keys = new Map(
      this.#expiring.map((secret) => {
        const isLastDay = secret.expiresAt - now < lastDaySeconds
        return [`${secret.secretId} ${isLastDay ? 'last day' : 'soon'}`, secret] as const
      }),
    )
    const news = [...keys].flatMap(([key, secret]) => (this.#told.has(key) ? [] : [secret]))
    this.#told = new Set(keys.keys())
    if (news.length > 0) onExpiring(news)
  }
}

/** Ends the secrets that are due now. @returns the secrets that this call has ended. */
export async function endUnusedSecrets(
  database: Statements,
  clock: Pick<Clock, 'nowMilliseconds'>,
  actor: Actor,
): Promise<UnusedSecret[]> {
  const ended: UnusedSecret[] = []
  for (const secret of await watchUnused(database)) {
    const records = new ChangeRecords(clock.nowMilliseconds(), actor)
    const { clientId, secretId, expiresAt } = secret
    const change = {
      field: 'expires_at',
      from: optionalMoment(expiresAt ?? undefined),
      to: momentText(secret.now),
    }
    records.add('secret', 'ended', { clientId, credentialId: secretId }, [change], {
      because: 'unused',
      unused_seconds: secret.unusedSeconds,
      last_used_at: optionalMoment(secret.lastUsedAt ?? undefined),
      replaced_by: secret.replacedBy,
    })
    const head = { chain: await reserveChain(database), seq: 0, hash: randomBytes(32) }
    const openedBy = `${hostname()} ${process.pid} mintmark/${release}`
    const { json } = link(head, records.all)
    if (await endUnused(database, secretId, head, openedBy, json)) ended.push(secret)
  }
  return ended
}
