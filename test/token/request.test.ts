/**
 * A request is either read exactly as it was meant or refused with the right reason, and a refusal still
 * knows who claimed to be asking. No bytes, however strange, do anything else.
 *
 * Long because it is a table of all that a request can say.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ClaimedText } from '../../src/lib/claimed-text.ts'
import { limits } from '../../src/limits.ts'
import { OAuthError, type RefusalReason } from '../../src/refusals.ts'
import { isClientId } from '../../src/registry/grammar.ts'
import { hasBodyParameter } from '../../src/token/form.ts'
import {
  authenticatesInBody,
  type Claimed,
  parseTokenRequest,
  type TokenRequest,
} from '../../src/token/request.ts'

interface Outcome {
  readonly request?: TokenRequest
  readonly reason?: RefusalReason
  readonly claimed: Claimed
}

const claimedText = new ClaimedText(Buffer.alloc(32))
/** Like some ids of other systems: it looks like a credential. */
const randomId = 'k3v9x2abZq9xW7vT0J7QdL4f'
const isRegistered = (clientId: string) => clientId === randomId

function parse(body: string | Uint8Array, rawHeaders: readonly string[] = []): Outcome {
  const claimed: Claimed = {}
  // A string stands for its bytes, one for each character.
  const bytes = typeof body === 'string' ? Buffer.from(body, 'latin1') : Buffer.from(body)
  try {
    return {
      request: parseTokenRequest({ rawHeaders, body: bytes, claimedText, isRegistered }, claimed),
      claimed,
    }
  } catch (error) {
    if (error instanceof OAuthError) return { reason: error.reason, claimed }
    throw error
  }
}

const base64 = (text: string): string => Buffer.from(text, 'utf8').toString('base64')
const authorization = (value: string): string[] => [
  'Host',
  'localhost',
  'Authorization',
  value,
  'Accept',
  '*/*',
]
/** Basic of what stands between the quotation marks, without any form encoding. */
const basic = (pair: string): string[] => authorization(`Basic ${base64(pair)}`)
const basicBytes = (...bytes: number[]): string[] =>
  authorization(`Basic ${Buffer.from(bytes).toString('base64')}`)

const grant = 'grant_type=client_credentials'
const postId = `${grant}&client_id=a`
const post = `${postId}&client_secret=s`
const basicA = basic('a:s')

/** An ampersand list of so many harmless parameters. */
const fillers = (count: number): string => Array.from({ length: count }, (_, index) => `x${index}=`).join('&')

type Refused = readonly [
  title: string,
  reason: RefusalReason,
  body: string | Uint8Array,
  rawHeaders?: readonly string[],
]

function expectRefusals(rows: readonly Refused[]): void {
  for (const [title, reason, body, rawHeaders] of rows) {
    test(`${title} → ${reason}`, () => {
      expect(parse(body, rawHeaders).reason).toBe(reason)
    })
  }
}

describe('the form (RFC 6749 Appendix B)', () => {
  expectRefusals([
    ['a raw space', 'space_not_encoded', `${post}&scope=a b`],
    ['a raw space and a raw NUL', 'body_malformed', `${post}&scope=a b\0`],
    ['a raw NUL', 'body_malformed', `${post}&scope=a\0`],
    ['a raw NUL in an unknown parameter', 'body_malformed', `${post}&foo=\0`],
    ['a trailing line feed', 'body_malformed', `${post}\n`],
    ['a trailing CR LF', 'body_malformed', `${post}\r\n`],
    ['a tab', 'body_malformed', `${post}&scope=a\tb`],
    ['DEL', 'body_malformed', `${post}&scope=a\x7f`],
    ['a UTF-8 byte order mark first', 'body_malformed', `\xef\xbb\xbf${post}`],
    ['raw UTF-8', 'body_malformed', Buffer.from(`${post}&scope=é`, 'utf8')],
    ['UTF-16 little endian', 'body_malformed', Buffer.from(post, 'utf16le')],
    ['UTF-16 with its mark', 'body_malformed', Buffer.from(`\ufeff${post}`, 'utf16le')],
    ['EBCDIC (IBM037)', 'body_malformed', Buffer.from([0x87, 0x99, 0x81, 0x95, 0xa3, 0x6d])],
    ['gzip', 'body_malformed', Buffer.from([0x1f, 0x8b, 0x08, 0x00, 0x00])],
    ['an escape cut off', 'body_malformed', `${post}&scope=a%`],
    ['an escape of one digit', 'body_malformed', `${post}&scope=a%4`],
    ['an escape of no hex digits', 'body_malformed', `${post}&scope=%zz`],
    ['an escape of a plus sign', 'body_malformed', `${post}&scope=%+1`],
    ['an escape cut off by the next parameter', 'body_malformed', `${grant}&scope=a%4&client_id=a`],
    ['IIS escapes (%u0061)', 'body_malformed', `${post}&scope=%u0061`],
    ['an overlong NUL', 'body_malformed', `${post}&scope=%c0%80`],
    ['an overlong slash', 'body_malformed', `${post}&scope=%e0%80%af`],
    ['an encoded surrogate', 'body_malformed', `${post}&scope=%ed%a0%80`],
    ['a pair of encoded surrogates (CESU-8)', 'body_malformed', `${post}&scope=%ed%a0%bd%ed%b8%80`],
    ['a code point above U+10FFFF', 'body_malformed', `${post}&scope=%f4%90%80%80`],
    ['a stray continuation byte', 'body_malformed', `${post}&scope=%80`],
    ['a truncated sequence', 'body_malformed', `${post}&scope=%e2%82`],
    ['Latin-1 escapes', 'body_malformed', `${post}&client_id=%e9`],
    ['a malformed escape in an unknown value', 'body_malformed', `${post}&foo=%`],
    ['a malformed escape in an unknown name', 'body_malformed', `${post}&%zz=1`],
    ['an encoded byte order mark first (an unknown name)', 'grant_type_missing', `%ef%bb%bf${post}`],
    ['semicolons as separators', 'grant_type_unsupported', post.replaceAll('&', ';')],
    ['JSON', 'grant_type_missing', '{"grant_type":"client_credentials","client_id":"a"}'],
    ['JSON with operators', 'grant_type_missing', '{"client_id":{"not":""},"client_secret":{"contains":""}}'],
    ['a body encoded as a whole', 'grant_type_missing', encodeURIComponent(post)],
    ['an empty body', 'grant_type_missing', ''],
    ['nothing but separators', 'grant_type_missing', '&&&'],
  ])

  test.each([
    ['upper-case escapes', `${post}&scope=a%3Ab`, ['a:b']],
    ['lower-case escapes', `${post}&scope=a%3ab`, ['a:b']],
    [
      'escapes nobody needed',
      `%67rant_type=%63lient_credentials&client%5Fid=a&client_secret=s&scope=%61`,
      ['a'],
    ],
    ['plus as a space', `${post}&scope=a+b`, ['a', 'b']],
    ['%20 as a space', `${post}&scope=a%20b`, ['a', 'b']],
    ['%2B as a plus sign', `${post}&scope=a%2Bb`, ['a+b']],
    ['one decoding, not two', `${post}&scope=a%252Bb`, ['a%2Bb']],
    ['an equals sign within a value', `${post}&scope=a=b==`, ['a=b==']],
    ['a semicolon within a value', `${post}&scope=a;scope=b`, ['a;scope=b']],
    ['empty segments', `&&${post}&&scope=a&`, ['a']],
    ['a segment without a name', `=x&${post}&=&scope=a`, ['a']],
    ['a name without an equals sign', `flag&${post}&scope=a&scop`, ['a']],
  ])('%s', (_title, body, scopes) => {
    const { request } = parse(body)
    expect(request?.credentials).toEqual({ method: 'client_secret_post', clientId: 'a', secret: 's' })
    expect(request?.scopes).toEqual(scopes)
  })
})

describe('bounds of the form', () => {
  const most = limits.parameterCharactersMax
  const spare = limits.formParametersMax - 3
  expectRefusals([
    ['one parameter too many', 'parameters_too_many', `${post}&${fillers(spare + 1)}`],
    ['empty segments count', 'parameters_too_many', `${post}${'&'.repeat(spare + 1)}`],
    ['100,000 parameters', 'parameters_too_many', fillers(100_000)],
    [
      'too many, before any is decoded',
      'parameters_too_many',
      `${'%&'.repeat(limits.formParametersMax)}${post}`,
    ],
    ['too many and not ASCII', 'body_malformed', `${'\xff&'.repeat(limits.formParametersMax)}${post}`],
    ['a scope too long', 'parameter_too_long', `${post}&scope=${'a'.repeat(most + 1)}`],
    ['a secret too long', 'parameter_too_long', `${postId}&client_secret=${'a'.repeat(most + 1)}`],
    ['too long after decoding', 'parameter_too_long', `${post}&scope=${'%61'.repeat(most + 1)}`],
    ['an unknown value too long', 'parameter_too_long', `${post}&foo=${'a'.repeat(most + 1)}`],
    ['an unknown name too long', 'parameter_too_long', `${post}&${'a'.repeat(most + 1)}`],
    ['the scope openid 9,000 times', 'parameter_too_long', `${post}&scope=${'openid+'.repeat(9_000)}`],
  ])

  test('as many parameters as allowed, and as long', () => {
    expect(parse(`${post}&${fillers(spare)}`).request).toBeDefined()
    expect(parse(`${post}${'&'.repeat(spare)}`).request).toBeDefined()
    expect(parse(`${post}&foo=${'a'.repeat(most)}`).request).toBeDefined()
    expect(parse(`${post}&${'a'.repeat(most)}=`).request).toBeDefined()
    expect(parse(`${post}&foo=${'%61'.repeat(most)}`).request).toBeDefined()
  })
})

describe('which parameters count (RFC 6749 §3.2, erratum 5708)', () => {
  expectRefusals([
    ['client_id twice', 'parameter_repeated', `${grant}&client_id=a&client_id=b&client_secret=s`],
    ['client_id twice, once escaped', 'parameter_repeated', `${post}&client%5fid=b`],
    ['client_id twice, one without a value', 'parameter_repeated', `${post}&client_id=`],
    ['client_id twice, one without an equals sign', 'parameter_repeated', `client_id&${post}`],
    ['client_secret twice', 'parameter_repeated', `${post}&client_secret=s`],
    ['grant_type twice', 'parameter_repeated', `${post}&${grant}`],
    ['scope twice', 'parameter_repeated', `${post}&scope=a&scope=b`],
    ['client_assertion twice', 'parameter_repeated', `${post}&client_assertion=a&client_assertion=a`],
    [
      'client_assertion_type twice',
      'parameter_repeated',
      `${post}&client_assertion_type&client_assertion_type`,
    ],
    ['resource twice (RFC 8707 §2)', 'target_repeated', `${post}&resource=https://a&resource=https://b`],
    ['the same resource twice', 'target_repeated', `${post}&resource=https://a&resource=https://a`],
    ['audience twice', 'target_repeated', `${post}&audience=https://a&audience=https://b`],
    ['a grant_type without a value', 'grant_type_missing', 'grant_type=&client_id=a&client_secret=s'],
    ['a client_secret without a value', 'authentication_missing', `${postId}&client_secret=`],
    ['a client_id without a value', 'authentication_missing', `${grant}&client_id=&client_secret=s`],
    ['client_id[]', 'authentication_missing', `${grant}&client_id[]=a&client_secret=s`],
    ['client_id[x]', 'authentication_missing', `${grant}&client_id[x]=a&client_secret=s`],
    ['client_id.x', 'authentication_missing', `${grant}&client_id.x=a&client_secret=s`],
    ['names are case-sensitive', 'authentication_missing', `${grant}&Client_Id=a&client_secret=s`],
    ['a name with a space after it', 'grant_type_missing', `grant_type+=client_credentials&client_id=a`],
    ['NUL after a name', 'grant_type_missing', `grant_type%00=client_credentials&client_id=a`],
  ])

  test.each([
    ['an unknown parameter', 'foo=1'],
    ['an unknown parameter twice', 'foo=1&foo=2'],
    ['an unknown parameter with control characters', 'foo=%00%0d%0a'],
    ['names of Object.prototype', '__proto__=x&constructor=y&toString=z&hasOwnProperty=1&__proto__[a]=b'],
    ['__proto__ twice', '__proto__=x&__proto__=y'],
    ['what a client might wish in its token', 'sub=b&iss=x&exp=9999999999&ttl=1&claims=%7B%7D&aud=x&jti=1'],
    ['scope and targets without a value', 'scope=&resource=&audience='],
    ['an assertion without a value', 'client_assertion=&client_assertion_type='],
  ])('%s is ignored', (_title, extra) => {
    const { request } = parse(`${extra}&${post}`)
    expect(request).toEqual({
      credentials: { method: 'client_secret_post', clientId: 'a', secret: 's' },
      target: undefined,
      scopes: undefined,
    })
    expect(Object.keys(Object.prototype)).toEqual([])
    expect('a' in {}).toBe(false)
  })
})

describe('control characters (RFC 6749 Appendix A)', () => {
  const known = ['client_id', 'client_secret', 'scope', 'resource', 'audience', 'client_assertion']
  const controls = ['%00', '%01', '%09', '%0a', '%0d', '%1B', '%1f', '%7f']
  expectRefusals([
    ...known.flatMap((name) =>
      controls.map(
        (control): Refused => [
          `${control} in ${name}`,
          'character_forbidden',
          `${grant}&${name}=a${control}b`,
        ],
      ),
    ),
    [
      '%00 in grant_type',
      'character_forbidden',
      'grant_type=client_credentials%00&client_id=a&client_secret=s',
    ],
    ['a scope with an encoded line feed (§3.3)', 'character_forbidden', `${post}&scope=read%0aadmin`],
    ['NUL in a Basic id', 'character_forbidden', grant, basic('a\0:s')],
    ['NUL in a Basic secret', 'character_forbidden', grant, basic('a:s\0')],
    ['CR LF in a Basic secret', 'character_forbidden', grant, basic('a:s\r\n')],
    ['DEL in a Basic secret', 'character_forbidden', grant, basic('a:s\x7f')],
    ['%00 in a Basic id', 'character_forbidden', grant, basic('a%00:s')],
    ['%0A in a Basic secret', 'character_forbidden', grant, basic('a:s%0A')],
  ])
})

describe('Basic (RFC 6749 §2.3.1, RFC 7617)', () => {
  test.each([
    ['an ordinary pair', basic('a:s'), 'a', 's'],
    ['an empty secret', basic('a:'), 'a', ''],
    ['the first colon separates', basic('a:b:c'), 'a', 'b:c'],
    ['a colon of the id, encoded', basic('a%3Ab:c'), 'a:b', 'c'],
    ['a colon of the secret, encoded', basic('a:b%3Ac'), 'a', 'b:c'],
    ['plus as a space', basic('a+b:c+d'), 'a b', 'c d'],
    ['%2B as a plus sign', basic('a%2Bb:c%2Bd'), 'a+b', 'c+d'],
    ['%25 as a per cent sign', basic('a:100%25'), 'a', '100%'],
    ['one decoding, not two', basic('a:%2541'), 'a', '%41'],
    ['UTF-8, encoded', basic('%C3%A9:%E2%82%AC'), 'é', '€'],
    ['UTF-8, raw', basic('é:€'), 'é', '€'],
    ['UTF-8, raw and encoded', basic('é%C3%A9:€+€'), 'éé', '€ €'],
    ['no Unicode normalisation (composed)', basic('a:\u00e9'), 'a', '\u00e9'],
    ['no Unicode normalisation (decomposed)', basic('a:e\u0301'), 'a', 'e\u0301'],
    ['a fullwidth secret', basic('a:ｓ'), 'a', 'ｓ'],
    ['trailing spaces are kept', basic('a :s '), 'a ', 's '],
    ['a byte order mark is kept', basic('\ufeffa:\ufeffs'), '\ufeffa', '\ufeffs'],
    ['the case of an id is kept', basic('Payroll:s'), 'Payroll', 's'],
    ['a Cyrillic homoglyph stays one', basic('\u0430:s'), '\u0430', 's'],
    ['a scheme in lower case', authorization('basic YTpz'), 'a', 's'],
    ['a scheme in mixed case', authorization('bAsIC YTpz'), 'a', 's'],
    ['several spaces after the scheme', authorization('Basic   YTpz'), 'a', 's'],
    ['the header name in lower case', ['authorization', 'Basic YTpz'], 'a', 's'],
    ['the header name in upper case', ['AUTHORIZATION', 'Basic YTpz'], 'a', 's'],
    ['base64 with padding', authorization('Basic YTpzcw=='), 'a', 'ss'],
    ['a header of the same name for the proxy', ['Proxy-Authorization', 'Basic x', ...basicA], 'a', 's'],
    ['the word Authorization as a value', ['X-Name', 'Authorization', ...basicA], 'a', 's'],
    [
      '500 other headers, __proto__ among them',
      [...Array(998).fill('x'), '__proto__', 'x', ...basicA],
      'a',
      's',
    ],
  ])('%s', (_title, rawHeaders, clientId, secret) => {
    const { request, claimed } = parse(grant, rawHeaders)
    expect(request?.credentials).toEqual({ method: 'client_secret_basic', clientId, secret })
    expect(claimed.clientId).toBe(claimedText.keep(clientId, isClientId(clientId)))
  })

  expectRefusals([
    ['two Authorization headers (RFC 9110 §5.3)', 'authorization_repeated', grant, [...basicA, ...basicA]],
    ['two of different case', 'authorization_repeated', grant, [...basicA, 'aUTHORIZATION', 'Bearer x']],
    [
      'two schemes joined by a comma',
      'authorization_malformed',
      grant,
      authorization('Basic YTpz, Basic YTpz'),
    ],
    ['an empty header', 'authorization_malformed', grant, authorization('')],
    ['a header of spaces', 'authorization_malformed', grant, authorization('  ')],
    ['a scheme that is no token', 'authorization_malformed', grant, authorization('Basic:YTpz')],
    ['a tab after the scheme', 'authorization_malformed', grant, authorization('Basic\tYTpz')],
    ['the scheme alone', 'authorization_malformed', grant, authorization('Basic')],
    ['the scheme and a space', 'authorization_malformed', grant, authorization('Basic ')],
    ['one character missing', 'authorization_malformed', grant, authorization('Basic YTpzc')],
    ['no padding', 'authorization_malformed', grant, authorization('Basic YTpzcw')],
    ['too much padding', 'authorization_malformed', grant, authorization('Basic YTpz=')],
    ['too little padding', 'authorization_malformed', grant, authorization('Basic YTpzcw=')],
    ['padding in the middle', 'authorization_malformed', grant, authorization('Basic YTpzcw==YTpz')],
    ['trailing bits that are not zero', 'authorization_malformed', grant, authorization('Basic YTpzcx==')],
    ['the same without padding', 'authorization_malformed', grant, authorization('Basic YTpzcx')],
    ['the URL alphabet', 'authorization_malformed', grant, authorization('Basic YTo_Pz8-')],
    ['a space within', 'authorization_malformed', grant, authorization('Basic YTpz YTpz')],
    ['a line break within', 'authorization_malformed', grant, authorization('Basic YTpz\nYTpz')],
    ['a trailing space', 'authorization_malformed', grant, authorization('Basic YTpz ')],
    ['parameters after it', 'authorization_malformed', grant, authorization('Basic YTpz, realm="x"')],
    ['characters above Latin-1', 'authorization_malformed', grant, authorization('Basic YTp\u0100')],
    ['no colon', 'authorization_malformed', grant, basic('as')],
    ['an empty pair', 'authorization_malformed', grant, basic(':')],
    ['an empty id', 'authorization_malformed', grant, basic(':s')],
    ['a secret with a raw per cent sign', 'authorization_malformed', grant, basic('a:100%')],
    ['an id with a malformed escape', 'authorization_malformed', grant, basic('a%zz:s')],
    ['an escaped surrogate', 'authorization_malformed', grant, basic('a:%ed%a0%80')],
    ['raw Latin-1', 'authorization_malformed', grant, basicBytes(0xe9, 0x3a, 0x73)],
    ['a raw overlong NUL', 'authorization_malformed', grant, basicBytes(0x61, 0x3a, 0xc0, 0x80)],
    ['a raw surrogate', 'authorization_malformed', grant, basicBytes(0x61, 0x3a, 0xed, 0xa0, 0x80)],
    ['Bearer', 'authentication_method_unsupported', grant, authorization('Bearer abc')],
    ['Bearer alone', 'authentication_method_unsupported', grant, authorization('Bearer')],
    ['DPoP', 'authentication_method_unsupported', grant, authorization('DPoP abc')],
    ['Digest', 'authentication_method_unsupported', grant, authorization('Digest username="a", realm="b"')],
    ['Negotiate', 'authentication_method_unsupported', grant, authorization('Negotiate YTpz')],
    [
      'a scheme that begins like Basic',
      'authentication_method_unsupported',
      grant,
      authorization('Basics YTpz'),
    ],
    ['credentials without a scheme', 'authentication_method_unsupported', grant, authorization('YTpz')],
  ])
})

describe('one way to authenticate (RFC 6749 §2.3)', () => {
  const assertionType = 'client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
  const assertion = `${assertionType}&client_assertion=e30.e30.x`
  const unsupported = 'authentication_method_unsupported'
  const multiple = 'authentication_methods_multiple'
  expectRefusals([
    ['nothing at all (§5.2)', 'authentication_missing', grant],
    ['an identifier without a secret', 'authentication_missing', postId],
    ['a secret without an identifier', 'authentication_missing', `${grant}&client_secret=s`],
    ['Basic and a secret in the body', multiple, post, basicA],
    ['Basic and another client’s secret in the body', multiple, post, basic('b:s')],
    ['Basic and a secret in the body without an id', multiple, `${grant}&client_secret=s`, basicA],
    ['Basic and an assertion', multiple, `${grant}&${assertion}`, basicA],
    ['Basic and the type of an assertion', multiple, `${grant}&${assertionType}`, basicA],
    ['a secret in the body and an assertion', multiple, `${post}&${assertion}`],
    ['all three', multiple, `${post}&${assertion}`, basicA],
    ['Bearer and a secret in the body', multiple, post, authorization('Bearer x')],
    ['an assertion that is none (RFC 7523 §2.2)', 'assertion_malformed', `${grant}&${assertion}`],
    ['an assertion that is none, and an identifier', 'assertion_malformed', `${postId}&${assertion}`],
    ['an assertion without its type', 'assertion_incomplete', `${grant}&client_assertion=x`],
    ['the type without an assertion', 'assertion_incomplete', `${grant}&${assertionType}`],
    ['an assertion of another type', unsupported, `${grant}&client_assertion=x&client_assertion_type=saml2`],
    ['Bearer and an identifier', unsupported, postId, authorization('Bearer x')],
    ['Basic id and another client_id', 'client_id_mismatch', `${grant}&client_id=b`, basicA],
    ['Basic id and a client_id of other case', 'client_id_mismatch', `${grant}&client_id=A`, basicA],
    ['Basic id and a client_id with a space', 'client_id_mismatch', `${grant}&client_id=a+`, basicA],
  ])

  test('Basic with the same client_id in the body is one method (RFC 7521 §4.2)', () => {
    const expected = { method: 'client_secret_basic', clientId: 'a', secret: 's' }
    expect(parse(postId, basicA).request?.credentials).toEqual(expected)
    expect(parse(`${grant}&client_id=&client_secret=`, basicA).request?.credentials).toEqual(expected)
  })
})

describe('the grant type (RFC 6749 §4.4.2)', () => {
  const others = [
    'password',
    'authorization_code',
    'refresh_token',
    'urn:ietf:params:oauth:grant-type:token-exchange',
    'CLIENT_CREDENTIALS',
    'Client_Credentials',
    'client_credentials+',
    'client_credentials%20client_credentials',
    'client-credentials',
    '__proto__',
  ]
  expectRefusals([
    ['no grant_type', 'grant_type_missing', 'client_id=a&client_secret=s'],
    ...others.map(
      (other): Refused => [
        other,
        'grant_type_unsupported',
        `grant_type=${other}&client_id=a&client_secret=s`,
      ],
    ),
  ])
})

describe('the target (RFC 8707 §2)', () => {
  const most = limits.audienceCharactersMax
  const ofLength = (length: number): string => 'https://api.example/'.padEnd(length, 'x')
  const targets = [
    'https://api.example.com',
    'https://api.example.com/',
    'https://API.example.com:8443/a/b?c=d&e=%2F',
    'https://[2001:db8::1]/',
    "https://user@host/~!$&'()*+,;=:@",
    'urn:example:billing',
    'api+v1.x-y:billing',
    'https://example.com/%C3%A9',
    ofLength(most),
  ]
  test.each(targets)('%s is kept as it was written', (target) => {
    const encoded = encodeURIComponent(target)
    expect(parse(`${post}&resource=${encoded}`).request?.target).toBe(target)
    expect(parse(`${post}&audience=${encoded}`).request?.target).toBe(target)
    expect(parse(`${post}&audience=${encoded}&resource=${encoded}`).request?.target).toBe(target)
  })

  test.each(['rabbitmq', 'kafka', 'My-API_v2.1', '7', 'team/orders@eu~1'])(
    '%s is a plain name, which audience may be',
    (name) => {
      expect(parse(`${post}&audience=${encodeURIComponent(name)}`).request?.target).toBe(name)
    },
  )

  const malformed = [
    ['a relative reference', '/billing'],
    ['no scheme', '//example.com'],
    ['two words', 'rabbit mq'],
    ['a name with a query', 'kafka?a'],
    ['a scheme alone', 'https:'],
    ['a scheme that begins with a digit', '1https://example.com'],
    ['an empty scheme', '://example.com'],
    ['a fragment', 'https://example.com/#a'],
    ['an empty fragment', 'https://example.com/#'],
    ['a space', 'https://example.com/a b'],
    ['spaces around', ' https://example.com '],
    ['two in one', 'https://a.example https://b.example'],
    ['a malformed escape', 'https://example.com/%zz'],
    ['an escape cut off', 'https://example.com/%2'],
    ['raw non-ASCII', 'https://example.com/é'],
    ['a quotation mark', 'https://example.com/"'],
    ['angle brackets', '<https://example.com>'],
    ['a backslash', 'https:\\\\example.com'],
    ['curly brackets', 'https://example.com/{a}'],
    ['too long', ofLength(most + 1)],
  ] as const
  expectRefusals([
    ...malformed.flatMap(([title, target]): Refused[] => {
      const encoded = encodeURIComponent(target)
      return [
        [`resource: ${title}`, 'target_malformed', `${post}&resource=${encoded}`],
        [`audience: ${title}`, 'target_malformed', `${post}&audience=${encoded}`],
      ]
    }),
    ['two that differ', 'target_conflict', `${post}&resource=https://a&audience=https://b`],
    ['two that differ in case', 'target_conflict', `${post}&resource=https://a&audience=https://A`],
    ['two that differ in a slash', 'target_conflict', `${post}&resource=https://a&audience=https://a/`],
    ['a plain name as resource', 'target_malformed', `${post}&resource=rabbitmq`],
    ['a plain name as both', 'target_malformed', `${post}&resource=kafka&audience=kafka`],
    ['a URI and a plain name', 'target_conflict', `${post}&resource=https://a&audience=b`],
  ])
})

describe('the scope (RFC 6749 §3.3)', () => {
  const permitted = "!#$%&'()*+,-./09:;<=>?@AZ[]^_`az{|}~"
  const longest = 'a'.repeat(limits.scopeCharactersMax)
  const many = (count: number): string => Array.from({ length: count }, (_, index) => `s${index}`).join('+')

  test.each([
    ['one', 'read', ['read']],
    ['two', 'read+write', ['read', 'write']],
    ['set semantics, in order of first appearance', 'b+a+b+a', ['b', 'a']],
    ['the same three times', 'a+a+a', ['a']],
    ['case matters', 'read+READ', ['read', 'READ']],
    ['a comma does not separate', 'read,admin', ['read,admin']],
    ['every kind of permitted character', encodeURIComponent(permitted), [permitted]],
    ['the longest token', longest, [longest]],
    ['names of Object.prototype', '__proto__+constructor', ['__proto__', 'constructor']],
    ['none, omitted by an empty value', '', undefined],
  ])('%s', (_title, scope, scopes) => {
    const { request } = parse(`${post}&scope=${scope}`)
    expect(request).toBeDefined()
    expect(request?.scopes).toEqual(scopes)
  })

  test('as many tokens as allowed', () => {
    expect(parse(`${post}&scope=${many(limits.scopesPerRequestMax)}`).request?.scopes).toHaveLength(
      limits.scopesPerRequestMax,
    )
  })

  expectRefusals([
    ['two spaces', 'scope_malformed', `${post}&scope=a++b`],
    ['a leading space', 'scope_malformed', `${post}&scope=+a`],
    ['a trailing space', 'scope_malformed', `${post}&scope=a+`],
    ['a space alone', 'scope_malformed', `${post}&scope=+`],
    ['a quotation mark', 'scope_malformed', `${post}&scope=a%22`],
    ['a backslash', 'scope_malformed', `${post}&scope=a%5C`],
    ['non-ASCII', 'scope_malformed', `${post}&scope=caf%C3%A9`],
    ['a no-break space', 'scope_malformed', `${post}&scope=a%C2%A0b`],
    ['a line separator', 'scope_malformed', `${post}&scope=a%E2%80%A8b`],
    ['a fullwidth letter', 'scope_malformed', `${post}&scope=%EF%BD%81`],
    ['a token too long', 'scope_malformed', `${post}&scope=${longest}a`],
    ['one too many', 'scopes_too_many', `${post}&scope=${many(limits.scopesPerRequestMax + 1)}`],
    [
      'one too many, all the same',
      'scopes_too_many',
      `${post}&scope=${'a+'.repeat(limits.scopesPerRequestMax)}a`,
    ],
    ['two thousand spaces', 'scopes_too_many', `${post}&scope=${'+'.repeat(2_000)}`],
  ])
})

describe('the order of refusals', () => {
  const password = 'grant_type=password'
  const badHeader = authorization('Basic !')
  // Each row still has the faults of the rows below it.
  expectRefusals([
    ['the bytes of the body', 'body_malformed', `${password}&scope=+&scope=%&client_id=b`, badHeader],
    ['the header', 'authorization_malformed', `${password}&scope=+&scope=+&client_id=b`, badHeader],
    ['a repeated parameter', 'parameter_repeated', `${password}&scope=+&scope=+&client_id=b`, basicA],
    ['a repeated target', 'target_repeated', `${password}&scope=+&resource=x&resource=x&client_id=b`, basicA],
    [
      'the grant',
      'grant_type_unsupported',
      `${password}&scope=+&resource=x&client_id=b&client_secret=s`,
      basicA,
    ],
    [
      'more than one method',
      'authentication_methods_multiple',
      `${postId}&client_secret=s&scope=+`,
      basic('b:s'),
    ],
    ['two identifiers', 'client_id_mismatch', `${postId}&scope=+&resource=x`, basic('b:s')],
    ['no method', 'authentication_missing', `${grant}&scope=+&resource=x`],
    ['the target', 'target_malformed', `${post}&scope=+&resource=x`],
    ['the scope', 'scope_malformed', `${post}&scope=+`],
  ])
})

describe('what a refused request claims', () => {
  const huge = 'x'.repeat(60_000)
  const withheld = (value: string): string => claimedText.keep(value, false)
  type Row = readonly [title: string, claimed: Claimed, body: string, rawHeaders?: readonly string[]]
  const posted = { clientId: 'a', authenticationMethod: 'client_secret_post' }
  const basically = { clientId: 'a', authenticationMethod: 'client_secret_basic' }
  const rows: readonly Row[] = [
    ['everything asked for', { ...posted, scope: 'r w', target: 'u:x' }, `${post}&scope=r+w&resource=u:x`],
    [
      'an unsupported grant',
      { ...posted, grantType: 'password' },
      'grant_type=password&client_id=a&client_secret=s',
    ],
    ['a repeated parameter', { ...posted, scope: 'r' }, `${post}&scope=r&scope=w`],
    ['two identifiers in the body', { ...posted, otherClientId: 'b' }, `${post}&client_id=b`],
    ['three, two of them the same', { ...posted, otherClientId: 'b' }, `${post}&client_id=a&client_id=b`],
    ['three', { ...posted, otherClientId: 'b' }, `${post}&client_id=b&client_id=c`],
    ['the first one empty', { clientId: 'b' }, `${grant}&client_id=&client_id=b`],
    ['a Basic id against the body', { ...basically, otherClientId: 'b' }, `${grant}&client_id=b`, basicA],
    ['a Basic id like the body', { ...basically }, postId, basicA],
    ['several methods', { ...basically }, post, basicA],
    ['an assertion', { authenticationMethod: 'private_key_jwt' }, `${grant}&client_assertion=x`],
    [
      'an assertion of another type',
      { authenticationMethod: 'client_assertion' },
      `${grant}&client_assertion=x&client_assertion_type=saml2`,
    ],
    ['another scheme', { clientId: 'a', authenticationMethod: 'other' }, postId, authorization('Bearer x')],
    ['a body malformed later', { ...posted }, `${post}&scope=%`],
    ['a body malformed earlier', { ...posted }, `scope=%&${post}`],
    ['a body with a line feed', { ...posted }, `foo=\n&${post}`],
    ['a malformed body beside Basic', basically, '%', basicA],
    ['too many parameters beside Basic', basically, '&'.repeat(100), basicA],
    ['two headers', { ...basically }, grant, [...basicA, ...basic('b:s')]],
    ['a Basic secret that cannot be decoded', { ...basically }, grant, basic('a:%')],
    ['a Basic header without a colon', { authenticationMethod: 'client_secret_basic' }, grant, basic('s')],
    ['a malformed header beside a body', { ...basically }, postId, authorization('Basic !')],
    [
      'a huge identifier',
      { ...posted, clientId: withheld(huge) },
      `${grant}&client_id=${huge}&client_secret=s`,
    ],
    ['control characters', { ...posted, scope: withheld('a\r\nb') }, `${post}&scope=a%0D%0Ab`],
    ['nothing', {}, ''],
  ]
  for (const [title, claimed, body, rawHeaders] of rows) {
    test(title, () => {
      expect(parse(body, rawHeaders).claimed).toEqual(claimed)
    })
  }

  const canary = 'CANARY0secret'
  const wrongSeparators = `${postId}&client_secret=${canary}&scope=r`
  const withSecret: readonly (readonly [title: string, body: string, rawHeaders?: readonly string[]])[] = [
    ['an ordinary request', wrongSeparators],
    ['Basic', grant, basic(`a:${canary}`)],
    ['Basic with a malformed secret', grant, basic(`a:${canary}%`)],
    ['Basic without a colon', grant, basic(canary)],
    ['Basic with an empty id', grant, basic(`:${canary}`)],
    ['a secret without a scheme', grant, authorization(canary)],
    ['a Bearer token', grant, authorization(`Bearer ${canary}`)],
    ['an assertion', `${grant}&client_assertion=${canary}`],
    ['a password', `grant_type=password&username=a&password=${canary}`],
    ['a repeated secret', `${post}&client_secret=${canary}`],
    ['semicolons for ampersands', wrongSeparators.replaceAll('&', ';')],
    ['line feeds for ampersands', wrongSeparators.replaceAll('&', '\n')],
    ['spaces for ampersands', wrongSeparators.replaceAll('&', ' ')],
    ['encoded ampersands', wrongSeparators.replaceAll('&', '%26')],
    ['values encoded twice', `grant_type=${encodeURIComponent(encodeURIComponent(wrongSeparators))}`],
    ['a JSON value', `client_id=${encodeURIComponent(JSON.stringify({ client_secret: canary }))}`],
    ['a semicolon before a password', `grant_type=password;username=a;password=${canary}`],
    ['a semicolon before an assertion', `${postId};client_assertion=${canary}`],
  ]
  for (const [title, body, rawHeaders] of withSecret) {
    test(`${title}: never the secret`, () => {
      expect(JSON.stringify(parse(body, rawHeaders).claimed)).not.toContain(canary)
    })
  }

  test('is nothing that it does not say: not even that it says nothing', () => {
    expect(parse('').claimed).toStrictEqual({})
  })

  test('a registered identifier is shown whatever it looks like, and no other one like it', () => {
    const claimed = (id: string) => parse(`${grant}&client_id=${id}&client_secret=s`).claimed.clientId
    expect(claimed(randomId)).toBe(randomId)
    expect(claimed(randomId.replace('k', 'j'))).toMatch(/^\[withheld: length 24, hash [0-9a-f]{16}\]$/)
  })

  test('remembering a claimed identifier does not keep the body in memory', () => {
    setFlagsFromString('--expose-gc')
    const collectGarbage = runInNewContext('gc') as () => void
    const padding = `&foo=${'x'.repeat(16_000)}`.repeat(3)
    const remembered: unknown[] = []
    collectGarbage()
    const before = process.memoryUsage().heapUsed
    for (let round = 0; round < 500; round += 1) {
      const id = `a-long-client-identifier-${round}`
      remembered.push(parse(`${grant}&client_id=${id}&client_secret=s&scope=a-scope-${id}${padding}`).claimed)
    }
    collectGarbage()
    // Their bodies would be 24 MB.
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(4_000_000)
    expect(remembered).toHaveLength(500)
  })
})

describe('properties', () => {
  // The empty string is left out where it means that a parameter is omitted.
  const text = fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 60 })
    .filter((value) => value.isWellFormed() && !/\p{Cc}/u.test(value))
  const secretText = fc.oneof(text, fc.constant(''))
  const scopeToken = fc.stringMatching(/^[\x21\x23-\x5b\x5d-\x7e]{1,40}$/)
  const scopes = fc.uniqueArray(scopeToken, { minLength: 1, maxLength: 20 })

  /** RFC 6749 §2.3.1, by another road than the parser's: what encodeURIComponent gives, spaces as plus. */
  const encoded = (value: string): string => encodeURIComponent(value).replaceAll('%20', '+')

  test('what URLSearchParams encodes is what is read (RFC 6749 Appendix B)', () => {
    fc.assert(
      fc.property(text, text, scopes, (clientId, secret, scope) => {
        const form = new URLSearchParams([
          ['grant_type', 'client_credentials'],
          ['client_id', clientId],
          ['client_secret', secret],
          ['scope', scope.join(' ')],
        ])
        expect(parse(form.toString()).request).toEqual({
          credentials: { method: 'client_secret_post', clientId, secret },
          target: undefined,
          scopes: scope,
        })
      }),
      { numRuns: 500 },
    )
  })

  test('what a client encodes into Basic is what is read (RFC 6749 §2.3.1)', () => {
    fc.assert(
      fc.property(text, secretText, (clientId, secret) => {
        const header = authorization(`Basic ${base64(`${encoded(clientId)}:${encoded(secret)}`)}`)
        expect(parse(grant, header).request?.credentials).toEqual({
          method: 'client_secret_basic',
          clientId,
          secret,
        })
      }),
      { numRuns: 500 },
    )
  })

  test('two pairs that differ are never read as the same pair', () => {
    const pair = fc.tuple(text, secretText)
    fc.assert(
      fc.property(pair, pair, (one, other) => {
        const read = ([id, secret]: [string, string]) =>
          JSON.stringify(parse(grant, basic(`${encoded(id)}:${encoded(secret)}`)).request)
        expect(read(one) === read(other)).toBe(one[0] === other[0] && one[1] === other[1])
      }),
    )
  })

  /** Pieces that reach far into the parser, mixed with bytes that reach nowhere. */
  const piece = fc.oneof(
    fc.constantFrom(
      ...post.split('&'),
      '&',
      '=',
      '%',
      '+',
      ';',
      '%00',
      '%c3%28',
      '__proto__=x',
      '&&&&',
      '\xff',
    ),
    fc.constantFrom(
      '&scope=',
      '&resource=',
      '&audience=',
      '&client_assertion=',
      '&client_id=',
      'client_secret=',
    ),
    fc.string({ unit: 'binary-ascii', maxLength: 10 }),
  )
  const bodies = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.array(piece, { maxLength: 100 }).map((pieces) => Buffer.from(pieces.join(''), 'latin1')),
  )
  const latin1 = fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes).toString('latin1'))
  const headerValues = fc.oneof(
    latin1,
    fc.uint8Array({ maxLength: 60 }).map((bytes) => `Basic ${Buffer.from(bytes).toString('base64')}`),
    latin1.map((value) => `Basic ${value}`),
    fc.string({ unit: 'binary' }),
  )
  const headers = fc
    .array(
      fc.tuple(fc.constantFrom('Authorization', 'authorization', '__proto__', 'Host', ''), headerValues),
      {
        maxLength: 4,
      },
    )
    .map((pairs) => pairs.flat())

  test('arbitrary bytes give a request or a refusal, and change nothing else', () => {
    const before = Reflect.ownKeys(Object.prototype)
    let accepted = 0
    fc.assert(
      fc.property(bodies, headers, fc.boolean(), (body, rawHeaders, isComplete) => {
        const bytes = isComplete ? Buffer.concat([Buffer.from(`${post}&`), body]) : body
        // `parse` throws on whatever is not an OAuthError.
        const { request } = parse(bytes, rawHeaders)
        if (request !== undefined) accepted += 1
        expect(Reflect.ownKeys(Object.prototype)).toEqual(before)
      }),
      { numRuns: 3_000 },
    )
    expect(accepted).toBeGreaterThan(0)
  })

  test('a secret is never among the claims', () => {
    const canary = '7h3-c4n4ry'
    const form = fc.tuple(bodies, bodies).map(([one, other]) => {
      const middle = Buffer.from(`&client_secret=${canary}&`)
      return Buffer.concat([one, middle, other])
    })
    fc.assert(
      fc.property(form, fc.boolean(), (body, isBasic) => {
        const { claimed } = parse(body, isBasic ? basic(`a:${canary}`) : [])
        expect(JSON.stringify(claimed)).not.toContain(canary)
      }),
      { numRuns: 1_000 },
    )
  })
})

describe('an attempt in the body (RFC 6749 §5.2)', () => {
  test.each<[string, boolean, string, string[]?]>([
    ['a secret', true, post],
    ['a secret without an identifier', true, `${grant}&client_secret=s`],
    ['an identifier alone, as where a secret is empty', true, `${grant}&client_id=a&client_secret=`],
    ['an assertion', true, `${grant}&client_assertion=a`],
    ['nothing', false, grant],
    ['Basic', false, grant, basic('a:s')],
    ['Basic beside an identifier', false, `${grant}&client_id=a`, basic('a:s')],
    ['Basic beside a secret', false, post, basic('a:s')],
    ['another scheme beside an identifier', false, `${grant}&client_id=a`, authorization('Bearer x')],
  ])('%s: %s', (_title, expected, body, headers = []) => {
    expect(authenticatesInBody(parse(body, headers).claimed)).toBe(expected)
  })
})

describe('in the query string', () => {
  test.for([
    'client_id=billing',
    'client-request-id=1&client_secret=canary',
    'client%5Fsecret=canary',
    'Client_Secret=canary',
    'clientSecret=canary',
    'client_secret[]=canary',
    'scope',
    'resource=https://orders.example.com',
    'grant_type=client_credentials',
    'client_assertion=x',
    'assertion=x',
    'password=hunter22',
    'x=mm_OwPPLaCegl4VyLGrQw1WI45wLl6zjbvZcEmReYP7bOYyBzPrYbO0ISVsE',
    'x=%6d%6d_OwPPLaCegl4VyLGrQw1WI45wLl6zjbvZcEmReYP7bOYyBzPrYbO0ISVsE',
    'eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJhIn0.c2lnbmF0dXJl',
    '%zz=1',
    `x=${'-'.repeat(limits.parameterCharactersMax)}`,
  ])('%s is refused: a URL is in the log of every proxy (RFC 6749 §2.3.1)', (query) => {
    expect(hasBodyParameter(query)).toBe(true)
  })

  test.for([
    '',
    '&',
    'client-request-id=f760d23d-8c5d-4782-8206-6f115845e4c8',
    'api-version=2027-01-31',
    '_=1732733333',
  ])('"%s" is ignored, as an unknown parameter of the body is (RFC 6749 §3.2)', (query) => {
    expect(hasBodyParameter(query)).toBe(false)
  })
})
