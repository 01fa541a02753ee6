/** Which revocation lists can be relied on, and what one says. Beside certificates: certificate-judge.test.ts. */
import { generateKeyPairSync } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { type RevocationList, readRevocationLists } from '../../src/authentication/revocation-list.ts'
import { limits } from '../../src/limits.ts'
import {
  bits,
  extension,
  integer,
  makeCa,
  makeCertificate,
  makeRevocationList,
  name,
  octets,
  oid,
  pem,
  sequence,
  set,
  time,
  tlv,
  truth,
  utf8,
} from '../support/x509.ts'

const now = 1_800_000_000
const ecdsa = sequence(oid('1.2.840.10045.4.3.2'))
const issuer: Parameters<typeof name>[0] = [[['O', 'Test']], [['CN', 'Root']]]
const serials = [integer(Buffer.from('00c0ffee', 'hex')), integer(7)] as const
const entry = (serial: Buffer, ...more: readonly Buffer[]) => sequence(serial, time(now - 60), ...more)
const entryWith = (...extensions: readonly Buffer[]) => entry(serials[0], sequence(...extensions))
const known = extension('2.5.29.21', false, tlv(0x0a, Buffer.from([1])))
const unknown = extension('1.2.3.4', false, utf8('x'))
const critical = extension('2.5.29.29', true, sequence())

/** The parts of a list (RFC 5280 §5.1), which a test leaves out, replaces, or adds to. */
const parts = {
  version: [integer(1)],
  algorithm: ecdsa,
  issuer: name(issuer),
  thisUpdate: time(now - 60),
  nextUpdate: [time(now + 60)],
  entries: [entry(serials[0]), entry(serials[1])],
  extensions: [extension('2.5.29.20', false, integer(1))],
  /** After the last part of what is signed. */
  more: [] as readonly Buffer[],
  outerAlgorithm: ecdsa,
  signature: bits(Buffer.alloc(8)),
  /** After the signature. */
  end: [] as readonly Buffer[],
}
type Parts = {
  readonly [Part in keyof typeof parts]: (typeof parts)[Part] extends Buffer ? Buffer : readonly Buffer[]
}

function listOf(changes: Partial<Parts> = {}): string {
  const given: Parts = { ...parts, ...changes }
  const signed = sequence(
    ...given.version,
    given.algorithm,
    given.issuer,
    given.thisUpdate,
    ...given.nextUpdate,
    ...(given.entries.length === 0 ? [] : [sequence(...given.entries)]),
    ...(given.extensions.length === 0 ? [] : [tlv(0xa0, sequence(...given.extensions))]),
    ...given.more,
  )
  return pem('X509 CRL', sequence(signed, given.outerAlgorithm, given.signature, ...given.end))
}

const read = (changes: Partial<Parts> = {}) => readRevocationLists(listOf(changes))[0] as RevocationList

describe('a list', () => {
  const said = {
    issuer: JSON.stringify([[['2.5.4.10', 'Test', '']], [['2.5.4.3', 'Root', '']]]),
    thisUpdate: now - 60,
    nextUpdate: now + 60,
    revoked: new Set(['00c0ffee', '07']),
  }

  test('says who issued it, when, until when it counts, and what is revoked', () => {
    expect(read()).toMatchObject(said)
  })

  test.for<[what: string, changes: Partial<Parts>]>([
    ['of version 1', { version: [], extensions: [] }],
    ['without extensions', { extensions: [] }],
    ['with an extension that nobody knows', { extensions: [unknown] }],
    [
      'whose entries have extensions',
      { entries: [entryWith(known, unknown), entry(serials[1], sequence())] },
    ],
    ['with times after 2049', { nextUpdate: [tlv(0x18, Buffer.from('21000101000000Z'))] }],
  ])('%s says the same', ([, changes]) => {
    const { nextUpdate, ...rest } = said
    expect(read(changes)).toMatchObject(rest)
    expect(read(changes).nextUpdate).toBeGreaterThanOrEqual(nextUpdate)
  })

  test('without entries revokes nothing', () => {
    expect(read({ entries: [] }).revoked).toEqual(new Set())
  })

  test('is signed by the key of its CA, and by no other', () => {
    const [root, other] = [makeCa('O=Test,CN=Root'), makeCa('O=Test,CN=Root')]
    const [list] = readRevocationLists(makeRevocationList(root, [makeCertificate(root)]))
    expect(list?.isSignedBy(root.publicKey)).toBe(true)
    expect(list?.isSignedBy(other.publicKey)).toBe(false)
    expect(list?.isSignedBy(generateKeyPairSync('ed25519').publicKey)).toBe(false)
  })
})

/** What is said, and what the reader found. */
function refusal(text: string): { message: string; cause: unknown } | 'taken' {
  try {
    readRevocationLists(text)
  } catch (error) {
    const { message, cause } = error as Error
    return { message, cause: (cause as Error | undefined)?.message }
  }
  return 'taken'
}

describe('is not the whole list of one CA:', () => {
  test.for<[what: string, changes: Partial<Parts>]>([
    ['a list of changes', { extensions: [extension('2.5.29.27', true, integer(1))] }],
    [
      'a list of changes that does not call that critical',
      { extensions: [extension('2.5.29.27', false, integer(1))] },
    ],
    ['a list of a part', { extensions: [extension('2.5.29.28', true, sequence())] }],
    [
      'a list of a part that does not call that critical',
      { extensions: [extension('2.5.29.28', false, sequence())] },
    ],
    ['a critical extension that nobody knows', { extensions: [unknown, critical] }],
    ['an entry of another CA', { entries: [entry(serials[1]), entryWith(known, critical)] }],
  ])('%s', ([, changes]) => {
    const message = 'has a revocation list that is not the whole one of one CA'
    expect(refusal(listOf(changes))).toEqual({ message, cause: undefined })
  })

  test('a list without the time of its next update', () => {
    const message = 'has a revocation list without the time of its next update'
    expect(refusal(listOf({ nextUpdate: [] }))).toEqual({ message, cause: undefined })
  })
})

describe('is malformed:', () => {
  const more = 'there is more than there should be'
  const type = 'a value is of another type'
  test.for<[what: string, cause: string, changes: Partial<Parts>]>([
    ['version 3', 'is of another version', { version: [integer(2)] }],
    ['version 1, written out', 'is of another version', { version: [integer(0)] }],
    [
      'another algorithm inside than outside',
      'names one algorithm and is signed with another',
      { algorithm: sequence(oid('1.2.840.10045.4.3.3')) },
    ],
    ['something after the extensions', more, { more: [utf8('x')] }],
    ['something after the signature', more, { end: [utf8('x')] }],
    [
      'something after the extensions of an entry',
      more,
      { entries: [entry(serials[0], sequence(), utf8('x'))] },
    ],
    ['an entry without a time', 'a value is cut off', { entries: [sequence(serials[0])] }],
    [
      'an entry with a time that is none',
      'a time is malformed',
      { entries: [sequence(serials[0], utf8('x'))] },
    ],
    ['an entry without a number', type, { entries: [sequence(time(now))] }],
    ['an entry that is none', type, { entries: [set(serials[0], time(now))] }],
    ['an entry with extensions that are none', type, { entries: [entry(serials[0], octets(unknown))] }],
    ['an entry with an extension twice', 'has an extension twice', { entries: [entryWith(known, known)] }],
    ['an extension twice', 'has an extension twice', { extensions: [unknown, unknown] }],
    ['an extension that is none', 'has an extension that is malformed', { extensions: [truth(true)] }],
    ['a time of issue that is none', 'a time is malformed', { thisUpdate: utf8('x') }],
    [
      'a time of the next update that is none',
      'a time is malformed',
      { nextUpdate: [tlv(0x17, Buffer.from('x'))] },
    ],
    ['a signature of another type', type, { signature: octets(Buffer.alloc(8)) }],
  ])('%s', ([, cause, changes]) => {
    expect(refusal(listOf(changes))).toEqual({ message: 'has a revocation list that is malformed', cause })
  })
})

describe('the file', () => {
  const nothingElse = 'must have revocation lists in PEM (X509 CRL), and nothing else'

  test('may have several lists, and text around them', () => {
    const text = `first\n${listOf()}second\n${listOf({ entries: [] })}`
    expect(readRevocationLists(text).map(({ revoked }) => revoked.size)).toEqual([2, 0])
  })

  test('has lists, and nothing else', () => {
    const { pem: certificate } = makeCa('CN=Root')
    for (const text of ['', 'text', certificate, listOf() + certificate, certificate + listOf()]) {
      expect(refusal(text)).toMatchObject({ message: nothingElse })
    }
  })

  test('has so many characters, and no more', () => {
    const most = limits.revocationListCharactersMax
    const text = listOf() + ' '.repeat(most - listOf().length)
    expect(refusal(text)).toBe('taken')
    expect(refusal(`${text} `)).toMatchObject({ message: `has more than ${most} characters` })
  })
})
