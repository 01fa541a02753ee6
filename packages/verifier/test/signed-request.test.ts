/** What the vectors do not say of signed requests, because it is not the same everywhere. */
import { createHmac } from 'node:crypto'
import { expect, test } from 'vitest'
import { createRequestVerifier } from '../src/index.ts'
import { start } from './fixtures.ts'

const secret = Buffer.alloc(32, 7)
const jwk = { kty: 'oct', k: secret.toString('base64url'), kid: 'caller', alg: 'HS256' }
const url = 'https://orders.example/orders'

/** A request whose signature is right, over so many header fields. */
function signed(fields: number) {
  const names = Array.from({ length: fields }, (_, index) => `x-${index}`)
  const covered = ['@method', '@target-uri', ...names].map((name) => `"${name}"`).join(' ')
  const input = `(${covered});created=${start};keyid="caller";nonce="n${fields}";tag="mintmark"`
  const base = [
    '"@method": GET',
    `"@target-uri": ${url}`,
    ...names.map((name) => `"${name}": v`),
    `"@signature-params": ${input}`,
  ].join('\n')
  const signature = createHmac('sha256', secret).update(base).digest('base64')
  const headers = names.map((name) => [name, 'v'] as const)
  return {
    method: 'GET',
    url,
    headers: [
      ...headers,
      ['signature-input', `mintmark=${input}`] as const,
      ['signature', `mintmark=:${signature}:`] as const,
    ],
  }
}

test('a signature covers 32 components at most: each is looked for before anybody knows who signed', async () => {
  const verifier = createRequestVerifier({ keys: { keys: [jwk] }, nowSeconds: () => start })
  expect(await verifier.verify(signed(30))).toEqual({ keyid: 'caller' })
  await expect(verifier.verify(signed(31))).rejects.toMatchObject({ code: 'request_signature_malformed' })
})
