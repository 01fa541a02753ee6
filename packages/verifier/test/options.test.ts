/** A verifier refuses to exist without what makes it safe; what it tells about itself is what it was told. */
import { describe, expect, test } from 'vitest'
import { createVerifier, type VerifierOptions, VerifyError } from '../src/index.ts'
import { BoundedMap, ComesAgain, createReplayMemory, tokenName } from '../src/memory.ts'
import { audience, issuer, makeKey, makeToken, start } from './fixtures.ts'

const key = makeKey('first')
const good: VerifierOptions = { issuer, audience, keys: { keys: [key.jwk] }, nowSeconds: () => start }

describe('it refuses to be created', () => {
  const wrong: readonly (readonly [string, Partial<Record<keyof VerifierOptions, unknown>>])[] = [
    ['issuer', { issuer: undefined }],
    ['issuer', { issuer: '' }],
    ['issuer', { issuer: [issuer] }],
    ['issuer', { issuer: 'mint' }],
    ['issuer', { issuer: 'http://mint.example' }],
    ['issuer', { issuer: 'file:///etc/passwd' }],
    ['audience', { audience: undefined }],
    ['audience', { audience: '' }],
    ['audience', { audience: [audience] }],
    ['jwksUri', { jwksUri: 'http://mint.example/jwks.json' }],
    ['jwksUri', { jwksUri: 'data:application/json,{}' }],
    ['algorithms', { algorithms: [] }],
    ['algorithms', { algorithms: ['HS256'] }],
    ['algorithms', { algorithms: ['none'] }],
    ['algorithms', { algorithms: 'ES256' }],
    ['type', { type: 'jwt' }],
    ['leewaySeconds', { leewaySeconds: 31 }],
    ['leewaySeconds', { leewaySeconds: -1 }],
    ['leewaySeconds', { leewaySeconds: Number.NaN }],
    ['leewaySeconds', { leewaySeconds: '10' }],
    ['name', { name: '' }],
    ['name', { name: 'a\nb' }],
    ['name', { name: 'n'.repeat(101) }],
    ['keysKeptSecondsMax', { keysKeptSecondsMax: Number.POSITIVE_INFINITY }],
    ['origin', { origin: 'https://orders.example/' }],
    ['origin', { origin: 'orders.example' }],
    ['origin', { audience: 'urn:orders', scopesSupported: ['orders:read'] }],
  ]
  test.each(wrong)('%s: %j', (option, options) => {
    const create = () => createVerifier({ ...good, ...options } as VerifierOptions)
    expect(create).toThrow(TypeError)
    expect(create).toThrow(option)
  })
})

test.each(['http://localhost:3000', 'http://127.0.0.1:3000', 'http://[::1]:3000'])(
  'an issuer on this machine may have http: %s',
  (local) => {
    expect(() => createVerifier({ ...good, issuer: local })).not.toThrow()
  },
)

test('a resource with token_typ: JWT has tokens of that type, and no others', async () => {
  const verifier = createVerifier({ ...good, type: 'JWT' })
  await expect(verifier.verify(makeToken(key))).rejects.toMatchObject({ code: 'type_wrong' })
})

test('what a program makes of anything else than a text is a refusal', async () => {
  const verifier = createVerifier(good)
  for (const token of [undefined, null, 7, {}, [], Buffer.from('x')])
    await expect(verifier.verify(token as never)).rejects.toBeInstanceOf(VerifyError)
})

test('a hook that fails decides about no token', async () => {
  const warned = new Promise((resolve) => process.once('warning', resolve))
  const fail = (): void => {
    throw new Error('the hook failed')
  }
  const verifier = createVerifier({ ...good, onVerified: fail, onRefused: fail })
  expect(await verifier.verify(makeToken(key))).toMatchObject({ sub: 'billing' })
  await expect(verifier.verify('x')).rejects.toMatchObject({ code: 'token_malformed' })
  expect(await warned).toMatchObject({ message: 'the hook failed' })
})

test('a hook that fails later does not end the process', async () => {
  const warned = new Promise((resolve) => process.once('warning', resolve))
  const onVerified = () => Promise.reject(new Error('the hook failed later'))
  const verifier = createVerifier({ ...good, onVerified })
  expect(await verifier.verify(makeToken(key))).toMatchObject({ sub: 'billing' })
  expect(await warned).toMatchObject({ message: 'the hook failed later' })
})

describe('the protected-resource document', () => {
  test('stands below the origin, and says where tokens come from', () => {
    const { resourceMetadata } = createVerifier({ ...good, scopesSupported: ['orders:read'] })
    expect(resourceMetadata).toEqual({
      url: 'https://orders.example/.well-known/oauth-protected-resource',
      path: '/.well-known/oauth-protected-resource',
      document: {
        resource: audience,
        authorization_servers: [issuer],
        scopes_supported: ['orders:read'],
        bearer_methods_supported: ['header'],
        dpop_signing_alg_values_supported: ['ES256', 'EdDSA', 'PS256'],
      },
    })
  })

  test('has the path of the resource behind it (RFC 9728 §3.1)', () => {
    const options = { ...good, audience: 'https://api.example/orders', scopesSupported: [] }
    expect(createVerifier(options).resourceMetadata?.url).toBe(
      'https://api.example/.well-known/oauth-protected-resource/orders',
    )
  })

  test('is there for those who want it', () => {
    expect(createVerifier(good).resourceMetadata).toBeUndefined()
  })
})

describe('the memory of tokens', () => {
  test('notices what comes again', () => {
    const comesAgain = new ComesAgain()
    const names = Array.from({ length: 1_000 }, (_, number) => tokenName(`${number}`))
    expect(names.filter((name) => comesAgain.note(name))).toEqual([])
    const again = names.filter((name) => comesAgain.note(name))
    // Some share a place.
    expect(again.length).toBeGreaterThan(900)
    expect(names.at(-1) !== undefined && comesAgain.note(names.at(-1) as string)).toBe(true)
  })

  test('never has more than it may', () => {
    const memory = new BoundedMap<number>(3)
    for (let number = 0; number < 10; number += 1) memory.set(`${number}`, number)
    expect(memory.size).toBe(3)
    expect(['6', '7', '8', '9'].map((name) => memory.get(name))).toEqual([undefined, 7, 8, 9])
    memory.set('8', 0)
    expect(['7', '8', '9'].map((name) => memory.get(name))).toEqual([7, 0, 9])
  })
})

describe('the memory of proofs', () => {
  test('forgets what is refused for its age anyway, and nothing else', () => {
    const memory = createReplayMemory(2)
    expect(memory.claim('a', 60, 0)).toBe('claimed')
    expect(memory.claim('b', 70, 10)).toBe('claimed')
    expect(memory.claim('a', 60, 60)).toBe('replayed')
    expect(memory.claim('c', 120, 60)).toBe('full')
    expect(memory.claim('c', 121, 61)).toBe('claimed')
    expect(memory.claim('b', 70, 61)).toBe('replayed')
  })

  test('has room again when something behind a later one is over', () => {
    const memory = createReplayMemory(2)
    expect(memory.claim('ahead', 70, 0)).toBe('claimed')
    expect(memory.claim('old', 10, 0)).toBe('claimed')
    expect(memory.claim('new', 70, 11)).toBe('claimed')
  })
})
