/** URIs that mean the same have one spelling, and no others do. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { normalizedHttpUri } from '../../src/lib/http-uri.ts'

const token = 'https://tokens.example.com/t/token'

describe('the same as https://tokens.example.com/t/token', () => {
  test.each([
    token,
    'HTTPS://Tokens.Example.COM/t/token',
    'https://tokens.example.com:443/t/token',
    'https://tokens.example.com:/t/token',
    'https://tokens.example.com/t/%74%6Fken',
    'https://tokens.example.com/t/token?a=b',
    'https://tokens.example.com/t/token#a',
    'https://tokens.example.com/t/token?',
    'https://tokens.example.com/t/x/../token',
    'https://tokens.example.com/t/./token',
    'https://tokens.example.com/t/x/%2e%2E/token',
  ])('%s', (text) => {
    expect(normalizedHttpUri(text)).toBe(token)
  })
})

describe('another one', () => {
  test.each([
    'http://tokens.example.com/t/token',
    'https://tokens.example.com:444/t/token',
    'https://tokens.example.com./t/token',
    'https://tokens.example.org/t/token',
    'https://tokens.example.com/t/token/',
    'https://tokens.example.com/t//token',
    'https://tokens.example.com/T/token',
    'https://tokens.example.com/t%2Ftoken',
    'https://tokens.example.com/t/token%00',
    'https://tokens.example.com/t/token;a',
    'https://tokens.example.com/token',
    'https://tokens.example.com',
  ])('%s', (text) => {
    const normalized = normalizedHttpUri(text)
    expect(normalized).toMatch(/^https?:\/\/tokens\./)
    expect(normalized).not.toBe(token)
  })
})

describe('none', () => {
  test.each([
    '',
    '/t/token',
    'tokens.example.com/t/token',
    '//tokens.example.com/t/token',
    'https:tokens.example.com/t/token',
    'https:/tokens.example.com/t/token',
    'https:\\\\tokens.example.com\\t\\token',
    'https://tokens.example.com\\t\\token',
    'https:///t/token',
    'https://user@tokens.example.com/t/token',
    'https://user:pass@tokens.example.com/t/token',
    'https://@tokens.example.com/t/token',
    'https://other.example.com\\@tokens.example.com/t/token',
    ' https://tokens.example.com/t/token',
    'https://tokens.example.com/t/token ',
    'https://tokens.example.com/t/to\tken',
    'https://tokens.example.com/t/to\nken',
    'https://tokens.example.com/t/%zz',
    'https://tokens.example.com/t/token%',
    'https://tokens.example.com/t/tokén',
    'https://tokens.exämple.com/t/token',
    'https://tokens.example.com:99999/t/token',
    'ftp://tokens.example.com/t/token',
    'javascript:https://tokens.example.com/t/token',
  ])('%j', (text) => {
    expect(normalizedHttpUri(text)).toBeUndefined()
  })
})

test('escapes in a path are in capitals, and what needs none is written out', () => {
  expect(normalizedHttpUri('https://e.com/%7e/%2f%c3%a4')).toBe('https://e.com/~/%2F%C3%A4')
})

test('the one spelling is its own', () => {
  const parts = fc.constantFrom('/', 'a', '%41', '%2f', '..', '.', '~', '%7E', '?', '#', ':', 'Token', '%20')
  fc.assert(
    fc.property(fc.array(parts, { maxLength: 12 }), (path) => {
      const normalized = normalizedHttpUri(`https://Example.com/${path.join('')}`)
      expect(normalized === undefined || normalizedHttpUri(normalized)).toBe(
        normalized === undefined || normalized,
      )
    }),
  )
})
