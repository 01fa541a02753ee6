/** What we read of certificates is what a library reads of them, and what the development CA writes is what we take. */
import { AsnConvert } from '@peculiar/asn1-schema'
import { Certificate, SubjectAlternativeName } from '@peculiar/asn1-x509'
import { describe, expect, test } from 'vitest'
import { presentedCertificate, trustRefusal } from '../../src/authentication/certificate.ts'
import { CertificateJudge } from '../../src/authentication/certificate-judge.ts'
import { readCertificate } from '../../src/authentication/certificate-reader.ts'
import { pemBlocks } from '../../src/lib/pem.ts'
import { certificate, rsaCertificate } from '../support/certificate.ts'
import { command, succeeding } from '../support/command.ts'
import { scratch } from '../support/scratch.ts'
import { general, makeCa, makeCertificate, printable } from '../support/x509.ts'

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
