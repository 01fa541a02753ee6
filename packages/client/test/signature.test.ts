/** Signed requests are those of the vectors that verifiers accept, letter by letter. */
import { createHmac } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { signRequest } from '../src/index.ts'
import { newKey } from './support.ts'

interface Vector {
  readonly name: string
  readonly request: { method: string; url: string; headers: [string, string][]; body: string }
  readonly signatureBase: string | null
  readonly expected: { readonly result: string; readonly keyid?: string }
}

const file = join(import.meta.dirname, '../../../test/vectors/signed-requests.json')
const vectors = JSON.parse(readFileSync(file, 'utf8')) as {
  readonly keys: { readonly keys: readonly { readonly kid: string; readonly k?: string }[] }
  readonly cases: readonly Vector[]
}

const ours =
  /^sig1=\("@method" "@target-uri"(?: "authorization")?(?: "content-digest")?\);created=(\d+);nonce="([^"]+)";keyid="([^"]+)";tag="mintmark"$/

/** Those that cover what we cover, with the parameters in our order and the one digest that we make. */
const likeOurs = vectors.cases.filter(
  ({ expected, request }) =>
    expected.result === 'accepted' &&
    request.headers.some(([name, value]) => name === 'Signature-Input' && ours.test(value)) &&
    request.headers.every(([name, value]) => name !== 'Content-Digest' || /^sha-256=[^,]*$/.test(value)),
)
describe('the vectors', () => {
  test('there are some', () => {
    expect(likeOurs.length).toBeGreaterThan(3)
  })

  test.each(likeOurs.map((vector) => [vector.name, vector] as const))('%s', (_name, vector) => {
    const { request, signatureBase } = vector
    const headers = new Headers(request.headers.filter(([name]) => !/^(signature|content-type)/i.test(name)))
    const wanted = new Headers(request.headers)
    const [, created, nonce = '', keyId = ''] = ours.exec(wanted.get('signature-input') ?? '') ?? []
    const secret = Buffer.from(vectors.keys.keys.find(({ kid }) => kid === keyId)?.k ?? 'any', 'base64url')
    const signer = { secret, keyId }
    const body = Buffer.from(request.body)
    signRequest({ ...request, headers, body }, signer, { nowSeconds: Number(created), nonce })
    expect(headers.get('signature-input')).toBe(wanted.get('signature-input'))
    expect(headers.get('content-digest')).toBe(wanted.get('content-digest'))
    const signature = createHmac('sha256', secret)
      .update(signatureBase ?? '')
      .digest('base64')
    expect(headers.get('signature')).toBe(`sig1=:${signature}:`)
    if (vector.name.includes('hmac')) expect(headers.get('signature')).toBe(wanted.get('signature'))
  })
})

describe('signRequest', () => {
  const request = () => ({ method: 'GET', url: 'https://orders.example/a?b#c', headers: new Headers() })

  test('covers the URL as it is sent, without its fragment', () => {
    const { headers, ...rest } = request()
    const signer = { secret: 'x'.repeat(32), keyId: 'k' }
    signRequest({ ...rest, headers }, signer, { nowSeconds: 1.9, nonce: 'n' })
    const input = '("@method" "@target-uri");created=1;nonce="n";keyid="k";tag="mintmark"'
    expect(headers.get('signature-input')).toBe(`sig1=${input}`)
    const base = `"@method": GET\n"@target-uri": https://orders.example/a?b\n"@signature-params": ${input}`
    const signature = createHmac('sha256', signer.secret).update(base).digest('base64')
    expect(headers.get('signature')).toBe(`sig1=:${signature}:`)
  })

  test('takes a key in PEM, and names it by its thumbprint', () => {
    const { headers, ...rest } = request()
    const key = newKey().privateKey.export({ format: 'pem', type: 'pkcs8' }) as string
    signRequest({ ...rest, headers }, { key }, { nowSeconds: 1 })
    expect(headers.get('signature-input')).toMatch(/;keyid="[\w-]{43}";/)
    expect(headers.get('signature')).toMatch(/^sig1=:[\w+/]{86}==:$/)
  })

  test.each(['a\nb', '', 'ä'])('refuses the key id %j', (keyId) => {
    const sign = () => signRequest(request(), { secret: 'x', keyId }, { nowSeconds: 1 })
    expect(sign).toThrow('printable ASCII')
  })
})
