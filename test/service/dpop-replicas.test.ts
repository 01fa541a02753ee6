/** Proofs (RFC 9449) on several replicas: behind another URL, counted once, with nonces; and from a library that nobody here wrote. */
import * as openid from 'openid-client'
import { describe, expect } from 'vitest'
import { assertionOf, makeKey, registerKeyClient, requestTokenWith } from '../support/assertion.ts'
import { answerOf, confirmationOf, proofOf, requestWithProof } from '../support/dpop.ts'
import { test } from '../support/fixtures.ts'
import { registerClient, requestToken, type TestClient, type TestService } from '../support/service.ts'

const key = makeKey('ES256')
const clientKey = makeKey('ES256', 'k')
const issuer = 'https://tokens.example.com/eu'

test('behind another URL with a path, the proof names that one', async ({ startService, database }) => {
  const service = await startService({ environment: { MINTMARK_ISSUER: issuer } })
  const client = await registerClient(database)
  expect((await requestWithProof(service.url, client, proofOf(key, `${issuer}/token`))).status).toBe(200)
  for (const htu of [`${service.url}/token`, 'https://tokens.example.com/token', `${service.url}/eu/token`]) {
    expect((await requestWithProof(service.url, client, proofOf(key, htu))).status).toBe(400)
  }
})

test('a proof counts once: on two replicas at once, and after a restart', async ({
  startService,
  database,
}) => {
  const environment = { MINTMARK_ISSUER: issuer }
  const first = await startService({ environment })
  const second = await startService({ environment })
  const client = await registerClient(database)
  for (const { url } of [first, second]) expect((await requestToken(url, client)).status).toBe(200)
  const proof = proofOf(key, `${issuer}/token`)
  const responses = await Promise.all(
    Array.from({ length: 50 }, (_, index) =>
      requestWithProof((index % 2 === 0 ? first : second).url, client, proof),
    ),
  )
  const statuses = responses.map(({ status }) => status)
  const tokens = statuses.filter((status) => status === 200).length
  expect(tokens).toBeLessThanOrEqual(1)
  // A machine that is too slow for a commit answers 503, and then the proof may be used up.
  if (!statuses.includes(503)) expect(tokens).toBe(1)
  await first.close()
  const again = await startService({ environment })
  for (const { url } of [again, second]) expect((await requestWithProof(url, client, proof)).status).toBe(400)
  const [row] = await database.query<{ issued: number; reasons: string[] }>(
    `SELECT count(*) FILTER (WHERE detail LIKE '%jkt%')::int AS issued,
            array_agg(DISTINCT reason) FILTER (WHERE reason <> 'ledger_unavailable') AS reasons
       FROM audit_record WHERE type = 'token' AND client_id = $1`,
    [client.clientId],
  )
  expect(row).toEqual({ issued: tokens, reasons: ['dpop_proof_replayed'] })
})

describe('openid-client', () => {
  async function configure({ url }: TestService, { clientId, secret }: TestClient) {
    return await openid.discovery(new URL(url), clientId, undefined, openid.ClientSecretBasic(secret), {
      execute: [openid.allowInsecureRequests],
    })
  }

  test('gets tokens that are bound to its key', async ({ startService, database }) => {
    const running = await startService()
    const client = await registerClient(database)
    await database.query('UPDATE client SET dpop_bound_access_tokens = true')
    const configuration = await configure(running, client)
    const DPoP = openid.getDPoPHandle(configuration, await openid.randomDPoPKeyPair('ES256'))
    const answer = await openid.clientCredentialsGrant(configuration, {}, { DPoP })
    expect(answer.token_type).toBe('dpop')
    expect(confirmationOf(answer.access_token)).toEqual({ jkt: await DPoP.calculateThumbprint() })
  })

  test('and with nonces, on two replicas and by every algorithm', async ({ startService, database }) => {
    const nonces = { MINTMARK_DPOP_NONCES: 'yes' }
    const first = await startService({ environment: nonces })
    const second = await startService({ environment: { ...nonces, MINTMARK_ISSUER: first.url } })
    const client = await registerClient(database)
    const assertionClient = await registerKeyClient(database, [clientKey])
    const configuration = await configure(first, client)
    // The second replica answers every other request.
    let asked = 0
    configuration[openid.customFetch] = (url, options) => {
      asked += 1
      const target = asked % 2 === 0 ? url.replace(first.url, second.url) : url
      return fetch(target, options as RequestInit)
    }
    for (const algorithm of ['ES256', 'Ed25519', 'PS256'] as const) {
      const DPoP = openid.getDPoPHandle(configuration, await openid.randomDPoPKeyPair(algorithm))
      for (let token = 0; token < 3; token += 1) {
        const answer = await openid.clientCredentialsGrant(configuration, {}, { DPoP })
        expect(answer.token_type).toBe('dpop')
      }
    }
    // One refusal that brings the nonce for each key, and none after it.
    expect(asked).toBe(3 * 4)
    const reasons = await database.query(`SELECT DISTINCT reason FROM audit_record WHERE outcome = 'refused'`)
    expect(reasons).toEqual([{ reason: 'dpop_nonce_missing' }])

    const refused = await requestWithProof(first.url, client, proofOf(key, `${first.url}/token`))
    expect([refused.status, (await answerOf(refused)).error]).toEqual([400, 'use_dpop_nonce'])
    const nonce = refused.headers.get('dpop-nonce')
    const issued = await requestWithProof(
      second.url,
      client,
      proofOf(key, `${first.url}/token`, { claims: { nonce } }),
    )
    expect([issued.status, issued.headers.get('dpop-nonce')]).toEqual([
      200,
      expect.stringMatching(/^[\w-]{30}$/),
    ])
    const wrong = await requestWithProof(
      second.url,
      client,
      proofOf(key, `${first.url}/token`, { claims: { nonce: 'x' } }),
    )
    expect((await answerOf(wrong)).error).toBe('use_dpop_nonce')
    // Who sends no proof needs no nonce, and learns none.
    const plain = await requestTokenWith(
      first.url,
      assertionOf(clientKey, assertionClient.clientId, first.url),
    )
    expect([plain.status, plain.headers.get('dpop-nonce')]).toEqual([200, null])
  })
})
