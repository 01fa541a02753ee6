import { randomBytes } from 'node:crypto'
import argon2 from 'argon2'
import { hintOf, makeSecret, UnusableHash } from './secret.ts'

/** Secrets at rest: argon2id, and nothing else hashes here. */

/** OWASP's recommendation for argon2id: 19 MiB, two passes, one lane. About 26 ms of CPU. */
const argon2Options = { type: argon2.argon2id, memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const

export interface NewSecret {
  readonly secretId: string
  /** The thing itself; shown once. */
  readonly secret: string
  readonly hint: string
  readonly hash: string
}

export async function generateSecret(random: (size: number) => Buffer = randomBytes): Promise<NewSecret> {
  const { secretId, secret } = makeSecret(random)
  return { secretId, secret, hint: hintOf(secretId), hash: await argon2.hash(secret, argon2Options) }
}

/** Costs that a stored hash may ask for. A row edited by hand must not make the service allocate gigabytes. */
const costsMax: Readonly<Record<string, number>> = { m: 262_144, t: 16, p: 8 }
const hashForm =
  /^\$argon2id\$v=19\$([mtp]=\d{1,7}),([mtp]=\d{1,7}),([mtp]=\d{1,7})\$[\w+/]{11,86}\$[\w+/]{22,86}$/

function isUsable(hash: string): boolean {
  const costs = hashForm.exec(hash)?.slice(1)
  return costs?.every((cost) => Number(cost.slice(2)) <= (costsMax[cost.slice(0, 1)] ?? 0)) === true
}

/** @throws UnusableHash when the stored text is not an argon2id hash, or would cost too much. */
export async function secretMatches(hash: string, secret: string): Promise<boolean> {
  if (!isUsable(hash)) throw new UnusableHash('the stored hash is not a usable argon2id hash')
  try {
    return await argon2.verify(hash, secret)
  } catch (error) {
    throw new UnusableHash('argon2 cannot read the stored hash', { cause: error })
  }
}
