/** A token that is bound to a key, from the service to a relying service: with our client library and our verifier, and in the hands of a thief. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect } from 'vitest'
import { createTokenSource } from '../../packages/client/src/index.ts'
import { createVerifier, requireToken } from '../../packages/verifier/src/index.ts'
import { makeKey, signed } from '../support/assertion.ts'
import { proofOf, requestWithProof } from '../support/dpop.ts'
import { test } from '../support/fixtures.ts'
import { orders, registerClient } from '../support/service.ts'

test('who has the token and not the key can do nothing with it', async ({
  database,
  startService,
  onTestFinished,
}) => {
  const { url: issuer } = await startService({ environment: { MINTMARK_DPOP_NONCES: 'yes' } })
  const { clientId, secret: clientSecret } = await registerClient(database)
  await database.query('UPDATE client SET dpop_bound_access_tokens = true')
  const seen: { authorization: string; proof: string }[] = []
  const server = createServer(async (request, response) => {
    const { authorization = '', dpop = '' } = request.headers
    seen.push({ authorization, proof: String(dpop) })
    if ((await guard(request, response)) !== undefined) response.end('orders')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const guard = requireToken(createVerifier({ issuer, audience: orders, origin }), { scope: 'orders:read' })

  const tokens = createTokenSource({ issuer, clientId, clientSecret, dpop: true })
  const fetchOrders = tokens.fetchFor(orders, 'orders:read', { origins: [origin] })
  expect(await (await fetchOrders(`${origin}/orders`)).text()).toBe('orders')
  expect((await fetchOrders(`${origin}/orders`)).status).toBe(200)

  const { authorization = '', proof = '' } = seen.at(-1) ?? {}
  const token = authorization.replace(/^DPoP /, '')
  const thief = makeKey('ES256')
  const ath = createHash('sha256').update(token).digest('base64url')
  const own = proofOf(thief, `${origin}/orders`, { claims: { htm: 'GET', ath } })
  const attempt = async (headers: Record<string, string>, path = '/orders'): Promise<number> =>
    (await fetch(`${origin}${path}`, { headers })).status
  expect(authorization).toMatch(/^DPoP /)
  expect(await attempt({ authorization: `Bearer ${token}` })).toBe(401)
  expect(await attempt({ authorization: `DPoP ${token}` })).toBe(401)
  expect(await attempt({ authorization: `DPoP ${token}`, dpop: proof })).toBe(401)
  expect(await attempt({ authorization: `DPoP ${token}`, dpop: proof }, '/orders/1')).toBe(401)
  expect(await attempt({ authorization: `DPoP ${token}`, dpop: own })).toBe(401)
  // The proofs of an API are none for the token endpoint, also with the secret.
  const again = await requestWithProof(issuer, { clientId, secretId: '', secret: clientSecret }, proof)
  expect(again.status).toBe(400)
  // Nor is a proof an assertion, or the other way round.
  const assertion = signed(
    thief,
    { alg: 'ES256', typ: 'JWT', jwk: thief.publicJwk },
    { iss: clientId, sub: clientId },
  )
  expect(
    (await requestWithProof(issuer, { clientId, secretId: '', secret: clientSecret }, assertion)).status,
  ).toBe(400)
})
