import type { KeyObject } from 'node:crypto'
import { DerReader, type DerValue, onlyValue, smallInteger, tags, timeOf } from '../lib/der.ts'
import { pemBlocks } from '../lib/pem.ts'
import { limits } from '../limits.ts'
import { readExtensions, readName, readTaggedExtensions } from './certificate-reader.ts'
import { isSignatureRight } from './certificate-signature.ts'
import { nameText } from './distinguished-name.ts'

/** Lists of certificates that a CA has revoked (RFC 5280 §5). Only whole ones, each by the CA that issued what it lists. */
export interface RevocationList {
  /** The text of the name (distinguished-name.ts). */
  readonly issuer: string
  /** From then on it is too old to rely on. Seconds since 1970. */
  readonly nextUpdate: number
  readonly thisUpdate: number
  /** Serial numbers. */
  readonly revoked: ReadonlySet<string>
  readonly isSignedBy: (issuer: KeyObject) => boolean
}

/** Parts of a list that change what it means, and that are not understood: a list of a part, of changes, or of other CAs. */
const partial: ReadonlySet<string> = new Set(['2.5.29.27', '2.5.29.28'])

/**
 * The lists in a file, in PEM.
 * @throws Error with what is wrong, which completes "the file …".
 */
export function readRevocationLists(text: string): RevocationList[] {
  if (text.length > limits.revocationListCharactersMax)
    throw new Error(`has more than ${limits.revocationListCharactersMax} characters`)
  const blocks = pemBlocks(text)
  if (blocks.length === 0 || blocks.some(({ label }) => label !== 'X509 CRL'))
    throw new Error('must have revocation lists in PEM (X509 CRL), and nothing else')
  return blocks.map(({ der }) => readList(der))
}

/** Says something that a reader must know, and that is not read here. */
class NotWhole extends Error {}

function readList(der: Buffer): RevocationList {
  try {
    return listIn(der)
  } catch (error) {
    if (error instanceof NotWhole) throw error
    throw new Error('has a revocation list that is malformed', { cause: error })
  }
}

function listIn(der: Buffer): RevocationList {
  const whole = new DerReader(onlyValue(der, tags.sequence).content)
  const signed = whole.next(tags.sequence)
  const algorithm = whole.next(tags.sequence)
  const signature = whole.next(tags.bitString).content.subarray(1)
  whole.end()
  const content = new DerReader(signed.content)
  const version = content.optional(tags.integer)
  if (version !== undefined && smallInteger(version) !== 1) throw new Error('is of another version')
  if (!content.next(tags.sequence).whole.equals(algorithm.whole))
    throw new Error('names one algorithm and is signed with another')
  const issuer = nameText(readName(content.next(tags.sequence)))
  const thisUpdate = timeOf(content.next())
  const next = content.optional(tags.utcTime) ?? content.optional(tags.generalizedTime)
  if (next === undefined) throw new NotWhole('has a revocation list without the time of its next update')
  const revoked = serialNumbersIn(content.optional(tags.sequence))
  const extensions = readTaggedExtensions(content.optional(0xa0))
  content.end()
  if ([...extensions].some(([id, { isCritical }]) => isCritical || partial.has(id))) throw notWhole()
  return {
    issuer,
    thisUpdate,
    nextUpdate: timeOf(next),
    revoked,
    isSignedBy: (key) => isSignatureRight(algorithm, signed.whole, signature, key),
  }
}

const notWhole = (): NotWhole => new NotWhole('has a revocation list that is not the whole one of one CA')

/** Made for half a million of them: nothing is kept of an entry but its number. */
function serialNumbersIn(list: DerValue | undefined): ReadonlySet<string> {
  const serialNumbers = new Set<string>()
  const entries = new DerReader(list?.content ?? Buffer.alloc(0))
  while (!entries.isAtEnd) {
    const entry = entries.inside(tags.sequence)
    serialNumbers.add(entry.next(tags.integer).content.toString('hex'))
    timeOf(entry.next())
    if (entry.isAtEnd) continue
    const extensions = readExtensions(entry.next(tags.sequence))
    entry.end()
    if ([...extensions.values()].some(({ isCritical }) => isCritical)) throw notWhole()
  }
  return serialNumbers
}
