/** What an Authorization header says, and what is refused because it says it wrongly. */
import { describe, expect, test } from 'vitest'
import { readAuthorization } from '../../src/authentication/authorization.ts'

const encoded = (pair: string | Buffer): string => Buffer.from(pair).toString('base64')
const basic = (pair: string | Buffer): string => `Basic ${encoded(pair)}`
const read = (value: string) => readAuthorization(['Authorization', value])

const credentials = (clientId: string, secret: string) => ({
  isBasic: true,
  clientId,
  secret,
  refusal: undefined,
})
const malformed = (clientId?: string) => ({
  isBasic: true,
  clientId,
  secret: undefined,
  refusal: 'authorization_malformed',
})

describe('the header', () => {
  test('is found by its name in any case, and by no other name of that length', () => {
    const others = ['Host', 'Basic', 'If-None-Match', basic('other:secret')]
    expect(readAuthorization([])).toBeUndefined()
    expect(readAuthorization(others)).toBeUndefined()
    for (const name of ['authorization', 'Authorization', 'AUTHORIZATION']) {
      const found = readAuthorization([...others, name, basic('billing:secret')])
      expect(found, name).toEqual(credentials('billing', 'secret'))
    }
  })

  test('is looked for among names: a value that is the same text is no header', () => {
    expect(readAuthorization(['X-Asked-For', 'Authorization', 'Host', 'example.com'])).toBeUndefined()
  })

  test('is refused if it is there twice, even with the same credentials, and names the first client', () => {
    const both = ['Authorization', basic('billing:secret'), 'authorization', basic('billing:secret')]
    expect(readAuthorization(both)).toEqual({
      ...credentials('billing', 'secret'),
      refusal: 'authorization_repeated',
    })
    const otherFirst = ['Authorization', 'Bearer token', 'Authorization', basic('billing:secret')]
    expect(readAuthorization(otherFirst)).toMatchObject({ refusal: 'authorization_repeated' })
    expect(readAuthorization(otherFirst)?.clientId).toBeUndefined()
  })
})

describe('the scheme', () => {
  test('is Basic in any case, with any number of spaces after it (RFC 9110 §11.4)', () => {
    for (const scheme of ['Basic', 'basic', 'BASIC']) {
      for (const spaces of [' ', '   ']) {
        expect(read(scheme + spaces + encoded('billing:secret'))).toEqual(credentials('billing', 'secret'))
      }
    }
  })

  test('may be another: nothing is wrong with the header, and it says nothing', () => {
    for (const value of ['Bearer abc', 'DPoP abc', 'Negotiate', "!#$%&'*+-.^_`|~09azAZ x"]) {
      expect(read(value), value).toEqual({
        isBasic: false,
        clientId: undefined,
        secret: undefined,
        refusal: undefined,
      })
    }
  })

  test('is malformed if it is no token (RFC 9110 §11.1)', () => {
    for (const value of [
      '',
      ' ',
      ` ${encoded('a:b')}`,
      'Ba(sic abc',
      '"Basic" abc',
      'Basic:abc',
      'Bäsic x',
    ]) {
      expect(read(value), value).toEqual({ ...malformed(), isBasic: false })
    }
  })
})

describe('Basic credentials', () => {
  test('are split at the first colon: a secret may contain more of them, and may be empty', () => {
    expect(read(basic('billing:one:two'))).toEqual(credentials('billing', 'one:two'))
    expect(read(basic('billing:'))).toEqual(credentials('billing', ''))
    expect(read(basic('b:s'))).toEqual(credentials('b', 's'))
  })

  test('without a colon, or without an identifier before it, claim no client', () => {
    for (const pair of ['', ':', ':secret', 'billing', 'mm_a-secret-alone']) {
      expect(read(basic(pair)), pair).toEqual(malformed())
    }
    expect(read('Basic')).toEqual(malformed())
    expect(read('Basic ')).toEqual(malformed())
  })

  test('are Base64 with its own alphabet, its padding and no other bits (RFC 7617 §2)', () => {
    const text = encoded('a?>:b')
    expect(text).toBe('YT8+OmI=')
    expect(read(`Basic ${text}`)).toEqual(credentials('a?>', 'b'))
    for (const other of [
      'YT8+OmI',
      'YT8-OmI=',
      'YT8+OmJ=',
      'YT8+ OmI=',
      'YT8+OmI==',
      'YT8+OmI= ',
      '*',
      'é',
    ]) {
      expect(read(`Basic ${other}`), other).toEqual(malformed())
    }
  })

  test('are form-encoded, each half for itself (RFC 6749 §2.3.1)', () => {
    expect(read(basic('a%3Ab:c%25d'))).toEqual(credentials('a:b', 'c%d'))
    expect(read(basic('a+b:c+d'))).toEqual(credentials('a b', 'c d'))
    expect(read(basic('%C3%BC:%E2%82%AC'))).toEqual(credentials('ü', '€'))
  })

  test('may be UTF-8 as it is, of which nothing is trimmed', () => {
    expect(read(basic('büro:€'))).toEqual(credentials('büro', '€'))
    expect(read(basic('\uFEFFbilling:\uFEFFsecret'))).toEqual(credentials('\uFEFFbilling', '\uFEFFsecret'))
    expect(read(basic('büro:100%25'))).toEqual(credentials('büro', '100%'))
  })

  test('name their client even if only the secret is malformed', () => {
    expect(read(basic('billing:%zz'))).toEqual(malformed('billing'))
    expect(read(basic(Buffer.from('billing:\xff', 'latin1')))).toEqual(malformed('billing'))
    expect(read(basic('%zz:secret'))).toEqual(malformed())
    expect(read(basic(Buffer.from('\xff:secret', 'latin1')))).toEqual(malformed())
  })

  test('with a control character in either half are refused', () => {
    for (const pair of [
      'bill\u0000ing:secret',
      'billing:sec\u007fret',
      'billing%0A:secret',
      'billing:%1Fs',
    ]) {
      expect(read(basic(pair)), pair).toMatchObject({ isBasic: true, refusal: 'character_forbidden' })
    }
    expect(read(basic('billing:\u0080 ~'))?.refusal).toBeUndefined()
  })
})
