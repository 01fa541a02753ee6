/** A certificate in a header: the one spelling that each proxy has for it is read, and every other is refused. */
import { hash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import {
  type CertificateHeaderForm,
  certificateHeaders,
  readCertificateHeaders,
} from '../../src/http/certificate-header.ts'
import { makeCa, makeCertificate } from '../support/x509.ts'

const root = makeCa('O=Test,CN=Root')
const between = makeCa('O=Test,CN=Between', {}, root)
const leaf = makeCertificate(between, { subject: 'CN=billing' })
const rsa = makeCertificate(root, { subject: 'CN=other', key: 'rsa' })

const bytes = ({ der }: { readonly der: Buffer }) => `:${der.toString('base64')}:`
const escaped = (...chain: readonly { readonly pem: string }[]) =>
  encodeURIComponent(chain.map(({ pem }) => pem).join(''))
const sha256 = hash('sha256', leaf.der, 'hex')
const cert = `Cert="${escaped(leaf)}"`
const chain = `Chain="${escaped(leaf, between)}"`

/** Names of certificates, in the order in which they are presented, or why none are. */
function outcome(form: CertificateHeaderForm, ...rawHeaders: readonly string[]): string {
  try {
    const found = readCertificateHeaders(certificateHeaders(rawHeaders) ?? [], form)
    if (found === undefined) return 'none'
    const names = new Map([leaf, between, rsa].map((each, index) => [each.der.toString('hex'), 'lbr'[index]]))
    return [found.leaf, ...found.intermediates].map((der) => names.get(der.toString('hex')) ?? '?').join('')
  } catch (error) {
    return (error as Error).message.replace('certificate_header_', '')
  }
}

describe('RFC 9440', () => {
  const name = 'Client-Cert'
  test.each<[string, string, ...string[]]>([
    ['none', 'no header'],
    ['l', 'a certificate', name, bytes(leaf)],
    ['l', 'a name has no case', 'CLIENT-cert', bytes(leaf)],
    ['lb', 'with a chain', name, bytes(leaf), `${name}-Chain`, bytes(between)],
    ['lbr', 'with a longer one', name, bytes(leaf), `${name}-Chain`, `${bytes(between)} ,\t${bytes(rsa)}`],
    ['lb', 'spaces around it', name, bytes(leaf), `${name}-Chain`, `\t ${bytes(between)} \t`],
    ['contradictory', 'a chain of nothing', `${name}-Chain`, bytes(between)],
    ['repeated', 'twice', name, bytes(leaf), name, bytes(leaf)],
    ['repeated', 'a chain twice', `${name}-Chain`, bytes(leaf), `${name}-chain`, bytes(leaf)],
    ['malformed', 'two in one', name, `${bytes(rsa)}, ${bytes(leaf)}`],
    ['malformed', 'empty', name, ''],
    ['malformed', 'an empty sequence', name, '::'],
    ['malformed', 'a parameter', name, `${bytes(leaf)};a`],
    ['malformed', 'without colons', name, leaf.der.toString('base64')],
    ['malformed', 'in base64url', name, `:${rsa.der.toString('base64url')}:`],
    ['malformed', 'a space inside', name, bytes(leaf).replace(/(.{9})/, '$1 ')],
    ['malformed', 'bits that nobody reads', name, ':MAB=:'],
    ['malformed', 'without padding', name, ':MA:'],
    ['malformed', 'an escaped PEM', name, escaped(leaf)],
    ['malformed', 'a chain with a gap', name, bytes(leaf), `${name}-Chain`, `${bytes(between)},`],
    ['malformed', '9 in all', name, bytes(leaf), `${name}-Chain`, Array(8).fill(':MAA=:').join(', ')],
    ['malformed', 'too long', name, `:${Buffer.alloc(9_300, 1).toString('base64')}:`],
    ['unexpected', 'an underscore', 'Client_Cert', bytes(leaf)],
    ['unexpected', 'another sign', 'Client.Cert', bytes(leaf)],
    ['unexpected', 'an underscore beside it', name, bytes(leaf), 'client_cert', bytes(rsa)],
    ['unexpected', 'another form', 'X-Forwarded-Client-Cert', `Hash=${sha256};${cert}`],
    ['unexpected', 'another form beside it', name, bytes(leaf), 'ssl-client-cert', escaped(rsa)],
  ])('%s: %s', (expected, _what, ...rawHeaders) => {
    expect(outcome('rfc9440', ...rawHeaders)).toBe(expected)
  })
})

describe('nginx', () => {
  const name = 'ssl-client-cert'
  const verify = 'ssl-client-verify'
  const long = makeCertificate(root, { subject: `CN=${'x'.repeat(9_000)}` })
  const text = escaped(rsa)
  test.each<[string, string, ...string[]]>([
    ['none', 'no header'],
    ['none', 'nothing to verify', verify, 'NONE'],
    ['r', 'a certificate', name, text],
    ['r', 'without the last line break', name, text.replace(/%0A$/, '')],
    ['r', 'verified', name, text, verify, 'SUCCESS'],
    ['contradictory', 'not verified', name, text, verify, 'FAILED:self signed certificate'],
    ['contradictory', 'a certificate and none', name, text, verify, 'NONE'],
    ['contradictory', 'verified, and none', verify, 'SUCCESS'],
    ['repeated', 'verified twice', name, text, verify, 'SUCCESS', verify, 'SUCCESS'],
    ['repeated', 'twice', name, text, 'SSL-Client-Cert', text],
    ['malformed', 'a plus', name, text.replace('%2B', '+')],
    ['malformed', 'a slash', name, text.replace('%2F', '/')],
    ['malformed', 'small digits', name, text.replace('%0A', '%0a')],
    ['malformed', 'a letter in escapes', name, text.replace('CERT', '%43ERT')],
    ['malformed', 'escaped twice', name, encodeURIComponent(text)],
    ['malformed', 'CRLF', name, text.replaceAll('%0A', '%0D%0A')],
    ['malformed', 'two certificates', name, escaped(leaf, between)],
    ['malformed', 'text in front', name, `a%0A${text}`],
    ['malformed', 'text behind', name, `${text}a`],
    ['malformed', 'another label', name, text.replaceAll('CERTIFICATE', 'X509%20CERTIFICATE')],
    ['malformed', 'no end', name, text.slice(0, -20)],
    ['malformed', 'broken escapes', name, `${text}%`],
    ['malformed', 'lines of another length', name, text.replace('%0AMII', '%0AM%0AII')],
    ['malformed', 'a byte sequence', name, bytes(rsa)],
    ['malformed', 'empty', name, ''],
    ['malformed', 'too long', name, escaped(long)],
    ['unexpected', 'an underscore', 'ssl_client_cert', text],
    ['unexpected', 'an underscore in the verdict', name, text, 'ssl_client_verify', 'SUCCESS'],
    ['unexpected', 'another form', 'Client-Cert', bytes(rsa)],
  ])('%s: %s', (expected, _what, ...rawHeaders) => {
    expect(outcome('nginx', ...rawHeaders)).toBe(expected)
  })
})

describe('Envoy', () => {
  const own = `Hash=${sha256}`
  test.each<[string, string, string]>([
    ['l', 'a certificate', `By=spiffe://td/front;${own};${cert};Subject="CN=billing";URI=spiffe://td/a`],
    ['lb', 'a certificate and its chain', `${own};${cert};${chain}`],
    ['lb', 'the chain alone', `${own};${chain}`],
    ['l', 'signs in a subject', `${own};${cert};Subject="O=a\\"; Cert=b, c;,\\\\"`],
    ['l', 'several names, which count for nothing', `${own};${cert};URI=a://b?c=d;URI=a://e;DNS=f;DNS=g`],
    ['malformed', 'two hops', `${own};${cert},${own};${cert}`],
    ['malformed', 'two hops, one empty', `,${own};${cert}`],
    ['malformed', 'two certificates', `${own};${cert};${cert}`],
    ['malformed', 'two hashes', `${own};${own};${cert}`],
    ['malformed', 'two subjects', `${own};${cert};Subject="a";Subject="b"`],
    ['malformed', 'a certificate in small letters', `${own};${cert.replace('Cert', 'cert')}`],
    ['malformed', 'a part that is not known', `${own};${cert};Note=a`],
    ['malformed', 'only names', `${own};Subject="CN=billing";URI=spiffe://td/billing`],
    ['malformed', 'no hash', cert],
    ['malformed', 'two certificates in one', `${own};Cert="${escaped(leaf, between)}"`],
    ['malformed', 'a quote that does not end', `${own};${cert};Subject="a`],
    ['malformed', 'text behind a quote', `${own};${cert}a`],
    ['malformed', 'a space', `${own}; ${cert}`],
    ['malformed', 'nothing at the end', `${own};${cert};`],
    ['malformed', 'nothing between', `${own};;${cert}`],
    ['malformed', 'an empty certificate', `${own};Cert=""`],
    ['malformed', 'no key', own],
    ['malformed', 'a plain PEM', `${own};Cert="${decodeURIComponent(escaped(leaf)).replaceAll('\n', ' ')}"`],
    ['malformed', 'empty', ''],
    ['contradictory', 'the hash of another', `Hash=${hash('sha256', rsa.der, 'hex')};${cert}`],
    ['contradictory', 'a hash in large letters', `Hash=${sha256.toUpperCase()};${cert}`],
    ['contradictory', 'the chain of another', `${own};${cert};Chain="${escaped(rsa, between)}"`],
    ['contradictory', 'a certificate in a name', `${own};URI=a://b;Cert="${escaped(rsa)}"`],
  ])('%s: %s', (expected, _what, value) => {
    expect(outcome('xfcc', 'X-Forwarded-Client-Cert', value)).toBe(expected)
  })

  test.each<[string, ...string[]]>([
    ['none'],
    ['repeated', 'x-forwarded-client-cert', `${own};${cert}`, 'X-Forwarded-Client-Cert', `${own};${cert}`],
    ['unexpected', 'X_Forwarded_Client_Cert', `${own};${cert}`],
    ['unexpected', 'x-forwarded_client-cert', `${own};${cert}`],
    ['unexpected', 'client-cert', bytes(leaf)],
  ])('%s: %s', (expected, ...rawHeaders) => {
    expect(outcome('xfcc', ...rawHeaders)).toBe(expected)
  })
})

test('a long text of one sign is refused too', () => {
  for (const value of ['a=', '"', ';', 'Subject="\\', 'By=;', '%0A'].map((text) => text.repeat(3_000)))
    for (const form of ['xfcc', 'nginx', 'rfc9440'] as const) {
      const name = { xfcc: 'x-forwarded-client-cert', nginx: 'ssl-client-cert', rfc9440: 'client-cert' }[form]
      expect(outcome(form, name, value)).toBe('malformed')
    }
})

test('other headers are of no matter', () => {
  expect(certificateHeaders(['Host', 'a', 'X-Client-Certificate', 'b', 'Client-Certs', 'c'])).toBeUndefined()
})
