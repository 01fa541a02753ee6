import { crc32 } from 'node:zlib'

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
 * The checksum is no secret: it refuses a typing error or an invented secret before a hash is spent on it.
 */
const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const prefix = 'mm_'
const secretIdLength = 8
const randomLength = 43
const checksumLength = 6
const form = /^mm_([0-9A-Za-z]{8})[0-9A-Za-z]{49}$/

/**
 * A new secret and the id inside it.
 * @param random gives so many random bytes.
 */
export function makeSecret(random: (size: number) => Buffer): {
  readonly secretId: string
  readonly secret: string
} {
  const secretId = baseSixtyTwo(random(16)).padStart(secretIdLength, '0').slice(-secretIdLength)
  const body = `${prefix}${secretId}${baseSixtyTwo(random(32)).padStart(randomLength, '0')}`
  return { secretId, secret: body + checksum(body) }
}

/** What identifies a secret in a vault or a leak. It does not help to guess the secret. */
export function hintOf(secretId: string): string {
  return `${prefix}${secretId}…`
}

/** The secret id inside a well-formed secret, or undefined: then it cannot be a secret of this service. */
export function secretIdOf(secret: string): string | undefined {
  if (secret.length !== prefix.length + secretIdLength + randomLength + checksumLength) return undefined
  const match = form.exec(secret)
  if (match === null) return undefined
  const body = secret.slice(0, -checksumLength)
  return checksum(body) === secret.slice(-checksumLength) ? match[1] : undefined
}

/** A stored text that no secret can be checked against. */
export class UnusableHash extends Error {
  override readonly name = 'UnusableHash'
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
