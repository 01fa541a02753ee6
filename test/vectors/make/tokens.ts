/**
 * Access tokens at a relying service.
 *
 * Long because each rule has its cases here, one below the other.
 */
import { createHmac, generateKeyPairSync } from 'node:crypto'
import {
  audience,
  bareJwk,
  certificateThumbprint,
  derSignature,
  issuer,
  type Jwk,
  makeCertificate,
  makeKey,
  makeRocaKey,
  makeToken,
  now,
  orderP256,
  part,
  scalar,
  sha256,
  signBytes,
  signParts,
  type TestKey,
  thumbprint,
} from './tools.ts'

/** A text, or texts with how often each is repeated, to be joined: for what is too long to be written down. */
export type LongText = string | readonly (readonly [text: string, times: number])[]

export interface TokenCase {
  readonly name: string
  readonly why: string
  readonly token: LongText
  /** The name of one of the file's key sets. */
  readonly keys: string
  readonly issuer: string
  readonly audience: string
  readonly algorithms: readonly string[]
  readonly now: number
  readonly leewaySeconds: number
  readonly requiredScope: string | null
  readonly certificate: string | null
  readonly expected:
    | { readonly result: 'accepted'; readonly claims: unknown }
    | { readonly result: 'refused'; readonly code: string }
}

const keys = {
  first: makeKey('ES256', 'test-es256-1'),
  second: makeKey('ES256', 'test-es256-2'),
  edwards: makeKey('EdDSA', 'test-eddsa-1'),
  pss: makeKey('PS256', 'test-ps256-1'),
  rsa: makeKey('RS256', 'test-rs256-1'),
}
/** Of nobody: its public key is in no set, unless a case says so. */
const stranger = makeKey('ES256', 'test-es256-1')

/** The key sets by name, as they would be fetched. */
export const keySets: Record<string, unknown> = {
  standard: { keys: Object.values(keys).map(({ jwk }) => jwk) },
}
const goodKeys = Object.values(keys).map(({ jwk }) => jwk)
/** A set that has these keys beside the good ones. */
function withKeys(name: string, ...jwks: readonly unknown[]): string {
  keySets[name] = { keys: [...goodKeys, ...jwks] }
  return name
}

export const tokenCases: TokenCase[] = []

const claims = {
  iss: issuer,
  sub: 'billing',
  client_id: 'billing',
  aud: audience,
  scope: 'orders:read orders:write',
  iat: now - 60,
  exp: now + 240,
  jti: '019b8f3e-0000-7000-8000-000000000001',
}
type Claims = Record<string, unknown>
const headerOf = (key: TestKey) => ({ alg: key.alg, typ: 'at+jwt', kid: key.kid })
const header = headerOf(keys.first)

/** Signed as it should be, with these claims instead of the good ones; undefined leaves one out. */
const withClaims = (changed: Claims = {}): string => makeToken(keys.first, header, { ...claims, ...changed })
const withHeader = (changed: Claims, key = keys.first): string =>
  makeToken(key, { ...header, ...changed }, claims)
/** Signed as it should be, with this text as its claims. */
const withText = (payload: string | Buffer): string => makeToken(keys.first, header, payload)
/** The claims as text, with more members at the end. */
const claimsText = (more: string): string => JSON.stringify(claims).replace(/\}$/, `,${more}}`)
/** The claims as text, with this text as the value of one. */
const valueText = (name: string, value: string): string => {
  const { [name as keyof typeof claims]: _, ...others } = claims
  return JSON.stringify(others).replace(/\}$/, `,${JSON.stringify(name)}:${value}}`)
}

type Settings = Partial<Omit<TokenCase, 'name' | 'why' | 'token' | 'expected'>>

function add(
  name: string,
  why: string,
  token: LongText,
  expected: TokenCase['expected'],
  settings: Settings,
): void {
  tokenCases.push({
    name,
    why,
    token,
    keys: 'standard',
    issuer,
    audience,
    algorithms: ['ES256'],
    now,
    leewaySeconds: 10,
    requiredScope: null,
    certificate: null,
    ...settings,
    expected,
  })
}

function accept(name: string, why: string, token: LongText, settings: Settings = {}): void {
  const whole = typeof token === 'string' ? token : token.map(([text, times]) => text.repeat(times)).join('')
  const payload: unknown = JSON.parse(Buffer.from(whole.split('.')[1] ?? '', 'base64url').toString())
  const written = typeof token === 'string' ? payload : claims
  add(name, why, token, { result: 'accepted', claims: written }, settings)
}

function refuse(code: string, name: string, why: string, token: LongText, settings: Settings = {}): void {
  add(name, why, token, { result: 'refused', code }, settings)
}

// ── Good tokens ────────────────────────────────────────────────────────────────────────────────────────────────────
accept('ES256', 'The usual token of the service.', withClaims())
accept(
  'ES256, the second key of the set',
  'The kid chooses the key.',
  makeToken(keys.second, headerOf(keys.second), claims),
)
for (const key of [keys.edwards, keys.pss, keys.rsa])
  accept(
    key.alg,
    'An algorithm that the relying service has in its list.',
    makeToken(key, headerOf(key), claims),
    {
      algorithms: [key.alg],
    },
  )
accept('several algorithms in the list', 'The list is the relying service’s own.', withClaims(), {
  algorithms: ['EdDSA', 'ES256'],
})
accept(
  'without scope',
  'RFC 9068 §2.2.3: the claim is absent if the token has no scope.',
  withClaims({ scope: undefined }),
)
accept(
  'unknown claims',
  'RFC 7519 §4: claims that are not understood are ignored.',
  withClaims({ act: { sub: 'x' }, n: [1] }),
)
accept('unknown members of the header', 'RFC 7515 §4: they are ignored.', withHeader({ foo: 'bar' }))
accept(
  'members named like parts of JavaScript',
  'They are ordinary members and change nothing.',
  withText(claimsText('"__proto__":{"scope":"admin"},"constructor":1')),
)
accept('whitespace inside the JSON', 'RFC 8259 §2 allows it.', withText(JSON.stringify(claims, null, 2)))
accept('letters beyond ASCII', 'JSON is UTF-8.', withClaims({ note: 'Zürich, 東京' }))
accept(
  'the other signature of the pair',
  'ECDSA: (r, n−s) verifies as well as (r, s). So a token’s text is not its name; its iss and jti are.',
  flipped(withClaims()),
)

function flipped(token: string): string {
  const at = token.lastIndexOf('.') + 1
  const signature = Buffer.from(token.slice(at), 'base64url')
  const s = BigInt(`0x${signature.subarray(32).toString('hex')}`)
  return (
    token.slice(0, at) +
    Buffer.concat([signature.subarray(0, 32), scalar(orderP256 - s)]).toString('base64url')
  )
}

// ── Size and form ──────────────────────────────────────────────────────────────────────────────────────────────────
const good = withClaims()
const [goodHeader = '', goodPayload = '', goodSignature = ''] = good.split('.')
const malformed = (name: string, why: string, token: LongText, settings?: Settings): void =>
  refuse('token_malformed', name, why, token, settings)

malformed('empty', 'No token.', '')
malformed('one part', 'A token has three parts.', goodHeader)
malformed('two parts', 'A token has three parts.', `${goodHeader}.${goodPayload}`)
malformed('four parts', 'A token has three parts.', `${good}.${goodSignature}`)
malformed(
  'five parts',
  'Five would be encrypted (JWE). It is refused before anything is parsed.',
  `${good}..`,
)
malformed('a million dots', 'Its length is bounded before it is split.', [['.', 1_000_000]])
malformed('a header of five megabytes', 'Its length is bounded before it is decoded.', [
  ['A', 5_000_000],
  [`.${goodPayload}.${goodSignature}`, 1],
])
malformed(
  'the flattened JSON form',
  'Only the compact form is a token (RFC 7519 §1).',
  JSON.stringify({ protected: goodHeader, payload: goodPayload, signature: goodSignature }),
)
malformed(
  'compact form and JSON at once',
  'A polyglot: two parsers would read two tokens.',
  `{"a":"${good}","payload":"${goodPayload}"}`,
)
malformed('empty header', 'The header is a JSON object.', `.${goodPayload}.${goodSignature}`)
malformed('empty payload', 'The payload is a JSON object.', signParts(keys.first, goodHeader, ''))

/** The longest token that is read has so many characters. */
const charactersMax = 16_384
function tokenOf(characters: number): string {
  // Four characters carry three bytes, so the last few lengths are met by the header as well.
  for (let more = 0; more < 4; more += 1) {
    const ready = makeToken(keys.first, { ...header, x: 'x'.repeat(more) }, { ...claims, fill: '' }).length
    const fill = Math.floor(((characters - ready) * 3) / 4)
    for (const size of [fill - 1, fill, fill + 1]) {
      const token = makeToken(
        keys.first,
        { ...header, x: 'x'.repeat(more) },
        { ...claims, fill: 'x'.repeat(size) },
      )
      if (token.length === characters) return token
    }
  }
  throw new Error('no token of this length')
}
accept('16,384 characters', 'The longest token that is read.', tokenOf(charactersMax))
malformed('16,385 characters', 'One more than the longest token that is read.', tokenOf(charactersMax + 1))

// ── Encoding ───────────────────────────────────────────────────────────────────────────────────────────────────────
const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
/** Another last character whose unused bits are set: the same bytes for a decoder that is not strict. */
function alias(text: string): string {
  const last = alphabet.indexOf(text.at(-1) ?? '')
  return text.slice(0, -1) + alphabet[last + 1]
}
/** A payload whose last character has unused bits. */
const loosePayload = (() => {
  for (let fill = ''; ; fill += 'x') {
    const encoded = part({ ...claims, fill })
    if (encoded.length % 4 !== 0) return encoded
  }
})()
const looseHeader = (() => {
  for (let fill = ''; ; fill += 'x') {
    const encoded = part({ ...header, fill })
    if (encoded.length % 4 !== 0) return encoded
  }
})()
const canonical =
  'One token has one text: RFC 7515 §2 is base64url without padding, line breaks or other characters.'
malformed('newline at the end', canonical, `${good}\n`)
malformed('newline at the beginning', canonical, `\n${good}`)
malformed('space at the beginning', canonical, ` ${good}`)
malformed('space at the end', canonical, `${good} `)
malformed('newline inside the signature', canonical, `${good.slice(0, -10)}\n${good.slice(-10)}`)
malformed('NUL at the end', canonical, `${good}\u0000`)
malformed('padding of the signature', canonical, `${good}==`)
malformed(
  'padding of the payload, signed so',
  canonical,
  signParts(keys.first, goodHeader, `${loosePayload}=`),
)
malformed(
  'padding of the header, signed so',
  canonical,
  signParts(keys.first, `${looseHeader}=`, goodPayload),
)
malformed(
  'the last character of the signature in its other form',
  canonical,
  `${goodHeader}.${goodPayload}.${alias(goodSignature)}`,
)
malformed(
  'the last character of the payload in its other form, signed so',
  canonical,
  signParts(keys.first, goodHeader, alias(loosePayload)),
)
malformed(
  'the last character of the header in its other form, signed so',
  canonical,
  signParts(keys.first, alias(looseHeader), goodPayload),
)
malformed(
  'the alphabet of plain base64',
  canonical,
  (() => {
    for (let count = 0; ; count += 1) {
      const token = withClaims({ count })
      const signature = token.slice(token.lastIndexOf('.') + 1)
      if (/[-_]/.test(signature))
        return token.slice(0, -signature.length) + signature.replaceAll('-', '+').replaceAll('_', '/')
    }
  })(),
)
malformed(
  'a length that no bytes have',
  canonical,
  `${goodHeader}.${goodPayload}.${goodSignature.slice(0, -1)}`,
)
malformed('a character beyond ASCII', canonical, `${good.slice(0, -1)}\u00e9`)
malformed('percent-encoded dots', canonical, good.replaceAll('.', '%2E'))
malformed('"Bearer" inside the token', canonical, `Bearer ${good}`)

// ── JSON ───────────────────────────────────────────────────────────────────────────────────────────────────────────
for (const [name, text] of [
  ['an array', '[]'],
  ['a string', '"x"'],
  ['a number', '1'],
  ['null', 'null'],
  ['no JSON', '{'],
] as const) {
  malformed(`the payload is ${name}`, 'RFC 7519 §7.2: a JSON object.', withText(text))
  malformed(
    `the header is ${name}`,
    'RFC 7519 §7.2: a JSON object.',
    signParts(keys.first, part(text), goodPayload),
  )
}
const strict = 'RFC 8259: no comments, no trailing commas, no names without quotes, no NaN.'
malformed('a comma at the end of the payload', strict, withText(claimsText('"x":1,')))
malformed('a comment in the payload', strict, withText(claimsText('"x":1/* */')))
malformed('NaN in the payload', strict, withText(claimsText('"x":NaN')))
malformed('Infinity in the payload', strict, withText(claimsText('"x":Infinity')))
malformed('single quotes in the payload', strict, withText(JSON.stringify(claims).replaceAll('"', "'")))
malformed('something behind the payload', strict, withText(`${JSON.stringify(claims)}{}`))
malformed('a control character in a string', strict, withText(claimsText('"x":"\u0001"')))
const twice = 'Two members with one name: two readers take two values (RFC 8259 §4).'
malformed('scope twice', twice, withText(claimsText('"scope":"admin"')))
malformed('aud twice', twice, withText(`{"aud":"https://other.example",${JSON.stringify(claims).slice(1)}`))
malformed('scope twice, once with an escaped letter', twice, withText(claimsText('"scop\\u0065":"admin"')))
malformed(
  'a member twice in an object of a claim',
  twice,
  withText(claimsText('"act":{"sub":"a","sub":"b"}')),
)
malformed('a member twice in an object of a list', twice, withText(claimsText('"list":[{"a":1,"a":1}]')))
malformed(
  'alg twice',
  twice,
  signParts(
    keys.first,
    part('{"alg":"none","typ":"at+jwt","kid":"test-es256-1","alg":"ES256"}'),
    goodPayload,
  ),
)
malformed(
  'kid twice',
  twice,
  signParts(keys.first, part('{"alg":"ES256","typ":"at+jwt","kid":"x","kid":"test-es256-1"}'), goodPayload),
)
/** @param levels those of the claims and of their value together. */
const nested = (levels: number, open: string, close: string): string =>
  withText(
    claimsText(`"deep":${open.repeat(levels - 1)}${open === '[' ? '' : '1'}${close.repeat(levels - 1)}`),
  )
accept(
  '16 levels',
  'The deepest JSON that is read. The claims themselves are the first level.',
  nested(16, '[', ']'),
)
malformed('17 levels of lists', 'One level more than is read.', nested(17, '[', ']'))
malformed('17 levels of objects', 'One level more than is read.', nested(17, '{"a":', '}'))
malformed(
  '5,000 levels in the header, not signed',
  'The header is parsed before anything is proven: it must end no process.',
  `${part(`{"alg":"ES256","x":${'['.repeat(5000)}${']'.repeat(5000)}}`)}.${goodPayload}.${goodSignature}`,
)
accept('brackets in strings', 'They are no levels.', withClaims({ note: '[{'.repeat(100) }))
malformed(
  'invalid UTF-8',
  'RFC 7519 §3.',
  withText(
    Buffer.concat([Buffer.from(JSON.stringify(claims).slice(0, -1)), Buffer.from(',"x":"\xff"}', 'latin1')]),
  ),
)
malformed(
  'overlong UTF-8',
  'A slash in two bytes is no UTF-8.',
  withText(
    Buffer.concat([
      Buffer.from(JSON.stringify(claims).slice(0, -1)),
      Buffer.from(',"x":"\xc0\xaf"}', 'latin1'),
    ]),
  ),
)
malformed('a byte order mark', 'RFC 8259 §8.1.', withText(`\ufeff${JSON.stringify(claims)}`))
malformed('UTF-16', 'RFC 8259 §8.1.', withText(Buffer.from(JSON.stringify(claims), 'utf16le')))
malformed(
  'half of a surrogate pair',
  'It is no Unicode text (RFC 7493 §2.1).',
  withText(claimsText('"x":"\\ud800"')),
)
malformed(
  'half of a surrogate pair in a name',
  'It is no Unicode text (RFC 7493 §2.1).',
  withText(claimsText('"\\udc00":1')),
)
accept(
  'a whole surrogate pair',
  'An escaped emoji is Unicode text.',
  withText(claimsText('"x":"\\ud83d\\ude00"')),
)

// ── Algorithm ──────────────────────────────────────────────────────────────────────────────────────────────────────
const notAllowed = (name: string, why: string, token: string, settings?: Settings): void =>
  refuse('algorithm_not_allowed', name, why, token, settings)
for (const alg of ['none', 'None', 'NONE', 'nOnE']) {
  const unsigned = `${part({ ...header, alg })}.${goodPayload}`
  notAllowed(`alg ${alg}, without a signature`, 'RFC 8725 §3.2.', `${unsigned}.`)
  notAllowed(`alg ${alg}, with a signature`, 'RFC 8725 §3.2.', `${unsigned}.${goodSignature}`)
}
const spki = keys.first.publicKey.export({ type: 'spki', format: 'pem' }).toString()
const hmacKeys: readonly (readonly [string, string | Buffer])[] = [
  ['PEM', spki],
  ['PEM without its last newline', spki.trimEnd()],
  ['DER', keys.first.publicKey.export({ type: 'spki', format: 'der' })],
  ['JWK', JSON.stringify(keys.first.jwk)],
  ['the bytes of x', Buffer.from(String(keys.first.jwk['x']), 'base64url')],
  ['nothing', ''],
]
for (const [name, key] of hmacKeys) {
  const input = `${part({ ...header, alg: 'HS256' })}.${goodPayload}`
  notAllowed(
    `HS256 under the public key as ${name}`,
    'RFC 8725 §2.1: a public key is no shared secret.',
    `${input}.${createHmac('sha256', key).update(input).digest('base64url')}`,
  )
}
const sharedSecret = Buffer.alloc(32, 'test-')
const hsInput = `${part({ alg: 'HS256', typ: 'at+jwt', kid: 'test-oct' })}.${goodPayload}`
notAllowed(
  'HS256 under a shared secret that stands in the set',
  'The list decides, not the set.',
  `${hsInput}.${createHmac('sha256', sharedSecret).update(hsInput).digest('base64url')}`,
  {
    keys: withKeys('with a shared secret', {
      kty: 'oct',
      kid: 'test-oct',
      alg: 'HS256',
      k: sharedSecret.toString('base64url'),
    }),
  },
)
notAllowed(
  'an algorithm that is not in the list',
  'The list is the relying service’s own, and the set does not extend it.',
  makeToken(keys.edwards, headerOf(keys.edwards), claims),
)
notAllowed(
  'RS256 with the kid of a key for ES256',
  'The key says what it is for.',
  makeToken(keys.rsa, { ...headerOf(keys.rsa), kid: keys.first.kid }, claims),
  { algorithms: ['ES256', 'RS256'] },
)
notAllowed(
  'RS256 with the kid of a key for PS256',
  'A key is for one algorithm (RFC 8725 §3.1).',
  makeToken({ ...keys.pss, alg: 'RS256' }, { ...headerOf(keys.pss), alg: 'RS256' }, claims),
  { algorithms: ['PS256', 'RS256'] },
)
notAllowed(
  'alg in lower case',
  'Names of algorithms have one spelling (RFC 7515 §4.1.1).',
  withHeader({ alg: 'es256' }),
)
notAllowed(
  'alg with a space',
  'Names of algorithms have one spelling (RFC 7515 §4.1.1).',
  withHeader({ alg: 'ES256 ' }),
)
notAllowed('alg missing', 'RFC 7515 §4.1.1.', withHeader({ alg: undefined }))
notAllowed('alg null', 'It is a text.', withHeader({ alg: null }))
notAllowed('alg a list', 'It is a text.', withHeader({ alg: ['ES256'] }))
notAllowed('alg an object', 'It is a text.', withHeader({ alg: { ES256: true } }))

// ── Other members of the header ────────────────────────────────────────────────────────────────────────────────────
const unsupported = (name: string, why: string, token: string): void =>
  refuse('header_unsupported', name, why, token)
const mustUnderstand = 'RFC 7515 §4.1.11: what must be understood is not, so every crit is refused.'
unsupported('crit with an unknown name', mustUnderstand, withHeader({ crit: ['x'], x: 1 }))
unsupported('crit empty', mustUnderstand, withHeader({ crit: [] }))
unsupported('crit null', mustUnderstand, withHeader({ crit: null }))
unsupported('crit with a name that is not in the header', mustUnderstand, withHeader({ crit: ['exp'] }))
unsupported('crit with a name of the RFC', mustUnderstand, withHeader({ crit: ['alg'] }))
unsupported('crit with one name twice', mustUnderstand, withHeader({ crit: ['x', 'x'], x: 1 }))
unsupported('crit with b64', mustUnderstand, withHeader({ crit: ['b64'], b64: true }))
unsupported(
  'b64 false without crit',
  'RFC 7797 §6: who does not know it verifies other bytes.',
  withHeader({ b64: false }),
)
unsupported(
  'b64 true without crit',
  'RFC 7797 §6: it is of no use here, so it is refused like false.',
  withHeader({ b64: true }),
)

const wrongType = (name: string, why: string, token: string): void => refuse('type_wrong', name, why, token)
accept(
  'typ in upper case',
  'Media types have no case (RFC 7515 §4.1.9, RFC 2045 §5.1).',
  withHeader({ typ: 'AT+JWT' }),
)
accept('typ with application/', 'RFC 9068 §4 allows both.', withHeader({ typ: 'application/at+jwt' }))
wrongType('typ missing', 'RFC 9068 §4.', withHeader({ typ: undefined }))
for (const typ of [
  'JWT',
  'jwt',
  'dpop+jwt',
  'logout+jwt',
  'client-authentication+jwt',
  'secevent+jwt',
  'at',
  'at+jwt ',
  'xat+jwt',
  'application/application/at+jwt',
  '',
])
  wrongType(
    `typ "${typ}"`,
    'RFC 8725 §3.11: another kind of JWT of the same issuer is no access token.',
    withHeader({ typ }),
  )
wrongType('typ a list', 'It is a text.', withHeader({ typ: ['at+jwt'] }))
wrongType('typ null', 'It is a text.', withHeader({ typ: null }))

// ── Key ────────────────────────────────────────────────────────────────────────────────────────────────────────────
const unknownKey = (name: string, why: string, token: string, settings?: Settings): void =>
  refuse('key_unknown', name, why, token, settings)
unknownKey('kid missing', 'Keys are never tried one after the other.', withHeader({ kid: undefined }))
for (const kid of [
  'test-es256-3',
  '',
  'TEST-ES256-1',
  'test-es256-1 ',
  '../../../dev/null',
  "' OR 1=1 --",
  'https://attacker.example/key',
  '__proto__',
  'constructor',
  'toString',
])
  unknownKey(
    `kid "${kid}"`,
    'It is compared with the kids of the set, letter by letter, and looked up nowhere else.',
    withHeader({ kid }),
  )
for (const kid of [1, null, ['test-es256-1'], { kid: 'test-es256-1' }, true])
  unknownKey(`kid ${JSON.stringify(kid)}`, 'It is a text.', withHeader({ kid }))
unknownKey('kid of 10,000 characters', 'It is in no set.', withHeader({ kid: 'k'.repeat(10_000) }))
unknownKey(
  'jwk in the header, kid unknown',
  'RFC 8725 §3.10: a key comes from the set of the issuer alone.',
  makeToken(stranger, { ...header, kid: 'test-stranger', jwk: bareJwk(stranger.publicKey) }, claims),
)
unknownKey(
  'jwk in the header, kid missing',
  'RFC 8725 §3.10: a key comes from the set of the issuer alone.',
  makeToken(stranger, { alg: 'ES256', typ: 'at+jwt', jwk: bareJwk(stranger.publicKey) }, claims),
)
accept(
  'jku and x5u in a good token',
  'They are ignored, and nothing is fetched.',
  withHeader({ jku: 'https://attacker.example/jwks.json', x5u: 'https://attacker.example/x5u' }),
)
accept(
  'jwk of a stranger in a good token',
  'It is ignored.',
  withHeader({ jwk: bareJwk(stranger.publicKey) }),
)

/** A token of a key that is published like this. */
function publishedAs(
  name: string,
  key: TestKey,
  jwk: Jwk | unknown,
  settings: Settings = {},
): [string, Settings] {
  return [
    makeToken(key, headerOf(key), claims),
    { keys: withKeys(name, jwk), algorithms: [key.alg], ...settings },
  ]
}
const other = makeKey('ES256', 'test-other')
const { alg: _alg, ...withoutAlg } = other.jwk
unknownKey(
  'a key without alg',
  'A key that does not say what it is for is not used: else the token decides (RFC 8725 §3.1).',
  ...publishedAs('with a key without alg', other, withoutAlg),
)
accept(
  'a key without use',
  'The member is optional (RFC 7517 §4.2).',
  ...publishedAs('with a key without use', other, { ...other.jwk, use: undefined }),
)
unknownKey(
  'a key for encryption',
  'RFC 7517 §4.2.',
  ...publishedAs('with a key for encryption', other, { ...other.jwk, use: 'enc' }),
)
unknownKey(
  'a key whose operations are others',
  'RFC 7517 §4.3.',
  ...publishedAs('with a key for deriving', other, { ...other.jwk, use: undefined, key_ops: ['deriveKey'] }),
)
unknownKey(
  'a key that stands twice with one kid',
  'Nobody can say which is meant, so neither is.',
  ...publishedAs('with a kid twice', other, other.jwk, { keys: 'with a kid twice' }),
)
keySets['with a kid twice'] = { keys: [...goodKeys, other.jwk, { ...makeKey('ES256', 'test-other').jwk }] }
accept(
  'unknown kinds of keys in the set',
  'RFC 7517 §5: keys that are not understood are ignored, and the others work.',
  good,
  {
    keys: withKeys(
      'with unknown kinds of keys',
      { kty: 'LWE', kid: 'test-lwe', alg: 'ML-DSA-44' },
      { kty: 'EC', crv: 'P-1024', kid: 'test-curve', alg: 'ES256' },
      null,
      'text',
      7,
      [],
      {},
      { kid: 5 },
    ),
  },
)
unknownKey(
  'a private key in the set',
  'A set of public keys that has a private one is a mistake, and the key is everybody’s.',
  ...publishedAs('with a private key', other, { ...other.jwk, d: 'A'.repeat(43) }),
)
unknownKey(
  'a point that is not on the curve',
  'RFC 7518 §6.2.1.',
  ...publishedAs('with a point off the curve', other, { ...other.jwk, y: scalar(1n).toString('base64url') }),
)
const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' })
unknownKey(
  'a key of P-384 for ES256',
  'RFC 7518 §3.4: ES256 is P-256.',
  ...publishedAs(
    'with a key of P-384',
    { ...other, kid: 'test-p384' },
    { ...bareJwk(p384.publicKey), kid: 'test-p384', alg: 'ES256', use: 'sig' },
  ),
)
const koblitz = generateKeyPairSync('ec', { namedCurve: 'secp256k1' })
unknownKey(
  'a key of secp256k1 for ES256',
  'RFC 7518 §3.4: ES256 is P-256.',
  ...publishedAs(
    'with a key of secp256k1',
    { ...other, kid: 'test-secp256k1', privateKey: koblitz.privateKey },
    { ...bareJwk(koblitz.publicKey), kid: 'test-secp256k1', alg: 'ES256', use: 'sig' },
  ),
)
const short = makeKey('RS256', 'test-rsa-1024', 1024)
unknownKey(
  'an RSA key of 1,024 bits',
  'RFC 7518 §3.3: 2,048 or more.',
  ...publishedAs('with a short RSA key', short, short.jwk),
)
/** With the exponent 1 a signature is what it signs: the hash with its padding (RFC 8017 §9.2). Nobody needs a key. */
function forgedUnderExponentOne(): string {
  const input = `${part({ alg: 'RS256', typ: 'at+jwt', kid: 'test-e1' })}.${goodPayload}`
  const hash = Buffer.from(sha256(input), 'base64url')
  const info = Buffer.concat([Buffer.from('3031300d060960864801650304020105000420', 'hex'), hash])
  const padding = Buffer.alloc(256 - 3 - info.length, 0xff)
  const signature = Buffer.concat([Buffer.from([0, 1]), padding, Buffer.from([0]), info])
  return `${input}.${signature.toString('base64url')}`
}
unknownKey('an RSA key with the exponent 1', 'Then everybody can sign.', forgedUnderExponentOne(), {
  keys: withKeys('with an RSA key of exponent 1', { ...keys.rsa.jwk, kid: 'test-e1', e: 'AQ' }),
  algorithms: ['RS256'],
})
unknownKey(
  'an RSA key with an even exponent',
  'It is no RSA key.',
  ...publishedAs(
    'with an RSA key of exponent 2',
    { ...keys.rsa, kid: 'test-e2' },
    { ...keys.rsa.jwk, kid: 'test-e2', e: 'Ag' },
  ),
)
const roca = makeRocaKey('test-roca')
unknownKey(
  'an RSA key that can be factored',
  'CVE-2017-15361 ("ROCA"): keys of a widespread chip are powers of 65537 modulo small primes.',
  ...publishedAs('with an RSA key that can be factored', roca, roca.jwk),
)
refuse('keys_unavailable', 'an empty set', 'It is no set: a service without keys signs nothing.', good, {
  keys: 'empty',
})
keySets['empty'] = { keys: [] }
refuse('keys_unavailable', 'a set without a usable key', 'It is no set.', good, {
  keys: 'of a shared secret alone',
})
keySets['of a shared secret alone'] = {
  keys: [{ kty: 'oct', kid: 'test-es256-1', alg: 'HS256', k: 'dGVzdC0' }],
}
refuse('keys_unavailable', 'a list instead of a set', 'RFC 7517 §5: an object with the member keys.', good, {
  keys: 'a list',
})
keySets['a list'] = goodKeys

// ── Signature ──────────────────────────────────────────────────────────────────────────────────────────────────────
const wrong = (name: string, why: string, token: string, settings?: Settings): void =>
  refuse('signature_wrong', name, why, token, settings)
const signedAs = (signature: Buffer): string =>
  `${goodHeader}.${goodPayload}.${signature.toString('base64url')}`
const goodBytes = Buffer.from(goodSignature, 'base64url')
wrong('empty', 'RFC 7515 §5.2.', `${goodHeader}.${goodPayload}.`)
wrong(
  'of another token',
  'RFC 7515 §5.2.',
  `${goodHeader}.${goodPayload}.${withClaims({ jti: 'another' }).split('.')[2]}`,
)
wrong(
  'the payload was changed',
  'RFC 7515 §5.2.',
  `${goodHeader}.${part({ ...claims, scope: 'admin' })}.${goodSignature}`,
)
wrong(
  'the header was changed',
  'RFC 7515 §5.2.',
  `${part({ ...header, x: 1 })}.${goodPayload}.${goodSignature}`,
)
wrong(
  'the kid of another key',
  'The kid chooses the key, and no other key is tried.',
  withHeader({ kid: keys.second.kid }),
)
wrong(
  'of another issuer with the same kid',
  'A kid is a name in the set of one issuer.',
  makeToken(stranger, header, claims),
)
wrong(
  'jwk in the header, kid of a good key',
  'RFC 8725 §3.10: the key in the header is not looked at.',
  makeToken(stranger, { ...header, jwk: bareJwk(stranger.publicKey) }, claims),
)
wrong(
  'changed and expired',
  'What is not proven is not read: the answer must not be "expired".',
  `${goodHeader}.${part({ ...claims, exp: now - 1000 })}.${goodSignature}`,
)
wrong(
  'changed, and the payload is no JSON',
  'What is not proven is not parsed.',
  `${goodHeader}.${part('{')}.${goodSignature}`,
)
wrong(
  'one bit',
  'RFC 7515 §5.2.',
  signedAs(Buffer.concat([goodBytes.subarray(0, 63), Buffer.from([(goodBytes[63] ?? 0) ^ 1])])),
)
wrong('63 bytes', 'RFC 7518 §3.4: 64 bytes.', signedAs(goodBytes.subarray(0, 63)))
wrong('65 bytes', 'RFC 7518 §3.4: 64 bytes.', signedAs(Buffer.concat([goodBytes, Buffer.from([0])])))
wrong(
  '66 bytes, both numbers with a leading zero',
  'RFC 7518 §3.4: 64 bytes.',
  signedAs(
    Buffer.concat([Buffer.from([0]), goodBytes.subarray(0, 32), Buffer.from([0]), goodBytes.subarray(32)]),
  ),
)
wrong(
  'in DER',
  'RFC 7518 §3.4: two numbers, not ASN.1.',
  signedAs(derSignature(`${goodHeader}.${goodPayload}`, keys.first.privateKey)),
)
const pairs: readonly (readonly [string, bigint, bigint])[] = [
  ['r and s are 0', 0n, 0n],
  ['r is 0', 0n, 1n],
  ['s is 0', 1n, 0n],
  ['r and s are 1', 1n, 1n],
  ['r and s are the order of the group', orderP256, orderP256],
]
for (const [name, r, s] of pairs)
  wrong(
    name,
    'CVE-2022-21449: such numbers must be refused before they are used.',
    signedAs(Buffer.concat([scalar(r), scalar(s)])),
  )
wrong('all bits set', 'Both numbers are beyond the order of the group.', signedAs(Buffer.alloc(64, 0xff)))
const edwardsToken = makeToken(keys.edwards, headerOf(keys.edwards), claims)
const edwardsBytes = Buffer.from(edwardsToken.split('.')[2] ?? '', 'base64url')
const edwardsAs = (signature: Buffer): string =>
  `${edwardsToken.slice(0, edwardsToken.lastIndexOf('.'))}.${signature.toString('base64url')}`
const edwards: Settings = { algorithms: ['EdDSA'] }
wrong('EdDSA, 63 bytes', 'RFC 8032 §5.1.7: 64 bytes.', edwardsAs(edwardsBytes.subarray(0, 63)), edwards)
wrong('EdDSA, all zero', 'RFC 8032 §5.1.7.', edwardsAs(Buffer.alloc(64)), edwards)
wrong(
  'EdDSA, S and the order of the group together',
  'RFC 8032 §5.1.7: S is below the order, else one token has two signatures.',
  edwardsAs(Buffer.concat([edwardsBytes.subarray(0, 32), addOrder(edwardsBytes.subarray(32))])),
  edwards,
)
wrong('PS256, signed as RS256', 'The padding is another one.', signedOtherwise(keys.pss, 'RS256'), {
  algorithms: ['PS256'],
})
wrong('RS256, signed as PS256', 'The padding is another one.', signedOtherwise(keys.rsa, 'PS256'), {
  algorithms: ['RS256'],
})
wrong(
  'RS256, without its first byte',
  'RFC 8017 §8.2.2: as long as the modulus.',
  (() => {
    const token = makeToken(keys.rsa, headerOf(keys.rsa), claims)
    const at = token.lastIndexOf('.') + 1
    return token.slice(0, at) + Buffer.from(token.slice(at), 'base64url').subarray(1).toString('base64url')
  })(),
  { algorithms: ['RS256'] },
)

function signedOtherwise(key: TestKey, alg: 'PS256' | 'RS256'): string {
  const input = `${part(headerOf(key))}.${goodPayload}`
  return `${input}.${signBytes(input, alg, key.privateKey).toString('base64url')}`
}

/** Numbers of Ed25519 have their lowest byte first. */
function addOrder(littleEndian: Buffer): Buffer {
  const order = 2n ** 252n + 27742317777372353535851937790883648493n
  const sum = BigInt(`0x${Buffer.from(littleEndian).reverse().toString('hex')}`) + order
  return scalar(sum).reverse()
}

// ── Issuer and audience ────────────────────────────────────────────────────────────────────────────────────────────
const issuerWrong = (name: string, iss: unknown): void =>
  refuse('issuer_wrong', `iss ${name}`, 'RFC 9068 §4: the issuer, letter by letter.', withClaims({ iss }))
issuerWrong('missing', undefined)
issuerWrong('of another', 'https://other.example')
issuerWrong('with a slash at the end', `${issuer}/`)
issuerWrong('with its host in upper case', 'https://MINT.example')
issuerWrong('shorter', issuer.slice(0, -1))
issuerWrong('longer', `${issuer}.attacker.example`)
issuerWrong('with http', 'http://mint.example')
issuerWrong('with its port', `${issuer}:443`)
issuerWrong('with a space', `${issuer} `)
issuerWrong('a list', [issuer])
issuerWrong('an object', { [issuer]: true })
issuerWrong('a number', 1)
issuerWrong('null', null)
issuerWrong('empty', '')
refuse('issuer_wrong', 'no claims at all', 'Whoever says nothing is not the issuer.', withText('{}'))

accept('aud a list with ours alone', 'RFC 7519 §4.1.3.', withClaims({ aud: [audience] }))
accept(
  'aud a list with ours among others',
  'RFC 7519 §4.1.3.',
  withClaims({ aud: ['https://other.example', audience] }),
)
accept(
  'an audience that is no URL',
  'It is any text, compared letter by letter.',
  withClaims({ aud: 'urn:orders' }),
  { audience: 'urn:orders' },
)
const audienceWrong = (name: string, aud: unknown): void =>
  refuse('audience_wrong', `aud ${name}`, 'RFC 7519 §4.1.3: ours, letter by letter.', withClaims({ aud }))
audienceWrong('missing', undefined)
audienceWrong('of another', 'https://other.example')
audienceWrong('with a slash at the end', `${audience}/`)
audienceWrong('with a letter in upper case', 'https://Orders.example')
audienceWrong('shorter', audience.slice(0, -1))
audienceWrong('longer', `${audience}.attacker.example`)
audienceWrong('two in one text', `${audience} https://other.example`)
audienceWrong('empty', '')
audienceWrong('an empty list', [])
audienceWrong('a list without ours', ['https://other.example'])
audienceWrong('a list in a list', [[audience]])
audienceWrong('a list with something that is no text', [audience, 7])
audienceWrong('an object', { [audience]: true })
audienceWrong('a number', 0)
audienceWrong('null', null)
audienceWrong('true', true)

// ── Claims that must be there ──────────────────────────────────────────────────────────────────────────────────────
for (const name of ['sub', 'client_id', 'jti', 'iat', 'exp'])
  refuse('claim_missing', `${name} missing`, 'RFC 9068 §2.2 requires it.', withClaims({ [name]: undefined }))
const invalid = (name: string, why: string, changed: Claims): void =>
  refuse('claim_invalid', name, why, withClaims(changed))
for (const name of ['sub', 'client_id', 'jti']) {
  for (const value of [7, '', null, ['billing'], { id: 'billing' }, false])
    invalid(`${name} ${JSON.stringify(value)}`, 'It is a text, and not an empty one.', { [name]: value })
  invalid(`${name} with NUL`, 'A control character makes a name that looks like another one.', {
    [name]: 'billing\u0000x',
  })
  invalid(`${name} with a line break`, 'A control character writes a second line into a log.', {
    [name]: 'billing\nadmin',
  })
}
const unseen =
  'What turns a text around, ends a line or is not seen makes a name that looks like another one.'
/** The ends of each range, and what is used most. */
const unseenCharacters = {
  control: ['7f', '80', '85', '9b', '9f'],
  'soft hyphen': ['ad'],
  'line or paragraph separator': ['2028', '2029'],
  'bidirectional mark': ['61c', '200e', '200f', '202a', '202e', '2066', '2069'],
  'zero-width character': ['200b', '200c', '200d', '2060', '2064', 'feff'],
  'other character that is not seen': [
    ...[
      '34f',
      '115f',
      '1160',
      '17b4',
      '17b5',
      '180b',
      '180f',
      '2065',
      '206a',
      '206f',
      '3164',
      'fe00',
      'fe0d',
      'ffa0',
    ],
    ...[
      'fff0',
      'fff8',
      'fff9',
      'fffb',
      '1bca0',
      '1bca3',
      '1d173',
      '1d17a',
      'e0000',
      'e0001',
      'e0100',
      'e0fff',
    ],
  ],
}
for (const [kind, codes] of Object.entries(unseenCharacters)) {
  for (const code of codes) {
    const character = String.fromCodePoint(Number.parseInt(code, 16))
    // Which claim it is matters less than which character: all three have one rule.
    for (const name of kind === 'control' ? ['sub', 'client_id', 'jti'] : ['sub'])
      invalid(`${name} with U+${code.toUpperCase().padStart(4, '0')}, a ${kind}`, unseen, {
        [name]: `billing${character}x`,
      })
  }
}
for (const name of ['client_id', 'jti'])
  invalid(`${name} with U+202E, a bidirectional mark`, unseen, { [name]: 'billing\u202ex' })
accept(
  'names beyond ASCII',
  'Letters of all scripts, signs and emojis are seen. U+FE0F chooses how an emoji looks, and may stay.',
  withClaims({ sub: 'Löhne ☂\ufe0e ☂\ufe0f 支払い دفع 🧾', client_id: '\u00a0¡\u00ae' }),
)
for (const [code, why] of [
  ['80', 'a control'],
  ['9b', 'a control'],
  ['a0', 'a space that is no space'],
  ['200b', 'a zero-width character'],
  ['202e', 'a bidirectional mark'],
] as const) {
  const character = String.fromCodePoint(Number.parseInt(code, 16))
  invalid(
    `scope with U+${code.toUpperCase().padStart(4, '0')}, ${why}`,
    'RFC 6749 §3.3: ASCII without controls.',
    {
      scope: `orders:read${character}`,
    },
  )
}
accept('client_id and sub differ', 'They need not be equal.', withClaims({ sub: 'somebody' }))

// ── Times ──────────────────────────────────────────────────────────────────────────────────────────────────────────
const expired = (name: string, why: string, token: string, settings?: Settings): void =>
  refuse('token_expired', name, why, token, settings)
const early = (name: string, why: string, token: string, settings?: Settings): void =>
  refuse('token_not_yet_valid', name, why, token, settings)
const leeway = 'Clocks differ: 10 seconds are allowed, and not one more.'
accept('exp one second ahead', leeway, withClaims({ exp: now + 1 }))
accept('exp now', leeway, withClaims({ exp: now }))
accept('exp 9 seconds ago', leeway, withClaims({ exp: now - 9 }))
expired('exp 10 seconds ago', leeway, withClaims({ exp: now - 10 }))
expired('exp an hour ago', 'RFC 7519 §4.1.4.', withClaims({ iat: now - 4000, exp: now - 3600 }))
accept('exp 9.5 seconds ago', 'A time need not be whole (RFC 7519 §2).', withClaims({ exp: now - 9.5 }))
expired('exp 10.5 seconds ago', 'A time need not be whole (RFC 7519 §2).', withClaims({ exp: now - 10.5 }))
expired('exp now, without leeway', 'RFC 7519 §4.1.4: on or after.', withClaims({ exp: now }), {
  leewaySeconds: 0,
})
accept(
  'exp one second ahead, without leeway',
  'RFC 7519 §4.1.4: on or after.',
  withClaims({ exp: now + 1 }),
  { leewaySeconds: 0 },
)
accept(
  'exp 29 seconds ago, with the longest leeway',
  'No leeway is longer than 30 seconds.',
  withClaims({ exp: now - 29 }),
  { leewaySeconds: 30 },
)
expired(
  'exp 30 seconds ago, with the longest leeway',
  'No leeway is longer than 30 seconds.',
  withClaims({ exp: now - 30 }),
  { leewaySeconds: 30 },
)
accept('nbf now', 'RFC 7519 §4.1.5.', withClaims({ nbf: now }))
accept('nbf 10 seconds ahead', leeway, withClaims({ nbf: now + 10 }))
early('nbf 11 seconds ahead', leeway, withClaims({ nbf: now + 11 }))
early('nbf an hour ahead', 'RFC 7519 §4.1.5.', withClaims({ nbf: now + 3600, exp: now + 7200 }))
early('nbf one second ahead, without leeway', 'RFC 7519 §4.1.5.', withClaims({ nbf: now + 1 }), {
  leewaySeconds: 0,
})
accept('iat 10 seconds ahead', leeway, withClaims({ iat: now + 10 }))
early('iat 11 seconds ahead', leeway, withClaims({ iat: now + 11 }))
early(
  'iat a day ahead',
  'A token that was not issued yet was issued by nobody.',
  withClaims({ iat: now + 86_400, exp: now + 90_000 }),
)
accept(
  'a lifetime of a day',
  'The longest that the service gives.',
  withClaims({ iat: now - 10, exp: now - 10 + 86_400 }),
)
const sane =
  'Times are numbers from 0 to 100,000,000,000 (the year 5138), exp is after iat, and no token lives for longer than a day.'
invalid('a lifetime of a day and a second', sane, { iat: now - 10, exp: now - 9 + 86_400 })
invalid('exp in ten years', sane, { exp: now + 315_360_000 })
invalid('exp in milliseconds', sane, { exp: (now + 240) * 1000 })
invalid('exp and iat in milliseconds', sane, { iat: (now - 60) * 1000, exp: (now + 240) * 1000 })
invalid('exp before iat', sane, { iat: now, exp: now - 5 })
invalid('exp at iat', sane, { iat: now, exp: now })
for (const name of ['exp', 'iat', 'nbf']) {
  for (const text of [
    '-1',
    '1e308',
    '1e400',
    '-1e400',
    '9'.repeat(400),
    `"${now + 100}"`,
    'null',
    'true',
    `[${now + 100}]`,
    '{}',
    '""',
  ])
    refuse(
      'claim_invalid',
      `${name} ${text.length > 40 ? 'of 400 digits' : text}`,
      sane,
      withText(valueText(name, text)),
    )
}
accept(
  'exp with an exponent',
  'RFC 8259 §6: a number has several spellings.',
  withText(valueText('exp', '18000001e2')),
  {},
)

// ── Scope ──────────────────────────────────────────────────────────────────────────────────────────────────────────
accept('the scope that is needed', 'RFC 6750 §3.1.', good, { requiredScope: 'orders:read' })
accept('both scopes that are needed', 'All of them, in any order.', good, {
  requiredScope: 'orders:write orders:read',
})
const insufficient = (name: string, scope: unknown, requiredScope = 'orders:read'): void =>
  refuse('scope_insufficient', name, 'Whole words are compared, letter by letter.', withClaims({ scope }), {
    requiredScope,
  })
insufficient('no scope at all', undefined)
insufficient('another scope', 'orders:write')
insufficient('one of two scopes', 'orders:read', 'orders:read orders:write')
insufficient('a longer scope', 'orders:readwrite')
insufficient('a shorter scope', 'orders')
insufficient('the scope in upper case', 'Orders:Read')
insufficient('a star', '*')
insufficient('a star at the end', 'orders:*')
const scopeForm = 'RFC 6749 §3.3: words with one space between them.'
for (const [name, scope] of [
  ['a list', ['orders:read']],
  ['a number', 1],
  ['null', null],
  ['an object', {}],
  ['empty', ''],
  ['with two spaces', 'orders:read  orders:write'],
  ['with a space at the end', 'orders:read '],
  ['with a space first', ' orders:read'],
  ['with a tab', 'orders:read\torders:write'],
  ['with quotes', 'orders:read "x"'],
  ['beyond ASCII', 'orders:réad'],
] as const)
  invalid(`scope ${name}`, scopeForm, { scope })

// ── Bound to a certificate, or to a key ────────────────────────────────────────────────────────────────────────────
const certificate = makeCertificate('test-billing', now - 86_400, now + 86_400)
const otherCertificate = makeCertificate('test-other', now - 86_400, now + 86_400)
const expiredCertificate = makeCertificate('test-expired', now - 86_400, now - 3600)
const earlyCertificate = makeCertificate('test-early', now + 3600, now + 86_400)
const bound = (pem: string): Claims => ({ cnf: { 'x5t#S256': certificateThumbprint(pem) } })
accept('bound to the certificate of the connection', 'RFC 8705 §3.', withClaims(bound(certificate)), {
  certificate,
})
accept('not bound, with a certificate', 'A certificate harms nobody.', good, { certificate })
accept(
  'unknown ways of being bound beside a known one',
  'RFC 7800 §3.1: they are ignored.',
  withClaims({ cnf: { 'x5t#S256': certificateThumbprint(certificate), x: 1 } }),
  { certificate },
)
refuse('certificate_missing', 'bound, without a certificate', 'RFC 8705 §3.', withClaims(bound(certificate)))
refuse('certificate_wrong', 'bound to another certificate', 'RFC 8705 §3.', withClaims(bound(certificate)), {
  certificate: otherCertificate,
})
refuse(
  'certificate_wrong',
  'bound to the hash of the PEM text',
  'RFC 8705 §3.1: the hash is over the bytes of the certificate (DER).',
  withClaims({ cnf: { 'x5t#S256': sha256(certificate) } }),
  { certificate },
)
refuse(
  'certificate_expired',
  'bound to a certificate that has expired',
  'An open connection outlives its certificate, so the times are checked at every request.',
  withClaims(bound(expiredCertificate)),
  { certificate: expiredCertificate },
)
refuse(
  'certificate_expired',
  'bound to a certificate that is not valid yet',
  'An open connection outlives its certificate, so the times are checked at every request.',
  withClaims(bound(earlyCertificate)),
  { certificate: earlyCertificate },
)
const jkt = thumbprint(other.publicKey)
refuse(
  'proof_missing',
  'bound to a key, without a proof',
  'RFC 9449 §7.1: a bound token is no bearer token. With proofs: dpop.json.',
  withClaims({ cnf: { jkt } }),
)
refuse(
  'proof_missing',
  'bound to a key and to a certificate, with the certificate alone',
  'Both must be shown.',
  withClaims({ cnf: { jkt, 'x5t#S256': certificateThumbprint(certificate) } }),
  { certificate },
)
refuse(
  'certificate_missing',
  'bound to a key and to a certificate, with neither',
  'The certificate is looked at first.',
  withClaims({ cnf: { jkt, 'x5t#S256': certificateThumbprint(certificate) } }),
)
const binding =
  'A token that is bound in a way that cannot be checked is not accepted as if it were not bound.'
for (const [name, cnf] of [
  ['null', null],
  ['a text', jkt],
  ['a list', [{ jkt }]],
  ['empty', {}],
  ['of an unknown kind', { kid: 'x' }],
  ['with jkt a number', { jkt: 1 }],
  ['with jkt too short', { jkt: jkt.slice(1) }],
  ['with jkt empty', { jkt: '' }],
  [
    'with x5t#S256 in hexadecimal',
    { 'x5t#S256': Buffer.from(certificateThumbprint(certificate), 'base64url').toString('hex') },
  ],
  ['with x5t#S256 null', { 'x5t#S256': null }],
  ['with x5t alone', { x5t: 'A'.repeat(27) }],
] as const)
  refuse('claim_invalid', `cnf ${name}`, binding, withClaims({ cnf }), { certificate })
