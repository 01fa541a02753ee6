/** Where keys of others are found, and which of them count there. */
import { expect, test } from 'vitest'
import { type KeyAddress, RemoteKeys } from '../../src/authentication/remote-keys.ts'
import { makeKey } from '../support/assertion.ts'
import { keysAddress as address, keySet, openRemoteKeys, settle } from '../support/remote-keys.ts'

const [one, two] = [makeKey('ES256', 'one'), makeKey('ES256', 'two')]
const open = () => openRemoteKeys(keySet(one))

test('an RSA key without alg is for PS256 where a client publishes it, and for RS256 where an issuer does', async () => {
  const rsa = makeKey('RS256', 'rsa')
  const { keys, answer } = open()
  answer(keySet(rsa))
  const algorithms = async (from: KeyAddress) => (await keys.renewed(from))?.map(({ algorithm }) => algorithm)
  expect(await algorithms({ kind: 'client_jwks_uri', url: address.url })).toEqual(['PS256'])
  expect(await algorithms(address)).toEqual(['RS256'])
})

test('discovery: the metadata must be of the issuer, and a 404 leads to the other place (RFC 8414)', async () => {
  const issuer = 'https://idp.example.com/tenant/'
  const documents: Record<string, unknown> = {
    'https://idp.example.com/.well-known/oauth-authorization-server/tenant': {
      issuer,
      jwks_uri: 'https://idp.example.com/k',
    },
    'https://idp.example.com/k': keySet(one),
  }
  const failed: string[] = []
  let status = 404
  const make = () =>
    new RemoteKeys({
      async fetch(url) {
        if (!(url in documents)) throw Object.assign(new Error(`no ${url}`), { status })
        return { text: JSON.stringify(documents[url]), maxAgeSeconds: undefined }
      },
      monotonicMilliseconds: () => 0,
      onFailed: (name, problem) => failed.push(`${name}: ${problem}`),
      onRecovered() {},
      onReplaced() {},
    })
  expect(await make().renewed({ kind: 'discovery', issuer })).toHaveLength(1)
  // Any other answer may be a fault that passes.
  status = 500
  expect(await make().renewed({ kind: 'discovery', issuer })).toBeUndefined()
  documents['https://idp.example.com/tenant/.well-known/openid-configuration'] = {
    issuer: 'https://evil.example.com',
    jwks_uri: 'https://idp.example.com/k',
  }
  expect(await make().renewed({ kind: 'discovery', issuer })).toBeUndefined()
  documents['https://idp.example.com/tenant/.well-known/openid-configuration'] = { issuer }
  expect(await make().renewed({ kind: 'discovery', issuer })).toBeUndefined()
  expect(failed).toEqual([
    `discovery ${issuer}: no ${issuer}.well-known/openid-configuration`,
    `discovery ${issuer}: its metadata is of another issuer`,
    `discovery ${issuer}: its metadata has no jwks_uri`,
  ])
})

test.each([
  ['https://idp.example.com', ''],
  ['https://idp.example.com/', ''],
  ['https://idp.example.com/tenant', '/tenant'],
])('the metadata of %s is looked for in two places, without a slash too many', async (issuer, path) => {
  const { keys, answer, asked } = open()
  answer(Object.assign(new Error('there is none'), { status: 404 }))
  expect(await keys.renewed({ kind: 'discovery', issuer })).toBeUndefined()
  expect(asked).toEqual([
    `https://idp.example.com${path}/.well-known/openid-configuration`,
    `https://idp.example.com/.well-known/oauth-authorization-server${path}`,
  ])
})

test('a bundle of SPIFFE: only its keys for tokens, and its own hint', async () => {
  const bundle: KeyAddress = { kind: 'spiffe_bundle', url: 'https://spire.example.com' }
  const { keys, answer, pass, asked } = open()
  const { publicJwk } = one
  answer({
    keys: [
      { ...publicJwk, kid: 'x', use: 'x509-svid', x5c: ['AAAA'] },
      { ...two.publicJwk, kid: 'plain' },
      { ...publicJwk, kid: 'jwt', use: 'jwt-svid' },
    ],
    spiffe_sequence: 7,
    spiffe_refresh_hint: 90,
  })
  expect((await keys.renewed(bundle))?.map(({ kid, algorithm }) => [kid, algorithm])).toEqual([
    ['jwt', 'ES256'],
  ])
  pass(91)
  keys.now(bundle)
  await settle()
  expect(asked).toHaveLength(2)
})

test.each<[title: string, address: KeyAddress, use: string, hint: unknown]>([
  ['that is no number', { kind: 'spiffe_bundle', url: 'https://spire.example.com' }, 'jwt-svid', 'soon'],
  ['in a set that is no bundle', address, 'sig', 90],
])('a hint %s is not looked at', async (_title, from, use, hint) => {
  const { keys, answer, pass, asked } = open()
  answer({ keys: [{ ...one.publicJwk, use }], spiffe_refresh_hint: hint }, 200)
  await keys.renewed(from)
  for (const [seconds, fetches] of [
    [200, 1],
    [1, 2],
  ] as const) {
    pass(seconds)
    keys.now(from)
    await settle()
    expect(asked).toHaveLength(fetches)
  }
})
