/**
 * Signed requests (RFC 9421) with a digest of their body (RFC 9530).
 *
 * Long because each rule has its cases here, one below the other.
 */
import { createHash, createHmac } from 'node:crypto'
import { makeKey, now, signBytes, type TestKey, thumbprint } from './tools.ts'

export interface SignedRequest {
  readonly method: string
  readonly url: string
  readonly headers: readonly (readonly [name: string, value: string])[]
  /** UTF-8. */
  readonly body: string
}

export interface RequestCase {
  readonly name: string
  readonly why: string
  readonly request: SignedRequest
  /** Requests that the same verifier was shown before this one, all accepted. */
  readonly before: readonly { readonly request: SignedRequest; readonly now: number }[]
  /** The thumbprint of the key that the caller's token is bound to; null if any key of the set will do. */
  readonly boundTo: string | null
  readonly now: number
  /** What was signed (RFC 9421 §2.5), for whoever looks for a difference; null where there is none. */
  readonly signatureBase: string | null
  readonly expected:
    | { readonly result: 'accepted'; readonly keyid: string }
    | { readonly result: 'refused'; readonly code: string }
}

const named = (key: TestKey): TestKey & { readonly keyid: string } => ({
  ...key,
  keyid: thumbprint(key.publicKey),
})
const client = named(makeKey('ES256', 'test'))
const edwards = named(makeKey('EdDSA', 'test'))
const edwardsByItsOtherName = named(makeKey('EdDSA', 'test'))
const stranger = named(makeKey('ES256', 'test'))
/** A shared secret that only these vectors have. */
const secret = { keyid: 'test-shared-secret', bytes: Buffer.from('test vectors only: never a live secret') }

/** What is the same in all cases. The set has keys by `kid`, which is the `keyid` of a signature. */
export const requestSettings = {
  tag: 'mintmark',
  keys: {
    keys: [
      ...[client, edwards].map(({ keyid, jwk, alg }) => ({ ...jwk, kid: keyid, alg })),
      { ...edwardsByItsOtherName.jwk, kid: edwardsByItsOtherName.keyid, alg: 'Ed25519' },
      { kty: 'oct', kid: secret.keyid, alg: 'HS256', k: secret.bytes.toString('base64url') },
    ],
  },
  leewaySeconds: 10,
  maxAgeSeconds: 60,
}
export const requestCases: RequestCase[] = []

const algorithmNames: Partial<Record<TestKey['alg'], string>> = {
  ES256: 'ecdsa-p256-sha256',
  EdDSA: 'ed25519',
}

const method = 'POST'
const url = 'https://orders.example/orders?page=1'
const body = '{"amount":7}'
const token = 'test-token'
const digestOf = (text: string, algorithm = 'sha-256'): string =>
  `${algorithm}=:${createHash(algorithm.replace('-', '')).update(text).digest('base64')}:`

type Header = readonly [name: string, value: string]
const jsonHeaders: readonly Header[] = [
  ['Host', 'orders.example'],
  ['Authorization', `DPoP ${token}`],
  ['Content-Type', 'application/json'],
  ['Content-Digest', digestOf(body)],
]
const covered = ['@method', '@target-uri', 'authorization', 'content-digest']

interface Signing {
  readonly request?: Partial<SignedRequest>
  readonly components?: readonly string[]
  readonly parameters?: Record<string, string | number | undefined>
  readonly key?: TestKey & { readonly keyid: string }
  readonly hmac?: boolean
  readonly label?: string
  /** Changes the header fields after they were signed. */
  readonly afterwards?: (headers: readonly Header[]) => readonly Header[]
}

/** The value of a component, from what is sent (RFC 9421 §2.1, §2.2). */
function componentValue(component: string, request: SignedRequest): string {
  const { host, pathname, search, protocol } = new URL(request.url)
  if (component === '@method') return request.method
  if (component === '@target-uri') return request.url
  if (component === '@authority') return host
  if (component === '@scheme') return protocol.slice(0, -1)
  if (component === '@path') return pathname
  if (component === '@query') return search === '' ? '?' : search
  if (component === '@request-target') return pathname + search
  return request.headers
    .filter(([name]) => name.toLowerCase() === component)
    .map(([, value]) => value.trim())
    .join(', ')
}

function signRequest(signing: Signing = {}): { request: SignedRequest; signatureBase: string } {
  const { components = covered, key = client, hmac = false, label = 'sig1', afterwards } = signing
  const request: SignedRequest = { method, url, headers: jsonHeaders, body, ...signing.request }
  const parameters = {
    created: now,
    nonce: 'test-nonce-1',
    keyid: hmac ? secret.keyid : key.keyid,
    tag: requestSettings.tag,
    ...signing.parameters,
  }
  const written = Object.entries(parameters)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `;${name}=${typeof value === 'number' ? value : JSON.stringify(value)}`)
  const quoted = components.map((name) => (name.includes('"') ? name : `"${name}"`))
  const input = `(${quoted.join(' ')})${written.join('')}`
  const lines = components.map((name, index) => `${quoted[index]}: ${componentValue(name, request)}`)
  const signatureBase = [...lines, `"@signature-params": ${input}`].join('\n')
  const signature = hmac
    ? createHmac('sha256', secret.bytes).update(signatureBase).digest()
    : signBytes(signatureBase, key.alg, key.privateKey)
  const headers: readonly Header[] = [
    ...request.headers,
    ['Signature-Input', `${label}=${input}`],
    ['Signature', `${label}=:${signature.toString('base64')}:`],
  ]
  return { request: { ...request, headers: afterwards?.(headers) ?? headers }, signatureBase }
}

type Settings = Partial<Pick<RequestCase, 'before' | 'boundTo' | 'now'>>
function add(
  name: string,
  why: string,
  signing: Signing,
  expected: RequestCase['expected'],
  settings: Settings,
): void {
  const { request, signatureBase } = signRequest(signing)
  requestCases.push({
    name,
    why,
    request,
    before: [],
    boundTo: null,
    now,
    ...settings,
    signatureBase,
    expected,
  })
}
function accept(name: string, why: string, signing: Signing = {}, settings: Settings = {}): void {
  const keyid = signing.hmac ? secret.keyid : (signing.key ?? client).keyid
  add(name, why, signing, { result: 'accepted', keyid }, settings)
}
const refuse = (code: string, name: string, why: string, signing: Signing, settings: Settings = {}): void =>
  add(name, why, signing, { result: 'refused', code }, settings)

const without = (dropped: string) => (headers: readonly Header[]) =>
  headers.filter(([name]) => name.toLowerCase() !== dropped)
const withValue = (changed: string, value: string) => (headers: readonly Header[]) =>
  headers.map(([name, old]): Header => [name, name.toLowerCase() === changed ? value : old])

// ── Good requests ──────────────────────────────────────────────────────────────────────────────────────────────────
accept('ecdsa-p256-sha256', 'The usual signature.')
accept('ed25519', 'RFC 9421 §3.3.6.', { key: edwards })
accept('ed25519, by a key for Ed25519', 'RFC 9864: EdDSA has two names.', { key: edwardsByItsOtherName })
accept('hmac-sha256', 'RFC 9421 §3.3.3: a shared secret, for private networks.', { hmac: true })
for (const [key, hmac] of [
  [client, false],
  [edwards, false],
  [client, true],
] as const)
  accept(
    `alg ${hmac ? 'hmac-sha256' : algorithmNames[key.alg]} in the parameters`,
    'RFC 9421 §2.3: it may stand there, and must be that of the key.',
    { key, hmac, parameters: { alg: hmac ? 'hmac-sha256' : algorithmNames[key.alg] } },
  )
accept(
  'by the key that the token is bound to',
  'The keyid is the thumbprint of the key (RFC 7638).',
  {},
  { boundTo: client.keyid },
)
const get = {
  method: 'GET',
  headers: [
    ['Host', 'orders.example'],
    ['Authorization', `DPoP ${token}`],
  ] as readonly Header[],
  body: '',
}
accept('without a body', 'What is not there need not be covered.', {
  request: get,
  components: ['@method', '@target-uri', 'authorization'],
})
accept('without a token', 'What is not there need not be covered.', {
  request: { ...get, headers: [['Host', 'orders.example']] },
  components: ['@method', '@target-uri'],
})
accept('more components', 'RFC 9421 §2.2.', {
  components: [...covered, '@authority', '@scheme', '@path', '@query', '@request-target', 'content-type'],
})
accept('components in another order', 'The order is that of Signature-Input.', {
  components: [...covered].reverse(),
})
accept('another label', 'A label is no name (RFC 9421 §7.2.5): the tag says which signature is meant.', {
  label: 'x',
})
accept('expires in a minute', 'RFC 9421 §2.3.', { parameters: { expires: now + 60 } })
accept('a header field that came twice', 'RFC 9421 §2.1: its values are joined with a comma and a space.', {
  components: [...covered, 'x-test'],
  request: { headers: [...jsonHeaders, ['X-Test', ' a '], ['x-test', 'b']] },
})
accept('a digest by sha-512', 'RFC 9530 §5.', {
  request: { headers: withValue('content-digest', digestOf(body, 'sha-512'))(jsonHeaders) },
})
accept('two digests', 'RFC 9530 §2: each that is known must be right.', {
  request: {
    headers: withValue('content-digest', `${digestOf(body)}, ${digestOf(body, 'sha-512')}`)(jsonHeaders),
  },
})
accept('a digest of an unknown kind beside a known one', 'RFC 9530 §2.', {
  request: { headers: withValue('content-digest', `x=:AA==:, ${digestOf(body)}`)(jsonHeaders) },
})
accept(
  'the signature of somebody else beside it',
  'A proxy may sign as well. The tag says which one is meant.',
  {
    afterwards: (headers) =>
      headers.map(
        ([name, value]): Header =>
          name === 'Signature-Input'
            ? [name, `proxy=("@method");created=${now};keyid="p", ${value}`]
            : name === 'Signature'
              ? [name, `proxy=:AAAA:, ${value}`]
              : [name, value],
      ),
  },
)

// ── Form ───────────────────────────────────────────────────────────────────────────────────────────────────────────
const missing = (name: string, signing: Signing): void =>
  refuse('request_signature_missing', name, 'A request that is not signed.', signing)
missing('no signature', {
  afterwards: (headers) => without('signature')(without('signature-input')(headers)),
})
missing('Signature-Input alone', { afterwards: without('signature') })
missing('Signature alone', { afterwards: without('signature-input') })
missing('another tag', { parameters: { tag: 'other' } })
missing('no tag', { parameters: { tag: undefined } })
const malformed = (name: string, afterwards: Signing['afterwards']): void =>
  refuse('request_signature_malformed', name, 'RFC 9421 §4, RFC 8941.', { ...(afterwards && { afterwards }) })
malformed('Signature-Input is no dictionary', withValue('signature-input', '("@method'))
malformed('Signature is no dictionary', withValue('signature', ':::'))
malformed('Signature is a text', withValue('signature', 'sig1="AAAA"'))
malformed('Signature is no base64', withValue('signature', 'sig1=:A-_*:'))
malformed('Signature has no member with the label', (headers) =>
  withValue('signature', 'sig2=:AAAA:')(headers),
)
malformed('two signatures with the tag', (headers) =>
  headers.map(
    ([name, value]): Header =>
      name === 'Signature-Input'
        ? [name, `${value}, ${value.replace('sig1', 'sig2')}`]
        : name === 'Signature'
          ? [name, `${value}, ${value.replace('sig1', 'sig2')}`]
          : [name, value],
  ),
)
malformed('a component twice', (headers) =>
  headers.map(
    ([name, value]): Header => [
      name,
      name === 'Signature-Input' ? value.replace('("@method"', '("@method" "@method"') : value,
    ],
  ),
)
malformed('created is a text', (headers) =>
  headers.map(
    ([name, value]): Header => [
      name,
      name === 'Signature-Input' ? value.replace(/created=(\d+)/, 'created="$1"') : value,
    ],
  ),
)
for (const name of ['created', 'nonce', 'keyid'])
  refuse('request_parameter_missing', `${name} missing`, 'All three are needed: when, once, and by whom.', {
    parameters: { [name]: undefined },
  })
refuse('request_parameter_missing', 'nonce empty', 'A nonce has 1 to 256 characters.', {
  parameters: { nonce: '' },
})
refuse('request_parameter_missing', 'nonce of 257 characters', 'A nonce has 1 to 256 characters.', {
  parameters: { nonce: 'n'.repeat(257) },
})

// ── What must be covered ───────────────────────────────────────────────────────────────────────────────────────────
for (const name of covered)
  refuse('request_component_missing', `${name} not covered`, 'What is not covered can be changed.', {
    components: covered.filter((other) => other !== name),
  })
refuse('request_component_missing', 'a body without a digest', 'A body that is not covered can be changed.', {
  request: { headers: without('content-digest')(jsonHeaders) },
  components: ['@method', '@target-uri', 'authorization'],
})
refuse('request_component_missing', 'a covered header field that is not there', 'RFC 9421 §2.5.', {
  components: [...covered, 'x-absent'],
  parameters: {},
})
for (const name of [
  '@status',
  '@unknown',
  '"@query-param";name="page"',
  '"content-type";sf',
  '"content-type";bs',
])
  refuse('request_component_unsupported', `component ${name}`, 'What is not understood is not proven.', {
    components: [...covered, name],
  })

// ── Key and signature ──────────────────────────────────────────────────────────────────────────────────────────────
refuse('request_key_unknown', 'a key that is not in the set', 'Keys come from the verifier’s set alone.', {
  key: stranger,
})
refuse('request_key_unknown', 'the keyid __proto__', 'It is a name like any other.', {
  parameters: { keyid: '__proto__' },
})
refuse(
  'request_key_wrong',
  'a good signature by another key than that of the token',
  'Else one client could use another one’s token.',
  { key: edwards },
  { boundTo: client.keyid },
)
refuse(
  'request_key_wrong',
  'a shared secret, with a token that is bound to a key',
  'Else whoever knows the secret could use the token.',
  { hmac: true },
  { boundTo: client.keyid },
)
for (const alg of ['hmac-sha256', 'ed25519', 'rsa-v1_5-sha256', 'none', 'ES256', ''])
  refuse(
    'request_algorithm_not_allowed',
    `alg "${alg}" with a key for ecdsa-p256-sha256`,
    'RFC 9421 §3.2: the algorithm is that of the key.',
    { parameters: { alg } },
  )
refuse(
  'request_algorithm_not_allowed',
  'alg ecdsa-p256-sha256 with a shared secret',
  'RFC 9421 §3.2: the algorithm is that of the key.',
  { hmac: true, parameters: { alg: 'ecdsa-p256-sha256' } },
)
const wrong = (name: string, why: string, signing: Signing): void =>
  refuse('request_signature_wrong', name, why, signing)
wrong('signed by another key', 'RFC 9421 §3.2.', { key: { ...stranger, keyid: client.keyid } })
wrong('signed under the public key as a shared secret', 'A public key is no secret.', {
  afterwards: (headers) =>
    withValue(
      'signature',
      `sig1=:${createHmac('sha256', JSON.stringify(client.jwk)).update('x').digest('base64')}:`,
    )(headers),
})
wrong('empty', 'RFC 9421 §3.2.', { afterwards: withValue('signature', 'sig1=::') })
wrong('r and s are 0', 'CVE-2022-21449.', {
  afterwards: withValue('signature', `sig1=:${Buffer.alloc(64).toString('base64')}:`),
})
wrong('hmac cut short', 'All 32 bytes are compared.', {
  hmac: true,
  afterwards: (headers) =>
    headers.map(
      ([name, value]): Header => [
        name,
        name === 'Signature'
          ? `sig1=:${Buffer.from(value.slice(6, -1), 'base64').subarray(0, 16).toString('base64')}:`
          : value,
      ],
    ),
})
wrong('another token', 'Authorization is covered.', {
  afterwards: withValue('authorization', 'DPoP another'),
})
wrong('another digest with another body', 'Content-Digest is covered.', {
  afterwards: withValue('content-digest', digestOf('{"amount":7000}')),
})
wrong('created changed', 'The parameters are covered.', {
  afterwards: (headers) =>
    headers.map(
      ([name, value]): Header => [
        name,
        name === 'Signature-Input' ? value.replace(`created=${now}`, `created=${now + 5}`) : value,
      ],
    ),
})
wrong('nonce changed', 'The parameters are covered.', {
  afterwards: (headers) =>
    headers.map(
      ([name, value]): Header => [
        name,
        name === 'Signature-Input' ? value.replace('test-nonce-1', 'test-nonce-2') : value,
      ],
    ),
})

/** A request that was changed after it was signed, beside its header fields. */
function changed(code: string, name: string, why: string, change: Partial<SignedRequest>): void {
  const { request, signatureBase } = signRequest()
  requestCases.push({
    name,
    why,
    request: { ...request, ...change },
    before: [],
    boundTo: null,
    now,
    signatureBase,
    expected: { result: 'refused', code },
  })
}
changed('request_signature_wrong', 'another method', '@method is covered.', { method: 'PUT' })
changed('request_signature_wrong', 'another path', '@target-uri is covered.', {
  url: 'https://orders.example/orders/1?page=1',
})
changed('request_signature_wrong', 'another query', '@target-uri is covered.', {
  url: 'https://orders.example/orders?page=2',
})
changed('request_signature_wrong', 'another host', '@target-uri is covered.', {
  url: 'https://attacker.example/orders?page=1',
})
const digest = 'RFC 9530 §2: the digest of the body that came.'
changed('request_digest_wrong', 'the body was changed', digest, { body: '{"amount":7000}' })
changed('request_digest_wrong', 'the body was cut off', digest, { body: '' })
const digestWrong = (name: string, value: string): void =>
  refuse('request_digest_wrong', name, digest, {
    request: { headers: withValue('content-digest', value)(jsonHeaders) },
  })
digestWrong('one of two digests is wrong', `${digestOf(body)}, ${digestOf('x', 'sha-512')}`)
digestWrong('a digest by md5 alone', `md5=:${createHash('md5').update(body).digest('base64')}:`)
digestWrong('a digest that is no dictionary', 'sha-256')
digestWrong('a digest in hexadecimal', `sha-256="${createHash('sha256').update(body).digest('hex')}"`)

// ── Time and replay ────────────────────────────────────────────────────────────────────────────────────────────────
const window = 'At most 60 seconds old, and 10 seconds ahead for clocks that differ.'
for (const seconds of [-60, 10])
  accept(`created ${seconds}`, window, { parameters: { created: now + seconds } })
for (const seconds of [-61, 11, -86_400, 86_400])
  refuse('request_time_wrong', `created ${seconds} seconds from now`, window, {
    parameters: { created: now + seconds },
  })
refuse(
  'request_time_wrong',
  'expires 10 seconds ago',
  'RFC 9421 §2.3, with 10 seconds for clocks that differ.',
  { parameters: { created: now - 30, expires: now - 10 } },
)
accept('expires 9 seconds ago', 'RFC 9421 §2.3, with 10 seconds for clocks that differ.', {
  parameters: { created: now - 30, expires: now - 9 },
})
const once = 'A request counts once: the nonce is a name among those of one key.'
const first = signRequest().request
refuse('request_replayed', 'the same request again', once, {}, { before: [{ request: first, now }] })
refuse(
  'request_replayed',
  'the same request at the end of its time',
  once,
  {},
  { before: [{ request: first, now }], now: now + 60 },
)
refuse(
  'request_replayed',
  'another request with the same nonce',
  once,
  { parameters: { created: now + 1 } },
  { before: [{ request: first, now }] },
)
accept(
  'another nonce',
  once,
  { parameters: { nonce: 'test-nonce-2' } },
  { before: [{ request: first, now }] },
)
accept('the nonce of another client', once, { key: edwards }, { before: [{ request: first, now }] })
