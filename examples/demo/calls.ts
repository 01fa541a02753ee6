/** The calls of the demo: those that succeed, and those that must fail. */
import { createHash, generateKeyPairSync, randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import { join } from 'node:path'
import { exportJWK, SignJWT } from 'jose'
// A program of yours imports it from '@mintmark/client'.
import {
  createTokenSource,
  signRequest,
  type TokenSource,
  type TokenSourceOptions,
} from '../../packages/client/src/index.ts'
import type { Answer, Expected, Row } from './report.ts'

export const ordersAudience = 'https://orders.example.com'

/** What runs: the three services, and the directory of the CA that gave each machine its certificate. */
export interface Picture {
  readonly mintmark: string
  readonly orders: string
  readonly billing: string
  readonly ca: string
  /** What a service wrote: a line for each call, with path, caller and outcome. */
  readonly logOf: (service: 'orders' | 'billing') => string
  /** A token of the shop that has expired. */
  readonly expiredToken: string
}

interface Call {
  readonly method: 'GET' | 'POST'
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
}

/** Makes all calls, one after the other. */
export async function makeCalls(picture: Picture): Promise<Row[]> {
  const { mintmark, orders, billing, ca } = picture
  const rows: Row[] = []
  const expect = async (
    tried: string,
    expected: Expected,
    answer: Answer | Promise<Answer>,
  ): Promise<void> => {
    rows.push({ tried, expected, came: await answer })
  }
  /** Sends a call from a machine, with the certificate of that machine if it has one. */
  const send = (call: Call, machine?: string): Promise<Answer> => sendOver(ca, call, machine)
  const get = (url: string, token?: string): Call => ({
    method: 'GET',
    url,
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
  })

  const tokens = tokensOfShop(picture)
  const token = await tokens.token(ordersAudience)
  const order = signedOrder(picture, token)

  await expect('shop orders tea from FastAPI', [201, '"invoice":1'], send(order, 'shop'))
  const line = (service: 'orders' | 'billing', text: string): Answer => ({
    status: picture.logOf(service).includes(text) ? 200 : 404,
    text,
  })
  await expect(
    '  for that, FastAPI calls Django',
    [200, 'accepted'],
    line('billing', '/invoices orders-service accepted'),
  )
  await expect(
    '  and Django calls FastAPI back',
    [200, 'accepted'],
    line('orders', '/orders/1 billing-service accepted'),
  )
  await expect('shop reads the orders', [200, '"tea"'], send(get(`${orders}/orders`, token), 'shop'))
  const billingToken = await tokens.token('https://billing.example.com')
  await expect(
    'shop reads the invoices',
    [200, '"order":1'],
    send(get(`${billing}/invoices`, billingToken), 'shop'),
  )
  const proven = await callWithProof(picture)
  await expect('shop proves a key too (DPoP)', [200, '"tea"'], send(proven, 'shop'))

  const asForm = { 'content-type': 'application/x-www-form-urlencoded' }
  const body = `grant_type=client_credentials&client_id=shop&resource=${encodeURIComponent(ordersAudience)}`
  const tokenRequest: Call = { method: 'POST', url: `${mintmark}/token`, headers: asForm, body }
  const failed: Expected = [400, 'authentication failed']
  await expect('no certificate, at Mintmark', failed, send(tokenRequest))
  await expect("a stranger's certificate, at Mintmark", failed, send(tokenRequest, 'stranger'))
  const refused: Expected = [0, 'without an answer']
  await expect('no certificate, at FastAPI', refused, send(get(`${orders}/orders`, token)))
  await expect('no certificate, at Django', refused, send(get(`${billing}/invoices`, billingToken)))
  await expect('no token, at FastAPI', [401, 'Send an access token'], send(get(`${orders}/orders`), 'shop'))
  await expect('no token, at Django', [401, 'Send an access token'], send(get(`${billing}/invoices`), 'shop'))
  await expect(
    'a token for FastAPI, at Django',
    [401, 'another audience'],
    send(get(`${billing}/invoices`, token), 'shop'),
  )
  const writing = await tokens.token(ordersAudience, 'orders:write')
  await expect(
    'a token without the scope',
    [403, 'lacks a scope'],
    send(get(`${orders}/orders`, writing), 'shop'),
  )
  const expired = get(`${orders}/orders`, picture.expiredToken)
  await expect('a token that has expired', [401, 'has expired'], send(expired, 'shop'))
  const stolen = get(`${orders}/orders`, token)
  await expect(
    "a token with a stranger's certificate",
    [401, 'another certificate'],
    send(stolen, 'stranger'),
  )
  await expect('the DPoP proof of before again', [401, 'used before'], send(proven, 'shop'))
  await expect('the signed order of before again', [401, 'sent before'], send(order, 'shop'))
  const altered = { ...signedOrder(picture, token), body: '{"item":"tea","amount":1}' }
  await expect('a signed order with another amount', [401, 'another digest'], send(altered, 'shop'))
  const { authorization = '', 'content-type': contentType = '' } = order.headers
  const unsigned = { ...order, headers: { authorization, 'content-type': contentType } }
  await expect('an order that is not signed', [401, 'has to be signed'], send(unsigned, 'shop'))

  // None of that ordered anything.
  const one: Expected = [200, '"invoice":1}]']
  await expect('after all that, one order', one, send(get(`${orders}/orders`, token), 'shop'))
  return rows
}

/** Where the shop gets its tokens. Its certificate proves who it is, and the tokens are bound to that certificate. */
export function tokensOfShop(
  { mintmark, ca }: Pick<Picture, 'mintmark' | 'ca'>,
  more: Partial<TokenSourceOptions> = {},
): TokenSource {
  return createTokenSource({
    issuer: mintmark,
    clientId: 'shop',
    certificate: { certificateFile: join(ca, 'shop/tls.crt'), privateKeyFile: join(ca, 'shop/tls.key') },
    caFile: join(ca, 'ca.crt'),
    ...more,
  })
}

/** An order, signed by the key of the shop's certificate: method, URL, token and body (RFC 9421). */
function signedOrder({ orders, ca }: Picture, token: string): Call {
  const call = { method: 'POST', url: `${orders}/orders`, body: '{"item":"tea","amount":7}' } as const
  const headers = new Headers({ authorization: `Bearer ${token}`, 'content-type': 'application/json' })
  signRequest(
    { method: call.method, url: call.url, headers, body: Buffer.from(call.body) },
    { key: readFileSync(join(ca, 'shop/tls.key'), 'utf8') },
    { nowSeconds: Date.now() / 1000 },
  )
  return { ...call, headers: Object.fromEntries(headers) }
}

/** A call with a token that is bound to a key, and a proof for this one call by that key (RFC 9449). */
async function callWithProof(picture: Picture): Promise<Call> {
  const url = `${picture.orders}/orders`
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const token = await tokensOfShop(picture, { dpop: { privateKey } }).token(ordersAudience)
  const ath = createHash('sha256').update(token).digest('base64url')
  const proof = await new SignJWT({ htm: 'GET', htu: url, jti: randomUUID(), ath })
    .setProtectedHeader({ typ: 'dpop+jwt', alg: 'ES256', jwk: await exportJWK(publicKey) })
    .setIssuedAt()
    .sign(privateKey)
  return { method: 'GET', url, headers: { authorization: `DPoP ${token}`, dpop: proof } }
}

/** Sends a call on a connection of its own. */
export function sendOver(
  ca: string,
  { method, url, headers, body }: Call,
  machine?: string,
): Promise<Answer> {
  const own =
    machine === undefined
      ? {}
      : { cert: readFileSync(join(ca, machine, 'tls.crt')), key: readFileSync(join(ca, machine, 'tls.key')) }
  return new Promise((resolve, reject) => {
    const sent = request(url, { method, headers, agent: false, ca: readFileSync(join(ca, 'ca.crt')), ...own })
    sent.once('error', (error: NodeJS.ErrnoException) => {
      const isClosed = /^(ERR_SSL_.*CERTIFICATE_REQUIRED|ECONNRESET|EPIPE)$/.test(error.code ?? '')
      if (isClosed) resolve({ status: 0, text: 'the connection, without an answer' })
      else reject(error)
    })
    sent.once('response', async (response) => {
      const chunks: Buffer[] = []
      for await (const chunk of response) chunks.push(chunk as Buffer)
      resolve({ status: response.statusCode ?? 0, text: textOf(Buffer.concat(chunks).toString()) })
    })
    sent.end(body)
  })
}

/** What a refusal says in words, or the whole answer. */
function textOf(body: string): string {
  try {
    const answer = JSON.parse(body)
    return (answer.detail ?? answer).error_description ?? JSON.stringify(answer)
  } catch {
    return body
  }
}
