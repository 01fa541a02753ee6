/** Tokens that are bound to a key (RFC 9449), over real HTTP: what is issued, refused and recorded. */
import { describe, expect } from 'vitest'
import { assertionOf, assertionType, makeKey, registerKeyClient } from '../support/assertion.ts'
import { answerOf, confirmationOf, type ProofChanges, proofOf, requestWithProof } from '../support/dpop.ts'
import { sharedTest } from '../support/fixtures.ts'
import {
  basic,
  exchange,
  registerClient,
  requestToken,
  startService,
  type TestService,
} from '../support/service.ts'

const key = makeKey('ES256')
const clientKey = makeKey('ES256', 'k')

const test = sharedTest
  .extend('running', { scope: 'file' }, async ({ database }, { onCleanup }) => {
    const running = await startService({ database })
    onCleanup(() => running.close())
    return running
  })
  .extend('client', { scope: 'file' }, ({ running: { database } }) => registerClient(database))
  .extend('bound', { scope: 'file' }, async ({ running: { database } }) => {
    const client = await registerClient(database)
    await database.query('UPDATE client SET dpop_bound_access_tokens = true WHERE client_id = $1', [
      client.clientId,
    ])
    return client
  })

interface RecordRow {
  outcome: string
  error: string | null
  reason: string | null
  client_id: string | null
  detail: string | null
}

async function recordOf({ database }: TestService, response: Response): Promise<RecordRow> {
  const id = response.headers.get('x-request-id')
  const rows = await database.query<RecordRow>('SELECT * FROM audit_record WHERE request_id = $1', [id])
  expect(rows, 'exactly one record for a request').toHaveLength(1)
  return rows[0] as RecordRow
}

const uriOf = ({ url }: TestService): string => `${url}/token`

describe('a token', () => {
  test.for(['ES256', 'EdDSA', 'PS256', 'RS256'] as const)(
    'is bound to the key of its proof, by %s, and its record says so',
    async (algorithm, { running, client }) => {
      const own = makeKey(algorithm)
      const response = await requestWithProof(running.url, client, proofOf(own, uriOf(running)))
      expect(response.status).toBe(200)
      expect(response.headers.get('dpop-nonce')).toBeNull()
      const answer = await answerOf(response)
      expect(answer.token_type).toBe('DPoP')
      expect(confirmationOf(answer.access_token)).toEqual({ jkt: own.thumbprint })
      const { outcome, detail } = await recordOf(running, response)
      expect([outcome, JSON.parse(detail ?? '')]).toEqual(['issued', { jkt: own.thumbprint }])
    },
  )

  test('without a proof is a bearer token', async ({ running, client }) => {
    const response = await requestToken(running.url, client)
    const answer = await answerOf(response)
    expect([answer.token_type, confirmationOf(answer.access_token)]).toEqual(['Bearer', undefined])
    expect((await recordOf(running, response)).detail).toBeNull()
  })

  test('of a client that must bring a proof', async ({ running, bound }) => {
    expect((await requestWithProof(running.url, bound, proofOf(key, uriOf(running)))).status).toBe(200)
    const without = await requestToken(running.url, bound)
    expect([without.status, (await answerOf(without)).error]).toEqual([400, 'invalid_request'])
    expect((await recordOf(running, without)).reason).toBe('dpop_proof_missing')
  })

  test('by an assertion and a proof: both identifiers are used up', async ({ running }) => {
    const { clientId } = await registerKeyClient(running.database, [clientKey])
    const request = (assertion: string, proof: string) =>
      fetch(uriOf(running), {
        method: 'POST',
        headers: { dpop: proof },
        body: new URLSearchParams({
          grant_type: 'client_credentials',
          client_assertion_type: assertionType,
          client_assertion: assertion,
        }),
      })
    const assertion = () => assertionOf(clientKey, clientId, running.url)
    const proof = () => proofOf(key, uriOf(running))
    const [firstAssertion, firstProof, secondAssertion, secondProof] = [
      assertion(),
      proof(),
      assertion(),
      proof(),
    ]
    const issued = await request(firstAssertion, firstProof)
    expect((await answerOf(issued)).token_type).toBe('DPoP')
    const reasons: (string | null)[] = []
    for (const response of [
      await request(firstAssertion, secondProof),
      await request(secondAssertion, firstProof),
    ]) {
      expect(response.status).toBe(400)
      reasons.push((await recordOf(running, response)).reason)
    }
    expect(reasons).toEqual(['assertion_replayed', 'dpop_proof_replayed'])
    // What was refused is not used up.
    expect((await request(secondAssertion, secondProof)).status).toBe(200)
  })
})

describe('a refusal', () => {
  const refused: readonly (readonly [string, ProofChanges | string])[] = [
    ['dpop_proof_malformed', 'no proof'],
    ['dpop_type_wrong', { header: { typ: 'JWT' } }],
    ['dpop_key_unusable', { header: { jwk: { ...key.publicJwk, d: 'AAAA' } } }],
    [
      'dpop_key_unusable',
      { header: { jwk: { ...key.publicJwk, y: Buffer.alloc(32, 7).toString('base64url') } } },
    ],
    ['dpop_claims_malformed', { claims: { htm: undefined } }],
    ['dpop_signature_wrong', { header: { jwk: clientKey.publicJwk } }],
    ['dpop_method_wrong', { claims: { htm: 'GET' } }],
    ['dpop_uri_wrong', { claims: { htu: 'https://tokens.example.com/token' } }],
    ['dpop_proof_expired', { claims: { iat: Math.floor(Date.now() / 1000) - 3_600 } }],
    ['dpop_proof_not_yet_valid', { claims: { iat: Math.floor(Date.now() / 1000) + 3_600 } }],
  ]
  test.for(refused)('%s is told and recorded', async ([reason, changes], { running, client }) => {
    const proof = typeof changes === 'string' ? changes : proofOf(key, uriOf(running), changes)
    const response = await requestWithProof(running.url, client, proof)
    expect([response.status, (await answerOf(response)).error]).toEqual([400, 'invalid_dpop_proof'])
    const record = await recordOf(running, response)
    expect(record).toMatchObject({ outcome: 'refused', error: 'invalid_dpop_proof', reason })
    expect(record.client_id).toBe(client.clientId)
  })

  test('of two headers', async ({ running, client: { clientId, secret } }) => {
    const proof = proofOf(key, uriOf(running))
    const body = 'grant_type=client_credentials'
    const answer = await exchange(
      running.url,
      `POST /token HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: ${basic(clientId, secret)}\r\n` +
        `DPoP: ${proof}\r\ndpop: ${proof}\r\nContent-Type: application/x-www-form-urlencoded\r\n` +
        `Content-Length: ${body.length}\r\n\r\n${body}`,
    )
    expect(answer).toMatch(/^HTTP\/1.1 400 /)
    expect(answer).toContain('"error":"invalid_dpop_proof"')
  })

  test('of a proof for the host that the request names: only the issuer counts', async ({
    running,
    client: { clientId, secret },
  }) => {
    const ask = (htu: string) => {
      const body = 'grant_type=client_credentials'
      return exchange(
        running.url,
        `POST /token HTTP/1.1\r\nHost: evil.example.com\r\nConnection: close\r\n` +
          `X-Forwarded-Host: evil.example.com\r\nX-Forwarded-Proto: https\r\n` +
          `Authorization: ${basic(clientId, secret)}\r\nDPoP: ${proofOf(key, htu)}\r\n` +
          `Content-Type: application/x-www-form-urlencoded\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      )
    }
    for (const scheme of ['http', 'https']) {
      expect(await ask(`${scheme}://evil.example.com/token`)).toContain('invalid_dpop_proof')
    }
    expect(await ask(uriOf(running))).toMatch(/^HTTP\/1.1 200 /)
  })

  test('of who does not authenticate says nothing of the proof', async ({ running, client }) => {
    const other = await registerClient(running.database)
    const proof = proofOf(key, uriOf(running), { claims: { htm: 'GET' } })
    const response = await requestWithProof(running.url, { ...client, secret: other.secret }, proof)
    expect([response.status, (await answerOf(response)).error]).toEqual([401, 'invalid_client'])
  })

  test('of a proof uses nothing up', async ({ running, client }) => {
    const jti = 'kept'
    const wrong = proofOf(key, uriOf(running), { claims: { jti, htm: 'GET' } })
    expect((await requestWithProof(running.url, client, wrong)).status).toBe(400)
    const right = proofOf(key, uriOf(running), { claims: { jti } })
    expect((await requestWithProof(running.url, client, right)).status).toBe(200)
    expect((await requestWithProof(running.url, client, right)).status).toBe(400)
    // Another key has identifiers of its own.
    const ofOther = proofOf(clientKey, uriOf(running), { claims: { jti } })
    expect((await requestWithProof(running.url, client, ofOther)).status).toBe(200)
  })
})

test('the metadata names the algorithms, and not the old one', async ({ running }) => {
  const response = await fetch(`${running.url}/.well-known/oauth-authorization-server`)
  const metadata = (await response.json()) as Record<string, unknown>
  expect(metadata['dpop_signing_alg_values_supported']).toEqual(['ES256', 'EdDSA', 'Ed25519', 'PS256'])
})
