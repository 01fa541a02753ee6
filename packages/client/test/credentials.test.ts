/** A client proves itself in one way, anew for each request, with what its files say at that moment. */
import { verify } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { createTokenSource, type TokenSourceOptions } from '../src/index.ts'
import { FakeTime, failureOf, json, newKey, startServer, tokens } from './support.ts'

function newFiles(): (name: string) => string {
  const directory = mkdtempSync(join(tmpdir(), 'mintmark-client-'))
  onTestFinished(() => rmSync(directory, { recursive: true }))
  return (name) => join(directory, name)
}

async function newSource(options: Partial<TokenSourceOptions>, ...answers: Parameters<typeof startServer>) {
  const server = await startServer(...(answers.length === 0 ? [tokens()] : answers))
  const time = new FakeTime()
  return {
    server,
    time,
    source: createTokenSource({ issuer: server.url, clientId: 'billing', time, ...options }),
  }
}

const decoded = (jwt = '') => {
  const [header = '', claims = ''] = jwt.split('.')
  const read = (part: string) => JSON.parse(Buffer.from(part, 'base64url').toString())
  return { header: read(header), claims: read(claims) }
}

describe('a secret', () => {
  test('travels in the header, encoded as in a form (RFC 6749 §2.3.1)', async () => {
    const { server, source } = await newSource({ clientId: 'a:b c', clientSecret: 'ü/+%' })
    await source.token()
    const [, pair = ''] = server.requests[0]?.headers.authorization?.split(' ') ?? []
    expect(Buffer.from(pair, 'base64').toString()).toBe('a%3Ab+c:%C3%BC%2F%2B%25')
    expect(server.requests[0]?.form.get('client_id')).toBeNull()
  })

  test('in a file is read for every use, without the line break at its end', async () => {
    const files = newFiles()
    writeFileSync(files('secret'), 'first\n')
    const { server, source } = await newSource({ clientSecretFile: files('secret') })
    await source.token('a')
    writeFileSync(files('secret'), 'second')
    await source.token('b')
    const sent = server.requests.map(({ headers }) =>
      Buffer.from(headers.authorization?.split(' ')[1] ?? '', 'base64').toString(),
    )
    expect(sent).toEqual(['billing:first', 'billing:second'])
  })

  test.each(['missing', 'empty'])('in a file that is %s: no request', async (name) => {
    const files = newFiles()
    writeFileSync(files('empty'), ' \n')
    const { server, source } = await newSource({ clientSecretFile: files(name) })
    expect(await failureOf(source.token())).toMatchObject({ code: 'credential_unreadable' })
    expect(server.requests).toEqual([])
    // It may be there the next time, so it is tried.
    writeFileSync(files(name), 'secret')
    expect(await source.token()).toBe('token-1')
  })
})

describe('a key', () => {
  test('signs an assertion for the issuer alone, and another one for each attempt (RFC 10070)', async () => {
    const { privateKey, publicKey } = newKey()
    const { server, source } = await newSource({ privateKey }, json({}, 503), tokens())
    await source.token()
    const sent = server.requests.map(({ form }) => form.get('client_assertion') ?? '')
    expect(server.requests[0]?.headers.authorization).toBeUndefined()
    expect(server.requests[0]?.form.get('client_assertion_type')).toMatch(/:jwt-bearer$/)
    const [first, second] = sent.map(decoded)
    expect(first?.header).toMatchObject({ alg: 'ES256', typ: 'client-authentication+jwt' })
    expect(first?.header.kid).toMatch(/^[\w-]{43}$/)
    expect(first?.claims).toMatchObject({
      iss: 'billing',
      sub: 'billing',
      aud: server.url,
      iat: 1_800_000_000,
      exp: 1_800_000_060,
    })
    expect(first?.claims.jti).not.toBe(second?.claims.jti)
    const [signed = '', signature = ''] = (sent[0] ?? '').split(/\.(?=[^.]*$)/)
    const key = { key: publicKey, dsaEncoding: 'ieee-p1363' } as const
    expect(verify('sha256', Buffer.from(signed), key, Buffer.from(signature, 'base64url'))).toBe(true)
  })

  test('may be PEM or a JSON Web Key, given or in a file that is replaced', async () => {
    const files = newFiles()
    const [one, other] = [newKey().privateKey, newKey().privateKey]
    const kidOf = async (options: Partial<TokenSourceOptions>) => {
      const { server, source } = await newSource(options)
      await source.token()
      return decoded(server.requests[0]?.form.get('client_assertion') ?? '').header.kid
    }
    const pem = one.export({ format: 'pem', type: 'pkcs8' }) as string
    const kid = await kidOf({ privateKey: one })
    expect(await kidOf({ privateKey: pem })).toBe(kid)
    expect(await kidOf({ privateKey: one.export({ format: 'jwk' }) })).toBe(kid)
    expect(await kidOf({ privateKey: one.export({ format: 'pem', type: 'sec1' }) as string })).toBe(kid)
    expect(await kidOf({ privateKey: one, keyId: '2027-01' })).toBe('2027-01')
    writeFileSync(files('key'), pem)
    const { server, source } = await newSource({ privateKeyFile: files('key') })
    await source.token('a')
    writeFileSync(files('key'), JSON.stringify(other.export({ format: 'jwk' })))
    await source.token('b')
    const kids = server.requests.map(({ form }) => decoded(form.get('client_assertion') ?? '').header.kid)
    expect(kids).toEqual([kid, await kidOf({ privateKey: other })])
  })

  test.each(['{', 'nothing', '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----'])(
    'that cannot be read is said so, without a word of it: %j',
    async (text) => {
      const files = newFiles()
      writeFileSync(files('key'), text)
      const { source } = await newSource({ privateKeyFile: files('key') })
      const error = (await failureOf(source.token())) as Error
      expect(error).toMatchObject({ code: 'credential_unreadable' })
      expect(error.message).not.toContain('AAAA')
      expect(error.message).not.toContain('nothing')
    },
  )
})

describe('an assertion of another issuer', () => {
  test('is read for every use, and needs no client id', async () => {
    const files = newFiles()
    writeFileSync(files('token'), 'first\n')
    const { server, source } = await newSource({ clientId: undefined, assertionFile: files('token') })
    await source.token('a')
    writeFileSync(files('token'), 'second\n')
    await source.token('b')
    expect(server.requests.map(({ form }) => [form.get('client_assertion'), form.get('client_id')])).toEqual([
      ['first', null],
      ['second', null],
    ])
  })
})
