import { randomBytes } from 'node:crypto'
import { crc32 } from 'node:zlib'
import argon2 from 'argon2'

/**
 * Client secrets: made here and nowhere else, 256 bits, never chosen by people.
 *
 *     mm_ k3v9x2ab 0J7…43 characters…Qd 4fT0aZ
 *     │   │        │                    └ checksum: CRC-32 of all before it
 *     │   │        └ 256 random bits
 *     │   └ secret id: says which hash to check, and names the secret in the ledger
 *     └ prefix: lets scanners find a leaked one
 *
 * All of it letters and digits, so that no client's percent-encoding (RFC 6749 §2.3.1) can spoil it.
 * The checksum is no secret: it lets a typing error or a made-up guess die before it costs a hash.
 */
const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const prefix = 'mm_'
const secretIdLength = 8
const randomLength = 43
const checksumLength = 6
const form = /^mm_([0-9A-Za-z]{8})[0-9A-Za-z]{49}$/

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
  const secretId = baseSixtyTwo(random(16)).padStart(secretIdLength, '0').slice(-secretIdLength)
  const body = `${prefix}${secretId}${baseSixtyTwo(random(32)).padStart(randomLength, '0')}`
  const secret = body + checksum(body)
  return { secretId, secret, hint: `${prefix}${secretId}…`, hash: await argon2.hash(secret, argon2Options) }
}

/** The secret id inside a well-formed secret, or undefined: then it cannot be one of ours. */
export function secretIdOf(secret: string): string | undefined {
  if (secret.length !== prefix.length + secretIdLength + randomLength + checksumLength) return undefined
  const match = form.exec(secret)
  if (match === null) return undefined
  const body = secret.slice(0, -checksumLength)
  return checksum(body) === secret.slice(-checksumLength) ? match[1] : undefined
}

/**
 * A hash that no secret has, of the usual cost: what a guess is checked against when there is nothing to
 * check it against, so that the time taken does not tell which clients and secrets exist.
 */
export function hashOfNothing(random: (size: number) => Buffer = randomBytes): string {
  const unpadded = (bytes: Buffer) => bytes.toString('base64').replaceAll('=', '')
  const { memoryCost, timeCost, parallelism } = argon2Options
  return `$argon2id$v=19$m=${memoryCost},t=${timeCost},p=${parallelism}$${unpadded(random(16))}$${unpadded(random(32))}`
}

/** Costs that a stored hash may ask for. A row edited by hand must not make the service allocate gigabytes. */
const costsMax: Readonly<Record<string, number>> = { m: 262_144, t: 16, p: 8 }
const hashForm =
  /^\$argon2id\$v=19\$([mtp]=\d{1,7}),([mtp]=\d{1,7}),([mtp]=\d{1,7})\$[\w+/]{11,86}\$[\w+/]{22,86}$/

function isUsable(hash: string): boolean {
  const costs =
    hashForm
      .exec(hash)
      ?.slice(1)
      .map((cost) => cost.split('=')) ?? []
  return costs.length === 3 && costs.every(([name = '', value]) => Number(value) <= (costsMax[name] ?? 0))
}

export class UnusableHash extends Error {
  override readonly name = 'UnusableHash'
}

/** @throws UnusableHash when the stored text is no argon2id hash of a bearable cost. */
export async function secretMatches(hash: string, secret: string): Promise<boolean> {
  if (!isUsable(hash)) throw new UnusableHash('the stored hash is not a usable argon2id hash')
  try {
    return await argon2.verify(hash, secret)
  } catch (error) {
    throw new UnusableHash('argon2 cannot read the stored hash', { cause: error })
  }
}

function checksum(text: string): string {
  let rest = crc32(text)
  let digits = ''
  while (digits.length < checksumLength) {
    digits = alphabet.charAt(rest % 62) + digits
    rest = Math.floor(rest / 62)
  }
  return digits
}

function baseSixtyTwo(bytes: Buffer): string {
  let rest = BigInt(`0x${bytes.toString('hex')}`)
  let digits = ''
  while (rest > 0n) {
    digits = alphabet.charAt(Number(rest % 62n)) + digits
    rest /= 62n
  }
  return digits
}
