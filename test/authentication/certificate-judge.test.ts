/**
 * What a certificate is worth, beside the CAs and revocation lists of today, and when.
 *
 * Long because it is a table of what a certificate and the way to its CA can be.
 */
import { createPublicKey, hash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import {
  demandRefusal,
  type JudgedCertificate,
  presentedCertificate,
  trustRefusal,
  validityRefusal,
} from '../../src/authentication/certificate.ts'
import { fieldMatches } from '../../src/authentication/certificate-field.ts'
import { CertificateJudge, type TrustFiles } from '../../src/authentication/certificate-judge.ts'
import {
  type CertificateOptions,
  clientAuth,
  extension,
  freezeTime,
  general,
  ia5,
  makeCa,
  makeCertificate,
  makeRevocationList,
  nameConstraints,
  octets,
  pem,
  printable,
  sequence,
  serverAuth,
  type TestCertificate,
  truth,
  usage,
  utf8,
} from '../support/x509.ts'

const now = freezeTime()
const root = makeCa('O=Test,CN=Root')
const other = makeCa('O=Test,CN=Other')
const between = makeCa('O=Test,CN=Between', { pathLength: 0 }, root)

function judge(
  chain: readonly TestCertificate[],
  files: Partial<TrustFiles> & { cas?: readonly TestCertificate[] } = {},
): JudgedCertificate {
  const [leaf, ...intermediates] = chain.map(({ der }) => der)
  const authorities = (files.cas ?? [root]).map((each) => each.pem).join('')
  const judgeOf = new CertificateJudge({ authorities, revocationLists: files.revocationLists })
  return judgeOf.judge(presentedCertificate(leaf as Buffer, intermediates))
}

const answer = (chain: readonly TestCertificate[], files: Parameters<typeof judge>[1] = {}, at = now) =>
  trustRefusal(judge(chain, files), at) ?? 'trusted'

const leaf = (options: CertificateOptions = {}, issuer: TestCertificate | undefined = root) =>
  makeCertificate(issuer, { subject: 'O=Test,CN=billing', names: [general.dns('billing.td')], ...options })

describe('one certificate of a CA', () => {
  test.each<[string, string, CertificateOptions]>([
    ['trusted', 'as it should be', {}],
    ['trusted', 'with Ed25519', { key: 'ed25519' }],
    ['trusted', 'with P-384', { key: 'p384' }],
    ['trusted', 'with RSA', { key: 'rsa' }],
    ['trusted', 'signed with SHA-512', { digest: 'sha512' }],
    ['trusted', 'without key usage', { keyUsage: null }],
    ['trusted', 'for clients and servers', { extendedKeyUsage: [serverAuth, clientAuth] }],
    [
      'trusted',
      'with policies that are critical',
      {
        extensions: [
          extension('2.5.29.32', true, sequence(sequence(Buffer.from('0603550420'.slice(0, 10), 'hex')))),
        ],
      },
    ],
    [
      'trusted',
      'with an extension that nobody knows',
      { extensions: [extension('1.2.3.4', false, utf8('x'))] },
    ],
    ['certificate_expired', 'that has expired', { until: -60 }],
    ['certificate_not_yet_valid', 'that is not valid yet', { from: 10 }],
    [
      'certificate_usage_wrong',
      'that is a CA',
      { isCa: true, extendedKeyUsage: [clientAuth], keyUsage: usage.digitalSignature },
    ],
    [
      'certificate_usage_wrong',
      'that may sign certificates',
      { keyUsage: usage.digitalSignature | usage.keyCertSign },
    ],
    ['certificate_usage_wrong', 'that may not sign', { keyUsage: usage.keyEncipherment }],
    ['certificate_usage_wrong', 'for servers', { extendedKeyUsage: [serverAuth] }],
    ['certificate_usage_wrong', 'for anything', { extendedKeyUsage: ['2.5.29.37.0'] }],
    ['certificate_usage_wrong', 'that does not say what it is for', { extendedKeyUsage: null }],
    ['certificate_weak', 'with RSA of 1024 bits', { key: 'rsa1024' }],
    ['certificate_weak', 'with DSA', { key: 'dsa' }],
    ['certificate_weak', 'on P-192', { key: 'p192' }],
    ['certificate_weak', 'on secp256k1', { key: 'secp256k1' }],
    ['certificate_weak', 'signed with SHA-1', { digest: 'sha1' }],
    ['certificate_malformed', 'of version 1', { version: 0 }],
    ['certificate_malformed', 'of version 2', { version: 1 }],
    [
      'certificate_malformed',
      'with a critical extension that nobody knows',
      { extensions: [extension('1.2.3.4', true, utf8('x'))] },
    ],
    [
      'certificate_malformed',
      'with an extension twice',
      { extensions: [extension('2.5.29.37', false, sequence())] },
    ],
    [
      'certificate_malformed',
      'with an extension that is none',
      { extensions: [extension('2.5.29.30', false, utf8('x'))] },
    ],
    ['certificate_malformed', 'with NUL in its common name', { subject: [[['CN', 'svc-a\0.evil']]] }],
    [
      'certificate_malformed',
      'with NUL in a common name of another type',
      { subject: [[['CN', printable('a\0b')]]] },
    ],
    [
      'certificate_malformed',
      'with a common name that is not UTF-8',
      { subject: [[['CN', Buffer.from([0x0c, 2, 0xff, 0xfe])]]] },
    ],
    ['certificate_malformed', 'with a line break in its subject', { subject: [[['O', 'a\nCN=b']]] }],
    ['certificate_malformed', 'with NUL in a DNS name', { names: [general.dns('svc-a\0.evil')] }],
    ['certificate_malformed', 'with a space in a URI', { names: [general.uri('spiffe://td/a b')] }],
    ['certificate_malformed', 'with a DNS name outside of ASCII', { names: [general.dns('\u00e9.td')] }],
    ['certificate_malformed', 'with an empty DNS name', { names: [general.dns('')] }],
    ['certificate_malformed', 'with an address of five bytes', { names: [general.ip(1, 2, 3, 4, 5)] }],
  ])('%s: %s', (expected, _what, options) => {
    expect(answer([leaf(options)])).toBe(expected)
  })

  test.each([
    ['signed by another CA', 'certificate_untrusted', [leaf({}, other)]],
    [
      'signed by nobody',
      'certificate_untrusted',
      [makeCertificate(undefined, { subject: 'O=Test,CN=billing' })],
    ],
    ['signed by a CA of the same name', 'certificate_untrusted', [leaf({}, makeCa('O=Test,CN=Root'))]],
    [
      'with that CA sent along',
      'certificate_untrusted',
      ((fake) => [leaf({}, fake), fake])(makeCa('O=Test,CN=Root')),
    ],
  ] as const)('%s', (_what, expected, chain) => {
    expect(answer(chain)).toBe(expected)
  })

  test('signed by a CA with RSA-PSS: as strong as the hash', () => {
    const rsa = makeCa('CN=RSA', { key: 'rsa' })
    expect(answer([leaf({ isPss: true }, rsa)], { cas: [rsa] })).toBe('trusted')
    expect(answer([leaf({ isPss: true, digest: 'sha1' }, rsa)], { cas: [rsa] })).toBe('certificate_weak')
  })

  test('bytes after it, a byte less, and none at all are no certificate', () => {
    const { der } = leaf()
    for (const bytes of [Buffer.concat([der, Buffer.from([0])]), der.subarray(0, -1), Buffer.alloc(0)]) {
      const judged = new CertificateJudge({ authorities: root.pem, revocationLists: undefined }).judge(
        presentedCertificate(bytes, []),
      )
      expect(trustRefusal(judged, now)).toBe('certificate_malformed')
      expect(validityRefusal(judged, now)).toBe('certificate_malformed')
    }
  })

  test('with any one bit changed', () => {
    const { der } = leaf()
    const judgeOf = new CertificateJudge({ authorities: root.pem, revocationLists: undefined })
    for (let at = 0; at < der.length; at += 1) {
      const changed = Buffer.from(der)
      changed.writeUInt8((der[at] as number) ^ (1 << (at % 8)), at)
      const judged = judgeOf.judge(presentedCertificate(changed, []))
      expect(trustRefusal(judged, now), `byte ${at}`).toBeDefined()
    }
  })

  test('a spoiled signature, and a certificate that says something else than was signed', () => {
    for (const at of [-1, 60]) {
      const { der } = leaf()
      der.writeUInt8((der.at(at) as number) ^ 1, at < 0 ? der.length + at : at)
      expect(answer([{ ...leaf(), der }])).not.toBe('trusted')
    }
  })
})

describe('the way to the CA', () => {
  test('over another CA that was sent, in any order, with others beside it', () => {
    const own = leaf({}, between)
    const far = makeCa('O=Test,CN=Far', {}, root)
    const near = makeCa('O=Test,CN=Near', {}, far)
    expect(answer([own, between])).toBe('trusted')
    expect(answer([leaf({}, near), near, far])).toBe('trusted')
    expect(answer([leaf({}, near), far, near])).toBe('trusted')
    expect(answer([own, leaf({ subject: 'CN=somebody' }), between])).toBe('trusted')
    expect(answer([own])).toBe('certificate_untrusted')
    expect(answer([leaf({}, near), near])).toBe('certificate_untrusted')
    // One in the middle may be what is trusted.
    expect(answer([own], { cas: [between] })).toBe('trusted')
  })

  test('only the first certificate has names, whatever follows', () => {
    const judged = judge([leaf(), leaf({ subject: 'CN=somebody', names: [general.dns('somebody.td')] })])
    expect(trustRefusal(judged, now)).toBeUndefined()
    const named = (value: string) => fieldMatches({ name: 'tls_client_auth_san_dns', value }, judged.names)
    expect([named('billing.td'), named('somebody.td')]).toEqual([true, false])
  })

  test.each<[string, CertificateOptions]>([
    ['that is no CA', { isCa: false, keyUsage: usage.keyCertSign, extendedKeyUsage: null }],
    ['that may not sign certificates', { keyUsage: usage.digitalSignature }],
    ['for servers', { extendedKeyUsage: [serverAuth] }],
    ['of version 1', { version: 0 }],
    ['with a weak key', { key: 'rsa1024' }],
    ['signed with SHA-1', { digest: 'sha1' }],
    ['with a critical extension that nobody knows', { extensions: [extension('1.2.3.4', true, utf8('x'))] }],
  ])('over a CA %s', (_what, options) => {
    const spoiled = makeCertificate(root, { subject: 'CN=Between', isCa: true, ...options })
    expect(answer([leaf({}, spoiled), spoiled])).toBe('certificate_untrusted')
  })

  test('over a CA for anything', () => {
    const any = makeCa('CN=Any', { extendedKeyUsage: ['2.5.29.37.0'] }, root)
    expect(answer([leaf({}, any), any])).toBe('trusted')
  })

  test('over a client of the CA', () => {
    const client = leaf({ subject: 'CN=client' })
    expect(answer([leaf({}, client), client])).toBe('certificate_untrusted')
  })

  test('as long as the CAs say, and no longer', () => {
    const far = makeCa('CN=Far', { pathLength: 0 }, root)
    const near = makeCa('CN=Near', {}, far)
    expect(answer([leaf({}, far), far])).toBe('trusted')
    expect(answer([leaf({}, near), near, far])).toBe('certificate_untrusted')
    const short = makeCa('CN=Short', { pathLength: 0 })
    const below = makeCa('CN=Below', {}, short)
    expect(answer([leaf({}, below), below], { cas: [short] })).toBe('certificate_untrusted')
    // A CA that has renewed its certificate by itself counts once (RFC 5280 §4.2.1.9).
    const again = makeCa('CN=Short', {}, short)
    expect(answer([leaf({}, again), again], { cas: [short] })).toBe('trusted')
  })

  test('a CA that has expired, or is not valid yet', () => {
    const late = makeCa('CN=Late', { until: -60 }, root)
    expect(answer([leaf({}, late), late])).toBe('certificate_authority_expired')
    const old = makeCa('CN=Old', { until: -60 })
    expect(answer([leaf({}, old)], { cas: [old] })).toBe('certificate_authority_expired')
    const early = makeCa('CN=Early', { from: 100 }, root)
    expect(answer([leaf({}, early), early])).toBe('certificate_authority_expired')
    expect(answer([leaf({}, early), early], {}, now + 200)).toBe('trusted')
    // Another way is right.
    const renewed = makeCa('CN=Late', { keyOf: late }, root)
    expect(answer([leaf({}, late), late, renewed])).toBe('trusted')
    expect(answer([leaf({}, late), renewed, late])).toBe('trusted')
  })

  test('ends, however certificates are arranged', () => {
    const circle = [makeCa('CN=A'), makeCa('CN=B')] as const
    const [a, b] = [makeCa('CN=A', {}, circle[1]), makeCa('CN=B', {}, circle[0])]
    expect(answer([leaf({}, a), a, b])).toBe('certificate_untrusted')
    const same = makeCa('CN=Same')
    const many = Array.from({ length: 7 }, () => makeCa('CN=Same', { keyOf: same }, same))
    expect(answer([leaf({}, same), ...many])).toBe('certificate_untrusted')
    // Many ways by name to the CA, none of them right.
    const toRoot = Array.from({ length: 7 }, () => makeCa('O=Test,CN=Root', {}, other))
    expect(answer([leaf({}, toRoot[0]), ...toRoot])).toBe('certificate_untrusted')
    let issuer = root
    const deep: TestCertificate[] = []
    for (let depth = 0; depth < 7; depth += 1) {
      issuer = makeCa(`CN=Depth ${depth}`, {}, issuer)
      deep.unshift(issuer)
    }
    expect(answer([leaf({}, issuer), ...deep])).toBe('trusted')
    const deeper = makeCa('CN=Deeper', {}, issuer)
    expect(answer([leaf({}, deeper), deeper, ...deep])).toBe('certificate_chain_malformed')
    expect(answer(Array.from({ length: 100 }, () => leaf()))).toBe('certificate_chain_malformed')
    expect(answer([leaf(), { ...leaf(), der: Buffer.from('none') }])).toBe('certificate_chain_malformed')
  })
})

describe('names that a CA may certify', () => {
  const names = [
    general.dns('a.td.example'),
    general.uri('spiffe://td/a'),
    general.ip(10, 1, 2, 3),
    general.email('a@td.example'),
  ]
  test.each<[string, 'permitted' | 'excluded', Buffer[], string]>([
    ['the DNS name', 'permitted', [general.dns('td.example')], 'trusted'],
    ['hosts below it', 'permitted', [general.dns('.td.example')], 'trusted'],
    ['another DNS name', 'permitted', [general.dns('example.org')], 'certificate_untrusted'],
    ['the end of a label', 'permitted', [general.dns('d.example')], 'certificate_untrusted'],
    [
      'two, of which one has it',
      'permitted',
      [general.dns('example.org'), general.dns('td.example')],
      'trusted',
    ],
    ['the DNS name, taken out', 'excluded', [general.dns('td.example')], 'certificate_untrusted'],
    ['another DNS name, taken out', 'excluded', [general.dns('example.org')], 'trusted'],
    ['the trust domain', 'permitted', [general.uri('td')], 'trusted'],
    ['another trust domain', 'permitted', [general.uri('other')], 'certificate_untrusted'],
    ['the trust domain, taken out', 'excluded', [general.uri('td')], 'certificate_untrusted'],
    ['the network', 'permitted', [general.ip(10, 0, 0, 0, 255, 0, 0, 0)], 'trusted'],
    ['another network', 'permitted', [general.ip(192, 0, 2, 0, 255, 255, 255, 0)], 'certificate_untrusted'],
    ['the host of the mail', 'permitted', [general.email('td.example')], 'trusted'],
    ['another host of mail', 'permitted', [general.email('example')], 'certificate_untrusted'],
    ['the mailbox, taken out', 'excluded', [general.email('a@td.example')], 'certificate_untrusted'],
    ['the place in the directory', 'permitted', [general.directory([[['O', 'Test']]])], 'trusted'],
    [
      'another place in the directory',
      'permitted',
      [general.directory([[['O', 'Tes']]])],
      'certificate_untrusted',
    ],
    ['a type that is not compared', 'permitted', [general.other('1.2.3', 'x')], 'certificate_untrusted'],
    [
      'a type that is not compared, taken out',
      'excluded',
      [general.other('1.2.3', 'x')],
      'certificate_untrusted',
    ],
  ])('%s, %s: %s', (_what, kind, bases, expected) => {
    const limited = makeCa('O=Test,CN=Limited', { extensions: [nameConstraints(kind, ...bases)] }, root)
    expect(answer([leaf({ names }, limited), limited])).toBe(expected)
    const trusted = makeCa('O=Test,CN=Limited', { extensions: [nameConstraints(kind, ...bases)] })
    expect(answer([leaf({ names }, trusted)], { cas: [trusted] })).toBe(expected)
  })

  test('also of CAs below it', () => {
    const limited = makeCa(
      'O=Test,CN=Limited',
      { extensions: [nameConstraints('permitted', general.directory([[['O', 'Test']]]))] },
      root,
    )
    const outside = makeCa('O=Elsewhere,CN=Near', {}, limited)
    expect(answer([leaf({}, outside), outside, limited])).toBe('certificate_untrusted')
  })

  test('an address in the subject, where there is none beside it', () => {
    const limited = makeCa('CN=L', { extensions: [nameConstraints('permitted', general.email('td'))] }, root)
    const named = (host: string) =>
      leaf({ subject: [[['emailAddress', ia5(`a@${host}`)]]], names: [] }, limited)
    expect(answer([named('td'), limited])).toBe('trusted')
    expect(answer([named('evil'), limited])).toBe('certificate_untrusted')
  })
})

describe('revocation lists', () => {
  const own = leaf({}, between)
  const chain = [own, between]
  const clean = makeRevocationList(between, [leaf({}, between)])

  test.each([
    ['a list without it', clean, 'trusted'],
    ['a list with it', makeRevocationList(between, [leaf({}, between), own]), 'certificate_revoked'],
    [
      'an old list with it beside a new one',
      makeRevocationList(between, [own], { until: -60 }) + clean,
      'certificate_revoked',
    ],
    [
      'a list that is too old',
      makeRevocationList(between, [], { until: -60 }),
      'certificate_revocation_unknown',
    ],
    ['a list of another CA', makeRevocationList(root, []), 'certificate_revocation_unknown'],
    [
      'a list in the name of the CA',
      makeRevocationList(between, [], { signer: other.privateKey }),
      'certificate_revocation_unknown',
    ],
    ['a list with the CA between', clean + makeRevocationList(root, [between]), 'certificate_revoked'],
    ['a list without the CA between', clean + makeRevocationList(root, []), 'trusted'],
    [
      'a list about the CA between that is too old',
      clean + makeRevocationList(root, [], { until: -60 }),
      'certificate_revocation_unknown',
    ],
    [
      'a list in the name of the CA with it',
      clean + makeRevocationList(between, [own], { signer: other.privateKey }),
      'trusted',
    ],
  ])('%s', (_what, revocationLists, expected) => {
    expect(answer(chain, { revocationLists })).toBe(expected)
  })

  test('a CA that may not sign lists', () => {
    const silent = makeCa('CN=Silent', { keyUsage: usage.keyCertSign })
    const files = { cas: [silent], revocationLists: makeRevocationList(silent, []) }
    expect(answer([leaf({}, silent)], files)).toBe('certificate_revocation_unknown')
  })

  test('the first that ends is told', () => {
    const lists = clean + makeRevocationList(root, [], { until: 50 })
    const judgeOf = new CertificateJudge({ authorities: root.pem, revocationLists: lists })
    expect(judgeOf.listsEndAt).toBeGreaterThanOrEqual(now + 49)
    expect(judgeOf.listsEndAt).toBeLessThan(now + 60)
    expect(
      new CertificateJudge({ authorities: root.pem, revocationLists: undefined }).listsEndAt,
    ).toBeUndefined()
  })
})

describe('time', () => {
  const judged = judge([leaf({ from: -100, until: 100 }, between), between])
  test.each([
    [-200, 'certificate_not_yet_valid'],
    [-90, undefined],
    [90, undefined],
    [101, 'certificate_expired'],
  ])('%d seconds from now: %s', (seconds, expected) => {
    expect(trustRefusal(judged, now + seconds)).toBe(expected)
    expect(validityRefusal(judged, now + seconds)).toBe(expected)
  })

  test('lists, to the second', () => {
    const list = makeRevocationList(between, [])
    const certificate = judge([leaf({}, between), between], { revocationLists: list })
    const end = certificate.paths[0]?.revocationKnownUntil ?? 0
    expect(end).toBeGreaterThan(now)
    expect(trustRefusal(certificate, end - 1)).toBeUndefined()
    const longer = {
      ...certificate,
      notAfter: end + 9,
      paths: certificate.paths.map((path) => ({ ...path, notAfter: end + 9 })),
    }
    expect(trustRefusal(longer, end - 1)).toBeUndefined()
    expect(trustRefusal(longer, end)).toBe('certificate_revocation_unknown')
  })

  test('to the second', () => {
    expect(trustRefusal(judged, judged.notAfter - 1)).toBeUndefined()
    expect(trustRefusal(judged, judged.notAfter)).toBe('certificate_expired')
    expect(trustRefusal(judged, judged.notBefore)).toBeUndefined()
    expect(trustRefusal(judged, judged.notBefore - 1)).toBe('certificate_not_yet_valid')
  })
})

describe('other CAs and lists', () => {
  const files = (authorities: string | undefined, revocationLists?: string): TrustFiles => ({
    authorities,
    revocationLists,
  })
  const presented = presentedCertificate(leaf({}, between).der, [between.der])

  test('count at once for what was judged before', () => {
    const judgeOf = new CertificateJudge(files(root.pem + other.pem))
    const now_ = () => trustRefusal(judgeOf.judge(presented), now)
    expect(now_()).toBeUndefined()
    judgeOf.replace(files(other.pem))
    expect(now_()).toBe('certificate_untrusted')
    judgeOf.replace(files(root.pem))
    expect(now_()).toBeUndefined()
    judgeOf.replace(files(root.pem, makeRevocationList(root, [])))
    expect(now_()).toBe('certificate_revocation_unknown')
    judgeOf.replace(files(undefined))
    expect(now_()).toBe('certificate_untrusted')
  })

  test('are not used if they cannot be, and what is there goes on', () => {
    const judgeOf = new CertificateJudge(files(root.pem))
    for (const authorities of [
      '',
      root.pem.slice(0, 200),
      `${root.pem}${other.pem.slice(0, -20)}`,
      leaf().pem,
    ]) {
      expect(() => judgeOf.replace(files(authorities))).toThrow(/^has /)
      expect(trustRefusal(judgeOf.judge(presented), now)).toBeUndefined()
    }
  })

  test('what was found of a certificate without its CA is not taken for it with the CA', () => {
    const judgeOf = new CertificateJudge(files(root.pem))
    const alone = presentedCertificate(presented.leaf, [])
    expect(trustRefusal(judgeOf.judge(alone), now)).toBe('certificate_untrusted')
    expect(trustRefusal(judgeOf.judge(presented), now)).toBeUndefined()
  })
})

describe('what was found', () => {
  const presented = presentedCertificate(leaf({}, between).der, [between.der])
  const again = () => presentedCertificate(presented.leaf, [between.der])

  test('is kept, for another connection as well, until the files say something else', () => {
    const files = { authorities: root.pem, revocationLists: undefined }
    const judgeOf = new CertificateJudge(files)
    const found = judgeOf.judge(presented)
    expect(judgeOf.judge(presented)).toBe(found)
    expect(judgeOf.judge(again())).toBe(found)
    judgeOf.replace({ ...files })
    expect(judgeOf.judge(again())).toBe(found)
    judgeOf.replace({ ...files, authorities: root.pem + other.pem })
    expect(judgeOf.judge(presented)).not.toBe(found)
    expect(judgeOf.judge(presented)).toEqual(found)
  })

  test('of what is no certificate has all its names, and they are empty', () => {
    const { id } = presentedCertificate(Buffer.from('x'), [])
    const judgeOf = new CertificateJudge({ authorities: root.pem, revocationLists: undefined })
    expect(judgeOf.judge(presentedCertificate(Buffer.from('x'), []))).toEqual({
      thumbprint: id,
      names: { subject: '', dns: [], uris: [], addresses: [], emails: [] },
      keyThumbprint: undefined,
      notBefore: 0,
      notAfter: 0,
      fault: 'certificate_malformed',
      paths: [],
      untrusted: 'certificate_malformed',
    })
  })

  test('of a faulty one is no way to a CA, and of a chain that cannot be read neither', () => {
    expect(judge([leaf({ digest: 'sha1' })])).toMatchObject({ paths: [], untrusted: 'certificate_weak' })
    const broken = presentedCertificate(leaf().der, [Buffer.from('x')])
    const judgeOf = new CertificateJudge({ authorities: root.pem, revocationLists: undefined })
    expect(judgeOf.judge(broken)).toMatchObject({
      fault: undefined,
      paths: [],
      untrusted: 'certificate_chain_malformed',
    })
  })

  test('names the key as a proof of possession does, if it can be one', () => {
    const certificate = leaf()
    const { crv, kty, x, y } = createPublicKey(certificate.privateKey).export({ format: 'jwk' })
    expect(judge([certificate]).keyThumbprint).toBe(
      hash('sha256', JSON.stringify({ crv, kty, x, y }), 'base64url'),
    )
    expect(judge([leaf({ key: 'dsa' })]).keyThumbprint).toBeUndefined()
    expect(judge([leaf({ key: 'secp256k1' })]).keyThumbprint).toBeUndefined()
  })
})

describe('a file that cannot be used', () => {
  const refusal = (authorities: string, revocationLists?: string): string => {
    try {
      new CertificateJudge({ authorities, revocationLists })
    } catch (error) {
      return (error as Error).message
    }
    return 'taken'
  }
  test.each([
    ['nothing', '', 'has no certificate in PEM'],
    ['text', 'hello', 'has no certificate in PEM'],
    ['a half', root.pem.slice(0, 300), 'has a block of PEM that is not complete'],
    ['one and a half', root.pem + other.pem.slice(0, 300), 'has a block of PEM that is not complete'],
    ['an end alone', `${root.pem}-----END CERTIFICATE-----\n`, 'has a block of PEM that is not complete'],
    ['no certificate', pem('CERTIFICATE', utf8('x')), 'has as its block 1 a certificate that is malformed'],
    [
      'a private key',
      root.pem + root.keyPem,
      'has as its block 2 something else than a certificate: PRIVATE KEY',
    ],
    [
      'the certificate of a client',
      root.pem + leaf().pem,
      'has as its block 2 a certificate that is no CA, so it issues none',
    ],
    [
      'a CA with a weak key',
      makeCa('CN=weak', { key: 'rsa1024' }).pem,
      'has as its block 1 a CA with a key that is too weak',
    ],
    [
      'a CA that may not sign certificates',
      makeCa('CN=silent', { keyUsage: usage.cRLSign }).pem,
      'has as its block 1 a certificate that is no CA, so it issues none',
    ],
    [
      'no CA, and no key usage',
      leaf({ keyUsage: null }).pem,
      'has as its block 1 a certificate that is no CA, so it issues none',
    ],
    ['a CA without key usage', makeCa('CN=any', { keyUsage: null }).pem, 'taken'],
    [
      'a CA with a critical extension',
      makeCa('CN=beyond', { extensions: [extension('1.2.3.4', true, utf8('x'))] }).pem,
      'has as its block 1 a CA with a critical extension that is not known here',
    ],
    ['as many as there may be', root.pem.repeat(100), 'taken'],
    ['too many', root.pem.repeat(101), 'has more than 100 certificates'],
  ])('CAs: %s', (_what, text, expected) => {
    expect(refusal(text)).toBe(expected)
  })

  test.each([
    ['nothing', 'hello', 'must have revocation lists in PEM (X509 CRL), and nothing else'],
    ['a half', makeRevocationList(root, []).slice(0, 200), 'has a block of PEM that is not complete'],
    ['a certificate', root.pem, 'must have revocation lists in PEM (X509 CRL), and nothing else'],
    ['no list', pem('X509 CRL', utf8('x')), 'has a revocation list that is malformed'],
    [
      'a list without an end',
      makeRevocationList(root, [], { until: null }),
      'has a revocation list without the time of its next update',
    ],
    [
      'a list of changes',
      makeRevocationList(root, [], {
        extensions: [extension('2.5.29.27', true, octets(Buffer.from([2, 1, 1])))],
      }),
      'has a revocation list that is not the whole one of one CA',
    ],
    [
      'a list of a part',
      makeRevocationList(root, [], { extensions: [extension('2.5.29.28', true, sequence(truth(true)))] }),
      'has a revocation list that is not the whole one of one CA',
    ],
  ])('lists: %s', (_what, text, expected) => {
    expect(refusal(root.pem, text)).toBe(expected)
  })

  test('is named, and why', () => {
    const problem = (files: TrustFiles): unknown => {
      try {
        return new CertificateJudge(files)
      } catch (error) {
        return error
      }
    }
    const files = { authorities: root.pem, revocationLists: undefined }
    expect(problem({ ...files, authorities: pem('CERTIFICATE', utf8('x')) })).toMatchObject({
      name: 'TrustProblem',
      file: 'authorities',
      cause: { cause: expect.any(Error) },
    })
    expect(problem({ ...files, revocationLists: 'x' })).toMatchObject({ file: 'revocationLists' })
  })

  test('text around the blocks is of no matter', () => {
    expect(refusal(`# our CA\n${root.pem}\nsubject=CN=x\n${other.pem.replaceAll('\n', '\r\n')}`)).toBe(
      'taken',
    )
  })
})

describe('what a client must bring in addition', () => {
  const field = { name: 'tls_client_auth_san_dns', value: 'billing.td' } as const
  const trusted = judge([leaf()])
  const stranger = judge([leaf({ names: [general.dns('other.td')] })])
  const selfSigned = judge([
    makeCertificate(undefined, { subject: 'CN=x', names: [general.dns('billing.td')] }),
  ])
  const expired = judge([leaf({ until: -60 })])
  test.each([
    ['nothing', {}, undefined, undefined],
    ['the name, and has it', { requiredCertificate: field }, trusted, undefined],
    ['the name, and has none', { requiredCertificate: field }, undefined, 'certificate_missing'],
    ['the name, and has another', { requiredCertificate: field }, stranger, 'certificate_subject_mismatch'],
    ['the name, of no CA', { requiredCertificate: field }, selfSigned, 'certificate_untrusted'],
    ['the name, expired', { requiredCertificate: field }, expired, 'certificate_expired'],
    ['any, and has none', { certificateBoundTokens: true }, undefined, 'certificate_missing'],
    ['any, and has one of no CA', { certificateBoundTokens: true }, selfSigned, undefined],
    ['any, expired', { certificateBoundTokens: true }, expired, 'certificate_expired'],
  ] as const)('%s', (_what, demands, certificate, expected) => {
    expect(demandRefusal(demands, certificate, now)).toBe(expected)
  })
})
