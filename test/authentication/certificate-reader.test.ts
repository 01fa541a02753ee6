/**
 * What we read of certificates is what a library reads of them, and what the development CA writes is what we take.
 *
 * Long because it is a table of what certificates can say, and of what makes one malformed.
 */
import { generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto'
import { AsnConvert } from '@peculiar/asn1-schema'
import { Certificate, SubjectAlternativeName } from '@peculiar/asn1-x509'
import { describe, expect, test } from 'vitest'
import { presentedCertificate, trustRefusal } from '../../src/authentication/certificate.ts'
import { CertificateJudge } from '../../src/authentication/certificate-judge.ts'
import { readCertificate } from '../../src/authentication/certificate-reader.ts'
import { pemBlocks } from '../../src/lib/pem.ts'
import { limits } from '../../src/limits.ts'
import { certificate, rsaCertificate } from '../support/certificate.ts'
import { command, succeeding } from '../support/command.ts'
import { scratch } from '../support/scratch.ts'
import {
  bits,
  extension,
  general,
  ia5,
  integer,
  makeCa,
  makeCertificate,
  name,
  octets,
  oid,
  printable,
  sequence,
  set,
  time,
  tlv,
  truth,
  utf8,
} from '../support/x509.ts'

const root = makeCa('O=Test,CN=Root', { key: 'rsa' })

describe('the same as a library reads', () => {
  test.each([
    ['ours for tests', pemBlocks(certificate)[0]?.der],
    ['one with RSA', pemBlocks(rsaCertificate)[0]?.der],
    ['a CA', root.der],
    [
      'one with names of every kind',
      makeCertificate(root, {
        subject: [
          [['O', printable('Test')]],
          [
            ['CN', 'ünï'],
            ['UID', '1'],
          ],
        ],
        names: [
          general.dns('a.td'),
          general.uri('spiffe://td/a'),
          general.email('a@td'),
          general.ip(10, 0, 0, 7),
          general.ip(...Array(15).fill(0), 1),
        ],
        until: 40 * 365 * 86_400,
      }).der,
    ],
    ['one signed with PSS', makeCertificate(root, { isPss: true, digest: 'sha384' }).der],
  ])('%s', (_what, der) => {
    const ours = readCertificate(der as Buffer)
    const { tbsCertificate: theirs } = AsnConvert.parse(der as Buffer, Certificate)
    const seconds = (time: { getTime(): Date }) => time.getTime().getTime() / 1_000
    expect([ours.notBefore, ours.notAfter]).toEqual([
      seconds(theirs.validity.notBefore),
      seconds(theirs.validity.notAfter),
    ])
    expect(ours.serialNumber).toBe(Buffer.from(theirs.serialNumber).toString('hex'))
    expect(ours.isVersion3).toBe(theirs.version === 2)
    const parts = theirs.subject.map((part) =>
      part.map(({ type, value }) => `${type}=${value.toString()}`).sort(),
    )
    const ownParts = ours.subject === '' ? [] : (JSON.parse(ours.subject) as string[][][])
    expect(ownParts.map((part) => part.map(([type, text]) => `${type}=${text}`).sort())).toEqual(parts)
    const extension = theirs.extensions?.find(({ extnID }) => extnID === '2.5.29.17')
    const names =
      extension === undefined ? [] : AsnConvert.parse(extension.extnValue.buffer, SubjectAlternativeName)
    const all = (of: 'dNSName' | 'uniformResourceIdentifier' | 'rfc822Name') =>
      names.flatMap((name) => name[of] ?? [])
    expect(ours.names.dns).toEqual(all('dNSName'))
    expect(ours.names.uris).toEqual(all('uniformResourceIdentifier'))
    expect(ours.names.emails).toEqual(all('rfc822Name'))
    expect(ours.names.addresses).toHaveLength(names.filter(({ iPAddress }) => iPAddress !== undefined).length)
  })
})

test('a certificate of the development CA counts, until it is revoked', async () => {
  const files = scratch()
  const { readFileSync } = await import('node:fs')
  const directory = files.path('ca')
  const ok = succeeding((...given) => command({}, ...given, '--directory', directory))
  await ok('ca', 'init', '--permit', 'example.org')
  await ok(
    'ca',
    'issue',
    'billing',
    '--uri',
    'spiffe://example.org/billing',
    '--dns',
    'billing.example.org',
    '--client',
  )
  await ok('ca', 'issue', 'localhost', '--dns', 'localhost', '--server')
  const text = (name: string) => readFileSync(`${directory}/${name}`, 'utf8')
  const judged = (name: string) => {
    const judge = new CertificateJudge({ authorities: text('ca.crt'), revocationLists: text('ca.crl') })
    const [leaf] = pemBlocks(text(`${name}/tls.crt`))
    return judge.judge(presentedCertificate(leaf?.der as Buffer, []))
  }
  const now = Math.floor(Date.now() / 1_000) + 1
  expect(judged('billing').names.uris).toEqual(['spiffe://example.org/billing'])
  expect(trustRefusal(judged('billing'), now)).toBeUndefined()
  expect(trustRefusal(judged('localhost'), now)).toBe('certificate_usage_wrong')
  await ok('ca', 'revoke', 'billing')
  expect(trustRefusal(judged('billing'), now)).toBe('certificate_revoked')
  files.remove()
})

// ── Certificates that no tool would make ─────────────────────────────────────────────────────────────────────────────

const spki = (key: KeyObject): Buffer => key.export({ format: 'der', type: 'spki' })
const generated = { ed25519: generateKeyPairSync('ed25519'), ed448: generateKeyPairSync('ed448') }
const ecdsa = sequence(oid('1.2.840.10045.4.3.2'))
const attribute = (value: Buffer, ...more: readonly Buffer[]) => sequence(oid('2.5.4.3'), value, ...more)
const mail = (value: Buffer) => sequence(set(sequence(oid('1.2.840.113549.1.9.1'), value)))
const [notBefore, notAfter] = [1_700_000_000, 1_900_000_000]

/** The parts of a certificate (RFC 5280 §4.1), which a test leaves out, replaces, or adds to. Nobody signs it. */
const parts = {
  version: [tlv(0xa0, integer(2))],
  algorithm: ecdsa,
  issuer: name([[['O', 'Test']]]),
  validity: sequence(time(notBefore), time(notAfter)),
  subject: name([[['CN', 'billing']]]),
  key: spki(generated.ed25519.publicKey),
  identifiers: [] as readonly Buffer[],
  extensions: [] as readonly Buffer[],
  /** After the last part of what is signed. */
  more: [] as readonly Buffer[],
  outerAlgorithm: ecdsa,
  /** After the signature. */
  end: [] as readonly Buffer[],
}
type Parts = {
  readonly [Part in keyof typeof parts]: (typeof parts)[Part] extends Buffer ? Buffer : readonly Buffer[]
}

function certificateOf(changes: Partial<Parts> = {}): Buffer {
  const given: Parts = { ...parts, ...changes }
  const signed = sequence(
    ...given.version,
    integer(Buffer.from('00c0ffee', 'hex')),
    given.algorithm,
    given.issuer,
    given.validity,
    given.subject,
    given.key,
    ...given.identifiers,
    ...(given.extensions.length === 0 ? [] : [tlv(0xa3, sequence(...given.extensions))]),
    ...given.more,
  )
  return sequence(signed, given.outerAlgorithm, bits(Buffer.alloc(8)), ...given.end)
}

const read = (changes: Partial<Parts> = {}) => readCertificate(certificateOf(changes))
const basic = (...content: readonly Buffer[]) => ({
  extensions: [extension('2.5.29.19', true, sequence(...content))],
})
const named = (...names: readonly Buffer[]) => ({
  extensions: [extension('2.5.29.17', false, sequence(...names))],
})
const usages = (content: Buffer) => ({ extensions: [extension('2.5.29.15', true, content)] })
const limited = (...subtrees: readonly Buffer[]) => ({
  extensions: [extension('2.5.29.30', true, sequence(...subtrees))],
})
const subject = (...sets: readonly Buffer[]) => ({ subject: sequence(...sets) })

describe('is malformed:', () => {
  const [more, type] = ['there is more than there should be', 'a value is of another type']
  test.for<[what: string, message: string, changes: Partial<Parts>]>([
    ['something after the signature', more, { end: [utf8('x')] }],
    [
      'something after the extensions',
      more,
      { extensions: [extension('1.2.3', false, utf8('x'))], more: [utf8('x')] },
    ],
    ['a third time', more, { validity: sequence(time(notBefore), time(notAfter), time(notAfter)) }],
    [
      'another algorithm inside than outside',
      'names one algorithm and is signed with another',
      { algorithm: sequence(oid('1.2.840.10045.4.3.3')) },
    ],
    [
      'a list of extensions that is a set',
      type,
      { more: [tlv(0xa3, set(extension('1.2.3', false, utf8('x'))))] },
    ],
    [
      'an extension of another type',
      'has an extension that is malformed',
      { extensions: [set(oid('1.2.3'), octets(utf8('x')))] },
    ],
    [
      'an extension that goes on',
      more,
      { extensions: [sequence(oid('1.2.3'), octets(utf8('x')), utf8('y'))] },
    ],
    [
      'an extension twice',
      'has an extension twice',
      { extensions: [extension('1.2.3', false, utf8('x')), extension('1.2.3', false, utf8('y'))] },
    ],
    ['basic constraints that go on', more, basic(truth(true), integer(0), integer(0))],
    [
      'basic constraints with a boolean that is neither',
      'a boolean is malformed',
      basic(tlv(0x01, Buffer.from([1]))),
    ],
    ['a path length below zero', 'a number is malformed', basic(truth(true), integer(0xff))],
    ['a key usage without bits', 'has a key usage that is malformed', usages(tlv(0x03))],
    [
      'a key usage with eight unused bits',
      'has a key usage that is malformed',
      usages(bits(Buffer.from([0x80]), 8)),
    ],
    ['a key usage of another type', type, usages(octets(Buffer.from([0, 0x80])))],
    [
      'a name whose part is a sequence',
      'has a name with an empty part',
      subject(sequence(attribute(utf8('x')))),
    ],
    ['a name with a part of nothing', 'has a name with an empty part', subject(set())],
    [
      'a name whose attribute is a set',
      'has a name that is malformed',
      subject(set(set(oid('2.5.4.3'), utf8('x')))),
    ],
    ['a name whose attribute goes on', more, subject(set(attribute(utf8('x'), utf8('y'))))],
    [
      'a name with a line break',
      'has a name with a character of control',
      subject(set(attribute(utf8('a\nb')))),
    ],
    ['a DNS name with a space', 'has a name with characters that it cannot have', named(general.dns('a b'))],
    ['an address of five bytes', 'has an address that is none', named(general.ip(1, 2, 3, 4, 5))],
    ['a name of no kind', 'has a name of no kind', named(tlv(0x89, Buffer.from('x')))],
    ['constraints that go on', more, limited(tlv(0xa0), tlv(0xa1), tlv(0xa2))],
    [
      'constraints whose subtree is a set',
      'has constraints that are malformed',
      limited(tlv(0xa0, set(general.dns('td')))),
    ],
  ])('%s', ([, message, changes]) => {
    expect(() => read(changes)).toThrow(new RegExp(`^${message}$`))
  })

  test('more bytes than a certificate has', () => {
    const padded = (bytes: number) =>
      certificateOf({ extensions: [extension('1.2.3', false, Buffer.alloc(bytes))] })
    const most = limits.certificateBytesMax
    const room = most - (padded(most / 2).length - most / 2)
    expect(padded(room)).toHaveLength(most)
    expect(readCertificate(padded(room)).isBeyondUs).toBe(false)
    expect(() => readCertificate(padded(room + 1))).toThrow('is larger than a certificate')
  })
})

describe('what is read of it', () => {
  test('is named by the hash that everybody makes of it', () => {
    const thumbprint = Buffer.from(new X509Certificate(root.der).fingerprint256.replaceAll(':', ''), 'hex')
    expect(readCertificate(root.der).thumbprint).toBe(thumbprint.toString('base64url'))
  })

  test('has no extension where there is none, and identifiers that nobody uses are passed over', () => {
    const identifiers = [tlv(0x81, Buffer.from([0, 1])), tlv(0x82, Buffer.from([0, 2]))]
    for (const changes of [{}, { identifiers }, { version: [tlv(0xa0, integer(1))], identifiers }]) {
      expect(read(changes)).toMatchObject({
        notBefore,
        notAfter,
        serialNumber: '00c0ffee',
        isCa: false,
        pathLength: undefined,
        keyUsage: undefined,
        extendedKeyUsage: undefined,
        constraints: undefined,
        isBeyondUs: false,
        isVersion3: !('version' in changes),
      })
    }
  })

  test.for<[what: string, changes: Partial<Parts>, expected: object]>([
    ['a CA', basic(truth(true)), { isCa: true, pathLength: undefined }],
    ['a CA above one other', basic(truth(true), integer(1)), { isCa: true, pathLength: 1 }],
    ['no CA, in words', basic(truth(false)), { isCa: false }],
    ['no CA, in no words', basic(), { isCa: false }],
    ['a key for signatures', usages(bits(Buffer.from([0x80]), 7)), { keyUsage: 0x80 }],
    ['a key with a use of the second byte', usages(bits(Buffer.from([0x88, 0x80]), 7)), { keyUsage: 0x88 }],
    ['a key without a use', usages(bits(Buffer.alloc(0))), { keyUsage: 0 }],
    [
      'constraints of both kinds',
      limited(
        tlv(0xa0, sequence(general.dns('a'))),
        tlv(0xa1, sequence(general.ip(10, 0, 0, 0, 255, 0, 0, 0))),
      ),
      {
        constraints: {
          permitted: [{ type: 'dns', value: 'a' }],
          excluded: [{ type: 'address', value: '0a000000ff000000' }],
        },
      },
    ],
    [
      'constraints of one kind',
      limited(tlv(0xa1, sequence(general.email('td')), sequence(general.uri('td')))),
      {
        constraints: {
          permitted: [],
          excluded: [
            { type: 'email', value: 'td' },
            { type: 'uri', value: 'td' },
          ],
        },
      },
    ],
    [
      // Whatever it would mean, no name is within it, and none is outside of it.
      'constraints with a depth',
      limited(tlv(0xa0, sequence(general.dns('a'), tlv(0x80, Buffer.from([1]))))),
      { constraints: { permitted: [{ type: 'other', value: '' }], excluded: [] } },
    ],
  ])('%s', ([, changes, expected]) => {
    expect(read(changes)).toMatchObject(expected)
  })

  test('a name that is no text is its DER', () => {
    const teletex = tlv(0x14, Buffer.from('x'))
    expect(read(subject(set(attribute(teletex)))).subject).toBe(
      JSON.stringify([[['2.5.4.3', '', teletex.toString('hex')]]]),
    )
  })

  const billing = { type: 'directory', value: JSON.stringify([[['2.5.4.3', 'billing', '']]]) }
  const text = ia5('a@subject')
  const inSubject = { type: 'directory', value: expect.stringContaining('a@subject') }
  test.for<[what: string, changes: Partial<Parts>, expected: readonly object[]]>([
    ['the subject', {}, [billing]],
    ['no subject', subject(), []],
    [
      'names of each kind',
      named(general.dns('a'), general.uri('b:c'), general.email('d@e'), general.ip(1, 2, 3, 4)),
      [
        { type: 'dns', value: 'a' },
        { type: 'uri', value: 'b:c' },
        { type: 'email', value: 'd@e' },
        { type: 'address', value: '01020304' },
        billing,
      ],
    ],
    ['a place in a directory', named(general.directory([[['CN', 'billing']]])), [billing, billing]],
    [
      'kinds that nothing compares',
      named(general.other('1.2.3', 'x'), tlv(0xa3), tlv(0xa5), tlv(0x88, Buffer.from([0x2a]))),
      [...Array(4).fill({ type: 'other', value: '' }), billing],
    ],
    ['a mailbox in the subject', { subject: mail(text) }, [inSubject, { type: 'email', value: 'a@subject' }]],
    [
      'a mailbox in the subject, beside a DNS name',
      { subject: mail(text), ...named(general.dns('a')) },
      [{ type: 'dns', value: 'a' }, inSubject, { type: 'email', value: 'a@subject' }],
    ],
    [
      'a mailbox in the subject, where there is another one beside it',
      { subject: mail(text), ...named(general.email('b@beside'), general.dns('a')) },
      [{ type: 'email', value: 'b@beside' }, { type: 'dns', value: 'a' }, inSubject],
    ],
    [
      'a mailbox in the subject that is no text',
      { subject: mail(tlv(0x14, Buffer.from('a@b'))) },
      [{ type: 'directory', value: expect.any(String) }],
    ],
  ])('for the constraints of a CA: %s', ([, changes, expected]) => {
    expect(read(changes).constrainedNames).toEqual(expected)
  })
})

describe('a key is', () => {
  /** It need not have two factors: nothing is signed with it. */
  function rsa(modulusBits: number, exponent: bigint, algorithm = '1.2.840.113549.1.1.1'): Buffer {
    const modulus = Buffer.alloc(Math.ceil(modulusBits / 8), 0xff)
    modulus[0] = 0xff >> (modulus.length * 8 - modulusBits)
    const hex = exponent.toString(16)
    const unsigned = (bytes: Buffer) =>
      integer((bytes[0] as number) > 0x7f ? Buffer.concat([Buffer.alloc(1), bytes]) : bytes)
    const key = sequence(
      unsigned(modulus),
      unsigned(Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex')),
    )
    return sequence(sequence(oid(algorithm), ...(algorithm === rsaPss ? [] : [tlv(0x05)])), bits(key))
  }
  const rsaPss = '1.2.840.113549.1.1.10'
  const curve = (namedCurve: string) => spki(generateKeyPairSync('ec', { namedCurve }).publicKey)
  const { certificateRsaBitsMin: least, certificateRsaBitsMax: most } = limits
  const usual = 65_537n

  test.for<['strong' | 'weak', what: string, key: Buffer]>([
    ['strong', 'of Ed25519', spki(generated.ed25519.publicKey)],
    ['strong', 'of Ed448', spki(generated.ed448.publicKey)],
    ['strong', 'on P-256', curve('P-256')],
    ['strong', 'on P-384', curve('P-384')],
    ['strong', 'on P-521', curve('P-521')],
    ['weak', 'on P-224', curve('secp224r1')],
    ['strong', 'of RSA, as short as it may be', rsa(least, usual)],
    ['weak', 'of RSA, shorter', rsa(least - 1, usual)],
    ['strong', 'of RSA, as long as it may be', rsa(most, usual)],
    ['weak', 'of RSA, longer', rsa(most + 1, usual)],
    ['strong', 'of RSA for PSS alone', rsa(least, usual, rsaPss)],
    ['weak', 'of RSA for PSS alone, shorter', rsa(least - 1, usual, rsaPss)],
    ['weak', 'of RSA with the exponent 1', rsa(least, 1n)],
    ['weak', 'of RSA with the exponent 2', rsa(least, 2n)],
    ['strong', 'of RSA with the exponent 3', rsa(least, 3n)],
    ['weak', 'of RSA with an even exponent', rsa(least, usual - 1n)],
    ['strong', 'of RSA with an exponent of 32 bits', rsa(least, 2n ** 32n - 1n)],
    ['weak', 'of RSA with an exponent of 33 bits', rsa(least, 2n ** 32n + 1n)],
  ])('%s: %s', ([expected, , key]) => {
    expect(read({ key }).hasStrongKey).toBe(expected === 'strong')
  })
})
