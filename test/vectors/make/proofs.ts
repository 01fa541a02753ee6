/**
 * Access tokens bound to a key, and the DPoP proofs shown with them at a relying service (RFC 9449 §7).
 *
 * Long because each rule has its cases here, one below the other.
 */
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import {
  audience,
  bareJwk,
  certificateThumbprint,
  issuer,
  makeCertificate,
  makeKey,
  makeToken,
  now,
  part,
  sha256,
  signParts,
  type TestKey,
  thumbprint,
} from './tools.ts'

export interface ProofCase {
  readonly name: string
  readonly why: string
  readonly token: string
  /** The values of all DPoP headers of the request. */
  readonly proofs: readonly string[]
  readonly method: string
  readonly url: string
  /** Requests that the same verifier was shown before this one, all accepted. */
  readonly before: readonly { readonly token: string; readonly proof: string; readonly now: number }[]
  readonly certificate: string | null
  readonly now: number
  readonly expected: { readonly result: 'accepted' } | { readonly result: 'refused'; readonly code: string }
}

const service = makeKey('ES256', 'test-es256-1')
const client = makeKey('ES256', 'test-client')
const edwards = makeKey('EdDSA', 'test-client-eddsa')
const pss = makeKey('PS256', 'test-client-ps256')
const other = makeKey('ES256', 'test-other')

/** What is the same in all cases. */
export const proofSettings = {
  keys: { keys: [service.jwk] },
  issuer,
  audience,
  algorithms: ['ES256'],
  proofAlgorithms: ['ES256', 'EdDSA', 'PS256'],
  leewaySeconds: 10,
  proofMaxAgeSeconds: 60,
}
export const proofCases: ProofCase[] = []

type Members = Record<string, unknown>
const tokenWith = (cnf?: Members, jti = '019b8f3e-0000-7000-8000-000000000002'): string =>
  makeToken(
    service,
    { alg: 'ES256', typ: 'at+jwt', kid: service.kid },
    {
      iss: issuer,
      sub: 'billing',
      client_id: 'billing',
      aud: audience,
      iat: now - 60,
      exp: now + 240,
      jti,
      cnf,
    },
  )
const boundTo = (key: TestKey): string => tokenWith({ jkt: thumbprint(key.publicKey) })
const token = boundTo(client)
const method = 'POST'
const url = 'https://orders.example/orders'

const claims = { jti: 'test-proof-1', htm: method, htu: url, iat: now, ath: sha256(token) }
const headerOf = (key: TestKey) => ({ typ: 'dpop+jwt', alg: key.alg, jwk: bareJwk(key.publicKey) })
const proof = (changed: Members = {}, header: Members = {}, key = client): string =>
  makeToken(key, { ...headerOf(key), ...header }, { ...claims, ...changed })

type Settings = Partial<Omit<ProofCase, 'name' | 'why' | 'expected'>>
function add(name: string, why: string, expected: ProofCase['expected'], settings: Settings): void {
  const defaults = { token, proofs: [proof()], method, url, before: [], certificate: null, now }
  proofCases.push({ name, why, ...defaults, ...settings, expected })
}
const accept = (name: string, why: string, settings: Settings = {}): void =>
  add(name, why, { result: 'accepted' }, settings)
const refuse = (code: string, name: string, why: string, settings: Settings): void =>
  add(name, why, { result: 'refused', code }, settings)
const refuseProof = (code: string, name: string, why: string, ...proofs: string[]): void =>
  refuse(code, name, why, { proofs })

accept('ES256', 'The usual proof.')
for (const key of [edwards, pss]) {
  const bound = boundTo(key)
  accept(key.alg, 'A proof may have another algorithm than the token.', {
    token: bound,
    proofs: [proof({ ath: sha256(bound) }, {}, key)],
  })
}

// ── Which header, which form ───────────────────────────────────────────────────────────────────────────────────────
const malformed = (name: string, why: string, ...proofs: string[]): void =>
  refuseProof('proof_malformed', name, why, ...proofs)
refuseProof('proof_missing', 'none', 'RFC 9449 §7.1: a bound token is no bearer token.')
malformed('two', 'RFC 9449 §4.3: one header.', proof(), proof({ jti: 'test-proof-2' }))
malformed('two in one header', 'RFC 9449 §4.3: one header.', `${proof()},${proof({ jti: 'test-proof-2' })}`)
malformed('empty', 'It is no JWT.', '')
malformed('two parts', 'A JWT has three parts.', proof().split('.').slice(0, 2).join('.'))
malformed('five parts', 'It is no encrypted JWT.', `${proof()}..`)
malformed(
  'longer than 16,384 characters',
  'The longest that is read, as for tokens.',
  proof({ x: 'x'.repeat(16_384) }),
)
malformed('padding', 'RFC 7515 §2.', `${proof()}==`)
malformed('a space first', 'RFC 7515 §2.', ` ${proof()}`)
malformed(
  'a member of the header twice',
  'Two readers take two values.',
  signParts(client, part(JSON.stringify(headerOf(client)).replace('{', '{"alg":"none",')), part(claims)),
)
malformed(
  'a claim twice',
  'Two readers take two values.',
  signParts(client, part(headerOf(client)), part(JSON.stringify(claims).replace('{', '{"htm":"GET",'))),
)
malformed(
  'the payload is a list',
  'It is a JSON object.',
  signParts(client, part(headerOf(client)), part('[]')),
)
malformed('crit', 'What must be understood is not.', proof({}, { crit: ['x'], x: 1 }))
malformed('b64 without crit', 'RFC 7797 §6.', proof({}, { b64: false }))
accept('unknown claims and members', 'RFC 9449 §4.2: they are ignored.', {
  proofs: [proof({ x: 1 }, { x: 1, kid: 'x' })],
})

const typ = 'RFC 9449 §4.3.'
accept('typ in upper case', 'Media types have no case.', { proofs: [proof({}, { typ: 'DPoP+JWT' })] })
for (const [name, value] of [
  ['missing', undefined],
  ['JWT', 'JWT'],
  ['at+jwt', 'at+jwt'],
  ['a list', ['dpop+jwt']],
] as const)
  refuseProof('proof_type_wrong', `typ ${name}`, typ, proof({}, { typ: value }))
for (const alg of ['none', 'HS256', 'RS256', 'es256', undefined])
  refuseProof(
    'proof_algorithm_not_allowed',
    `alg ${alg ?? 'missing'}`,
    'The relying service has a list: ES256, EdDSA, PS256.',
    proof({}, { alg }),
  )

const edwardsToken = boundTo(edwards)
const edwardsProof = (header: Members): string =>
  proof({ ath: sha256(edwardsToken) }, { jwk: bareJwk(edwards.publicKey), ...header }, edwards)
for (const [name, alg, ofKey] of [
  ['alg Ed25519', 'Ed25519', undefined],
  ['alg Ed25519, and EdDSA in the key', 'Ed25519', 'EdDSA'],
  ['alg EdDSA, and Ed25519 in the key', 'EdDSA', 'Ed25519'],
] as const) {
  const jwk = { ...bareJwk(edwards.publicKey), ...(ofKey !== undefined && { alg: ofKey }) }
  accept(name, 'RFC 9864: EdDSA has two names.', {
    token: edwardsToken,
    proofs: [edwardsProof({ alg, jwk })],
  })
}

// ── Its key ────────────────────────────────────────────────────────────────────────────────────────────────────────
const jwk = bareJwk(client.publicKey)
const badKey = (
  name: string,
  why: string,
  value: unknown,
  alg: TestKey['alg'] = 'ES256',
  key = client,
): void => refuseProof('proof_key_invalid', `jwk ${name}`, why, proof({}, { jwk: value, alg }, key))
badKey('missing', 'RFC 9449 §4.3.', undefined)
badKey('null', 'It is a key.', null)
badKey('a text', 'It is a key.', JSON.stringify(jwk))
badKey('private', 'RFC 9449 §4.3: no private key.', { ...jwk, d: 'A'.repeat(43) })
badKey('a shared secret', 'RFC 9449 §4.3: a public key.', { kty: 'oct', k: 'dGVzdC0' })
badKey('with a shared secret in it', 'RFC 9449 §4.3: a public key.', { ...jwk, k: 'dGVzdC0' })
badKey('not on the curve', 'RFC 7518 §6.2.1.', { ...jwk, y: 'A'.repeat(43) })
badKey(
  'of another curve',
  'RFC 7518 §3.4: ES256 is P-256.',
  bareJwk(generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey),
)
badKey('of another kind', 'The key must be for the algorithm.', bareJwk(edwards.publicKey))
badKey('with the alg of another kind', 'RFC 7517 §4.4.', { ...jwk, alg: 'PS256' })
badKey('for encryption', 'RFC 7517 §4.2.', { ...jwk, use: 'enc' })
badKey('that may only sign', 'RFC 7517 §4.3.', { ...jwk, key_ops: ['sign'] })
accept('jwk with the alg, the use and the operation that it is for', 'RFC 7517 §4.2 to §4.4.', {
  proofs: [proof({}, { jwk: { ...jwk, alg: 'ES256', use: 'sig', key_ops: ['verify'] } })],
})
badKey(
  'with the exponent 1',
  'Then everybody can sign.',
  { ...bareJwk(pss.publicKey), e: 'AQ' },
  'PS256',
  pss,
)
const short: KeyObject = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey
badKey('of 1,024 bits', 'RFC 7518 §3.5: 2,048 or more.', bareJwk(short), 'PS256', pss)
badKey(
  'with a coordinate in its other form',
  'One key has one thumbprint: base64url without padding (RFC 7518 §6.2.1).',
  { ...jwk, x: `${jwk['x']}=` },
)

// ── Signature and binding ──────────────────────────────────────────────────────────────────────────────────────────
refuseProof('proof_signature_wrong', 'signed by another key', 'RFC 9449 §4.3.', proof({}, { jwk }, other))
refuseProof(
  'proof_signature_wrong',
  'the claims were changed',
  'RFC 9449 §4.3.',
  (() => {
    const [header, , signature] = proof().split('.')
    return `${header}.${part({ ...claims, htm: 'GET' })}.${signature}`
  })(),
)
refuseProof('proof_signature_wrong', 'without a signature', 'RFC 9449 §4.3.', proof().replace(/[^.]+$/, ''))
refuseProof(
  'proof_signature_wrong',
  'r and s are 0',
  'CVE-2022-21449.',
  proof().replace(/[^.]+$/, 'A'.repeat(86)),
)
refuse('proof_key_wrong', 'a good proof by a key that the token is not bound to', 'RFC 9449 §7.1.', {
  proofs: [proof({}, {}, other)],
})
const unbound = tokenWith()
refuse(
  'token_not_bound',
  'a token that is bound to nothing',
  'RFC 9449 §7.1: the scheme DPoP is for bound tokens.',
  {
    token: unbound,
    proofs: [proof({ ath: sha256(unbound) })],
  },
)
refuse('signature_wrong', 'a token that is not right', 'The token is looked at first.', {
  token: `${token.slice(0, token.lastIndexOf('.'))}.${'A'.repeat(86)}`,
})

// ── Claims ─────────────────────────────────────────────────────────────────────────────────────────────────────────
for (const name of ['jti', 'htm', 'htu', 'iat', 'ath'])
  refuseProof('proof_claim_missing', `${name} missing`, 'RFC 9449 §4.2, §7.', proof({ [name]: undefined }))
for (const [name, value] of [
  ['jti', 1],
  ['jti', ''],
  ['jti', 'j'.repeat(257)],
  ['htm', ['POST']],
  ['htu', [url]],
  ['htu', '/orders'],
  ['htu', 'orders.example/orders'],
  ['iat', String(now)],
  ['iat', -1],
  ['ath', 1],
  ['ath', null],
] as const)
  refuseProof(
    'proof_claim_invalid',
    `${name} ${JSON.stringify(value).slice(0, 40)}`,
    'jti is a text of 1 to 256 characters, htm and ath are texts, htu is an absolute URL, iat is a time.',
    proof({ [name]: value }),
  )
refuseProof(
  'proof_claim_invalid',
  'iat 1e400',
  'A time is finite.',
  signParts(
    client,
    part(headerOf(client)),
    part(JSON.stringify(claims).replace(`"iat":${now}`, '"iat":1e400')),
  ),
)
for (const value of ['GET', 'post', 'POST '])
  refuseProof(
    'proof_method_wrong',
    `htm "${value}"`,
    'Methods have a case (RFC 9110 §9.1).',
    proof({ htm: value }),
  )
for (const value of [
  'https://orders.example/orders?page=1',
  'https://orders.example/orders#x',
  'https://ORDERS.example/orders',
  'HTTPS://orders.example/orders',
  'https://orders.example:443/orders',
  'https://orders.example/%6Frders',
  'https://orders.example/./x/../orders',
])
  accept(
    `htu ${value}`,
    'RFC 9449 §4.3: without query and fragment, normalised as in RFC 3986 §6.2.2 and §6.2.3.',
    { proofs: [proof({ htu: value })] },
  )
accept('a query in the request', 'RFC 9449 §4.3: it is not compared.', { url: `${url}?page=1` })
accept('a tilde and its escape', 'RFC 3986 §6.2.2.2.', {
  url: 'https://orders.example/~a',
  proofs: [proof({ htu: 'https://orders.example/%7Ea' })],
})
accept('escapes in lower case', 'RFC 3986 §6.2.2.1.', {
  url: 'https://orders.example/a%2Fb',
  proofs: [proof({ htu: 'https://orders.example/a%2fb' })],
})
accept('no path and the path /', 'RFC 3986 §6.2.3.', {
  url: 'https://orders.example/',
  proofs: [proof({ htu: 'https://orders.example' })],
})
for (const value of [
  'https://orders.example/orders/',
  'https://orders.example/',
  'https://orders.example/Orders',
  'https://orders.example/orders/1',
  'http://orders.example/orders',
  'https://orders.example:8443/orders',
  'https://attacker.example/orders',
  'https://orders.example.attacker.example/orders',
  'https://billing@orders.example/orders',
])
  refuseProof(
    'proof_url_wrong',
    `htu ${value}`,
    'RFC 9449 §4.3: the URL of this request.',
    proof({ htu: value }),
  )
refuse(
  'proof_url_wrong',
  'an escaped slash is no slash',
  'RFC 3986 §2.2: reserved characters stay escaped.',
  { url: 'https://orders.example/a/b', proofs: [proof({ htu: 'https://orders.example/a%2Fb' })] },
)

const window = 'A proof is for now: at most 60 seconds old, and 10 seconds ahead for clocks that differ.'
for (const iat of [now - 60, now + 10, now - 0.5])
  accept(`iat ${iat - now}`, window, { proofs: [proof({ iat })] })
for (const iat of [now - 61, now + 11, now - 3600, now + 3600, 0])
  refuseProof('proof_time_wrong', `iat ${iat === 0 ? '0' : iat - now} `.trim(), window, proof({ iat }))
refuseProof(
  'proof_token_wrong',
  'ath of another token',
  'RFC 9449 §4.3: the hash of this token.',
  proof({ ath: sha256(tokenWith({ jkt: thumbprint(client.publicKey) }, 'other')) }),
)
refuseProof(
  'proof_token_wrong',
  'ath in hexadecimal',
  'RFC 9449 §4.2: base64url.',
  proof({ ath: Buffer.from(sha256(token), 'base64url').toString('hex') }),
)
refuseProof(
  'proof_token_wrong',
  'ath with padding',
  'RFC 9449 §4.2: base64url without padding.',
  proof({ ath: `${sha256(token)}=` }),
)

// ── Once only ──────────────────────────────────────────────────────────────────────────────────────────────────────
const once = 'RFC 9449 §11.1: a proof counts once.'
const first = proof()
const replayed = (name: string, settings: Settings): void => refuse('proof_replayed', name, once, settings)
replayed('the same proof again', { before: [{ token, proof: first, now }], proofs: [first] })
replayed('the same proof at the end of its time', {
  before: [{ token, proof: first, now }],
  proofs: [first],
  now: now + 60,
})
replayed(
  'a proof from ahead, at the end of its time',
  (() => {
    const ahead = proof({ iat: now + 10 })
    return { before: [{ token, proof: ahead, now }], proofs: [ahead], now: now + 70 }
  })(),
)
replayed('another proof with the same jti', {
  before: [{ token, proof: proof({ iat: now - 1 }), now }],
  proofs: [first],
})
replayed('the same proof with another signature', {
  before: [{ token, proof: first, now }],
  proofs: [proof()],
})
accept('another jti', once, {
  before: [{ token, proof: first, now }],
  proofs: [proof({ jti: 'test-proof-2' })],
})
accept(
  'the jti of another client',
  'A jti is a name among those of one key. Else one client could use up the names of another.',
  (() => {
    const others = boundTo(other)
    return {
      before: [{ token: others, proof: proof({ ath: sha256(others) }, {}, other), now }],
      proofs: [first],
    }
  })(),
)

// ── Bound to a certificate as well ─────────────────────────────────────────────────────────────────────────────────
const certificate = makeCertificate('test-billing', now - 86_400, now + 86_400)
const otherCertificate = makeCertificate('test-other', now - 86_400, now + 86_400)
const both = tokenWith({ jkt: thumbprint(client.publicKey), 'x5t#S256': certificateThumbprint(certificate) })
const withBoth: Settings = { token: both, proofs: [proof({ ath: sha256(both) })] }
accept('bound to key and certificate', 'RFC 8705 §3, RFC 9449 §6: both are shown.', {
  ...withBoth,
  certificate,
})
refuse(
  'certificate_missing',
  'bound to key and certificate, with the proof alone',
  'Both must be shown.',
  withBoth,
)
refuse('certificate_wrong', 'bound to key and certificate, with another certificate', 'Both must match.', {
  ...withBoth,
  certificate: otherCertificate,
})
