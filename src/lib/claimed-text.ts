import { createHmac, createSecretKey, hkdfSync, type KeyObject } from 'node:crypto'

/**
 * A value that a caller claims may be a credential in the wrong place: a secret as `client_id`, a token in the user
 * agent. This is the only rule for how such values are stored in the ledger, the log and the list of verifiers.
 *
 *   - A value that could be registered, or that its header may hold, and does not look like a credential is kept as it
 *     is: an operator has to see a typing error.
 *   - Of any other value only its length and a hash are kept, and the id of a whole secret of ours, which is no secret.
 *
 * The hash has a key. A plain hash of a secret of ours could stand anywhere: nobody guesses 256 bits. But most of what is
 * withheld is something else: a password that a person chose, the rest of a secret of which the other part is known, an
 * id and a short secret in base64. A copy of the ledger would be enough to guess those, as fast as a machine hashes. The
 * key is derived from the key-encryption key, so all processes write the same hash for the same value, and two records
 * can be compared.
 */
export class ClaimedText {
  readonly #key: KeyObject
  /** Values that looked harmless lately: most callers send the same ones again and again. */
  #harmless = new Set<string>()

  /** @param key the 32 bytes of the key-encryption key. */
  constructor(key: Buffer) {
    const derived = hkdfSync('sha256', key, Buffer.alloc(0), 'mintmark/claimed-text/v1', 32)
    this.#key = createSecretKey(Buffer.from(derived))
  }

  /** The value, or what is kept in its place. @param isPossible whether the value is in the grammar of its field. */
  keep(value: string, isPossible: boolean): string {
    return isPossible && this.#isHarmless(value) ? value : this.#withheld(value)
  }

  #isHarmless(value: string): boolean {
    if (this.#harmless.has(value)) return true
    if (looksLikeCredential(value)) return false
    if (this.#harmless.size >= harmlessMax) this.#harmless = new Set()
    if (value.length <= harmlessCharactersMax) this.#harmless.add(value)
    return true
  }

  /** It has spaces and brackets, so it can never be a registered id, audience or scope. */
  #withheld(value: string): string {
    const hash = createHmac('sha256', this.#key).update(value).digest('hex').slice(0, 16)
    const secretId = wholeSecret.exec(value)?.[1]
    const secret = secretId === undefined ? '' : `, secret mm_${secretId}…`
    return `[withheld: length ${value.length}, hash ${hash}${secret}]`
  }
}

/** Values, and characters of each, that are remembered as harmless: 1 MB at most. */
const harmlessMax = 4_096
const harmlessCharactersMax = 256

/** A whole secret of ours (authentication/secret.ts). Its id is not secret, and tells an operator what to revoke. */
const wholeSecret = /(?<![0-9A-Za-z])mm_([0-9A-Za-z]{8})[0-9A-Za-z]{49}(?![0-9A-Za-z])/

/** A shorter text holds no part of a secret that helps anybody. */
const credentialCharactersMin = 8

/**
 * Whether a text is a credential, or has one in it, as far as a program can tell: it says so itself, or it is too random
 * for something that a person named. The text is looked at as it is, and without percent-encoding.
 */
export function looksLikeCredential(text: string): boolean {
  if (text.length < credentialCharactersMin) return false
  if (isCredential(text)) return true
  let decoded = text
  // Some libraries encode twice.
  for (let round = 0; round < 3 && decoded.includes('%'); round += 1) {
    decoded = percentDecoded(decoded)
    if (isCredential(decoded)) return true
  }
  return false
}

/** Byte by byte: text that is not valid UTF-8 must be readable too. */
function percentDecoded(text: string): string {
  return text.replace(/%([0-9A-Fa-f]{2})/g, (_encoded, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  )
}

/**
 * What a credential says of itself. Strangers choose the text, and it may be as long as a header. So no expression may read
 * the same characters in two ways: that would take the square of the length.
 */
const telling = [
  // Several parameters in one value, because of wrong separators; also as JSON or in a query.
  /(?:client_secret|client_assertion|access_token|refresh_token|id_token|api_?key|passwo?r?d|secret)["']?\s*(?:[=:]|%3d)/i,
  // A secret of ours, whole or cut.
  /mm_[0-9A-Za-z]{12}/,
  // A JSON Web Token, or its beginning; PEM; a password hash.
  /eyJ[0-9A-Za-z_-]{8}/,
  /-----(?:BEGIN|END)|PRIVATE KEY/,
  /\$(?:argon2|2[aby]\$|scrypt|pbkdf2)/,
  // An Authorization header in another place.
  /(?:^|[\s"'(:=])(?:basic|bearer)\s+[0-9A-Za-z+/=._~-]{6}/i,
  // User and password in a URL.
  /\/\/[^/?#\s@:]*:[^/?#\s@]+@/,
  // Secrets of others, by their prefixes.
  /(?:AKIA|ASIA)[0-9A-Z]{12}|gh[oprsu]_[0-9A-Za-z]{10}|github_pat_|glpat-|xox[abprs]-|[rs]k_(?:live|test)_|AIza[0-9A-Za-z_-]{10}|hvs\./,
]

/** Whole credentials that cannot be anything else. Strangers' texts may be long, so none of these reads a character twice. */
const certain: readonly (readonly [RegExp, string])[] = [
  [new RegExp(wholeSecret, 'g'), 'mm_$1…'],
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-----END [A-Z ]*PRIVATE KEY-----)?/g, '[a private key]'],
  [/eyJ[\w-]{8,}\.[\w-]+\.[\w-]+/g, '[a token]'],
  [/(:\/\/[^/?#\s@:]*:)[^/?#\s@]+@/g, '$1…@'],
]

/**
 * A message without the credentials that somebody wrote in a wrong place: a secret in the place of a client, a URL with a
 * password in the place of a path. The rest of the message stays as it is.
 */
export function withoutCredentials(message: string): string {
  return certain.reduce((text, [form, shown]) => text.replace(form, shown), message)
}

/**
 * Random, and no secret: a UUID, as many systems name their clients by one, and the id of a secret of ours, as the ledger
 * shows it.
 */
const publicIds =
  /(?<![0-9A-Za-z])mm_[0-9A-Za-z]{8}(?![0-9A-Za-z])|(?<![0-9A-Za-z])[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(?![0-9A-Za-z])/g

function isCredential(text: string): boolean {
  if (telling.some((form) => form.test(text))) return true
  return isRandom(text.replace(publicIds, '')) || hasEncodedPair(text)
}

const maybeBase64 = /[0-9A-Za-z+/_-]{12,}/g

/** Base64 of `id:secret`. A word decodes to bytes that are no text. */
function hasEncodedPair(text: string): boolean {
  for (const [part] of text.matchAll(maybeBase64)) {
    const bytes = Buffer.from(part, 'base64').toString('latin1')
    // Not as one expression: with many colons that would take the square of their number.
    if (/^[\x20-\x7e]+$/.test(bytes) && bytes.slice(1, -1).includes(':')) return true
  }
  return false
}

/**
 * Pairs of letters that are common in what people write: nine of ten pairs in English documentation, and three of ten
 * in random letters. Each group is a letter, and the letters that follow it.
 */
const commonPairs =
  'abcdgilmnprstuvy baeiloru caehiklortu dadeiosu eacdefglmnopqrstvx faefiou gehir haeiot iabcdefglmnoprstvz jes kei ladeilostuy maeiop nacdefgiost obcdglmnoprstuvw paeiloprtu qu racdegimnorstuvy sacehiopstuy tacehiorstuy uabceilmnprst vaei waei xp yp ze'

const kinds = { other: 0, digit: 1, lower: 2, upper: 3 } as const

/** By character code: its kind, and its number in the alphabet. */
const kindOf = new Uint8Array(128)
const isCommon = new Uint8Array(26 * 26)
for (let code = 0x30; code <= 0x39; code += 1) kindOf[code] = kinds.digit
for (let letter = 0; letter < 26; letter += 1) {
  kindOf[0x61 + letter] = kinds.lower
  kindOf[0x41 + letter] = kinds.upper
}
for (const [first, ...followers] of commonPairs.split(' '))
  for (const second of followers) isCommon[numberOf(first ?? 'a') * 26 + numberOf(second)] = 1

function numberOf(letter: string): number {
  return letter.charCodeAt(0) - 0x61
}

/**
 * How much more probable a pair of characters is in a name than in random letters and digits, in bits; negative if it is
 * less probable. Names have common pairs of letters, and few changes of case and between letters and digits.
 */
function bitsOfPair(left: number, right: number): number {
  const leftKind = left < 128 ? (kindOf[left] as number) : kinds.other
  const rightKind = right < 128 ? (kindOf[right] as number) : kinds.other
  if (leftKind === kinds.other || rightKind === kinds.other) return 0.6
  if (leftKind === kinds.digit) return rightKind === kinds.digit ? 0.2 : -3
  if (rightKind === kinds.digit) return -1.5
  if (leftKind === kinds.lower && rightKind === kinds.upper) return -2.6
  const pair = ((left & 31) - 1) * 26 + (right & 31) - 1
  return (isCommon[pair] === 1 ? 1.6 : -2.8) + (leftKind === rightKind ? 0.6 : 0)
}

/** The bits of the least probable part of a text, from `start` to before `end`. */
function worstBits(text: string, start: number, end: number): number {
  let bits = 0
  let worst = 0
  for (let index = start + 1; index < end; index += 1) {
    bits = Math.min(0, bits + bitsOfPair(text.charCodeAt(index - 1), text.charCodeAt(index)))
    if (bits < worst) worst = bits
  }
  return worst
}

/** A whole text, with its separators. Several abbreviations in a row come close to it. */
const bitsOfText = -12.5

const run = /[0-9A-Za-z]{12,}/g
const hexadecimal = /^(?=.*[A-Fa-f])[0-9A-Fa-f]{24,}$/
const onlyDigits = /^[0-9]{24,}$/
const onlyLetters = /^[A-Za-z]+$/
const bothCases = /[a-z].*[A-Z]|[A-Z].*[a-z]/

/** Names have separators. So the longer a run of letters and digits is, the less it takes to find it random. */
function bitsOfRun(part: string): number {
  // Words of other languages have other pairs.
  if (onlyLetters.test(part)) return -8.5
  if (part.length >= 20) return -4.3
  return bothCases.test(part) ? -5 : part.length >= 16 ? -6 : -7.5
}

function isRandom(text: string): boolean {
  if (worstBits(text, 0, text.length) <= bitsOfText) return true
  for (const match of text.matchAll(run)) {
    const [part] = match
    if (hexadecimal.test(part) || onlyDigits.test(part)) return true
    if (worstBits(text, match.index, match.index + part.length) <= bitsOfRun(part)) return true
  }
  return false
}
