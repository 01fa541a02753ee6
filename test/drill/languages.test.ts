/** What one language makes, the other one accepts: tokens with DPoP proofs, and signed requests. */
import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { describe, expect } from 'vitest'
import { DpopProver } from '../../packages/client/src/dpop.ts'
import { signRequest } from '../../packages/client/src/index.ts'
import { readPrivateKey, signJwt } from '../../packages/client/src/key.ts'
import { openPythonEnvironment } from '../../packages/python/test/environment.ts'
import { createRequestVerifier, createVerifier } from '../../packages/verifier/src/index.ts'
import { test } from '../support/fixtures.ts'

const environment = openPythonEnvironment()
const issuer = 'https://tokens.example.com'
const audience = 'https://orders.example.com'
const url = `${audience}/orders?page=1&text=%20a%2Fb`
const body = '{"amount":7}'

/** One call: a token with its proof, and the request signed by the same key, or under a secret. */
interface Call {
  readonly token: string
  readonly proof: string
  readonly headers: readonly (readonly [string, string])[]
  readonly key: Record<string, unknown>
}

const makeCalls = `
import json, sys, time
import jwt
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from mintmark import DpopKey
from mintmark.signing import RequestSigner
issuer_key = load_pem_private_key(open(sys.argv[1], "rb").read(), None)
issuer, audience, url, body = sys.argv[2:]
calls = []
for kind in ("P-256", "Ed25519", "secret"):
    key = DpopKey()
    now = int(time.time())
    claims = {"iss": issuer, "aud": audience, "sub": "billing", "client_id": "billing", "jti": kind, "iat": now, "exp": now + 300}
    headers = {"typ": "at+jwt", "kid": "k"}
    token = jwt.encode({**claims, "cnf": {"jkt": key.thumbprint}}, issuer_key, "ES256", headers)
    proof = key.proof("POST", url, token)
    jwk = {**jwt.get_unverified_header(proof)["jwk"], "alg": "ES256", "kid": key.thumbprint}
    signer = RequestSigner(key.private_key)
    if kind == "Ed25519":
        private = ed25519.Ed25519PrivateKey.generate()
        jwk = {**jwt.algorithms.OKPAlgorithm.to_jwk(private.public_key(), as_dict=True), "alg": "EdDSA"}
        signer = RequestSigner(private)
        jwk["kid"] = signer.keyid
    if kind == "secret":
        jwk = {"kty": "oct", "alg": "HS256", "kid": "shared", "k": "A" * 43}
        signer = RequestSigner(bytes(32), keyid="shared")
    fields = [("authorization", f"DPoP {token}"), ("content-type", "application/json")]
    signed = signer.headers("POST", url, fields, body.encode())
    calls.append({"token": token, "proof": proof, "headers": [*fields, *signed.items()], "key": jwk})
print(json.dumps(calls))
`

const acceptCalls = `
import json, sys
import httpx
from mintmark import Dpop, Verifier
from mintmark.signatures import RequestVerifier, SignatureKey
given = json.load(open(sys.argv[1]))
issuer, audience, url, body = sys.argv[2:]
transport = httpx.MockTransport(lambda _: httpx.Response(200, json={"keys": [given["issuerKey"]]}))
verifier = Verifier(issuer=issuer, audience=audience, transport=transport)
for call in given["calls"]:
    claims = verifier.verify(call["token"], dpop=Dpop(call["proof"], "POST", url))
    requests = RequestVerifier([SignatureKey.from_jwk(call["key"])])
    print(claims.subject, requests.verify("POST", url, call["headers"], body.encode()))
`

describe.skipIf(typeof environment === 'string')('Python and TypeScript', () => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const issuerKey = { ...publicKey.export({ format: 'jwk' }), kid: 'k', alg: 'ES256', use: 'sig' }

  test('what Python makes, our verifier in TypeScript accepts', async ({ files }) => {
    if (typeof environment === 'string') return
    writeFileSync(files.path('issuer.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }))
    const made = environment.run('python', [
      '-c',
      makeCalls,
      files.path('issuer.pem'),
      issuer,
      audience,
      url,
      body,
    ])
    expect(made.ok, made.output).toBe(true)
    const calls = JSON.parse(made.output) as readonly Call[]
    const verifier = createVerifier({ issuer, audience, keys: { keys: [issuerKey] } })
    for (const { token, proof, headers, key } of calls) {
      const dpop = { proof, method: 'POST', url }
      expect(await verifier.verify(token, { dpop })).toMatchObject({ sub: 'billing' })
      const requests = createRequestVerifier({ keys: { keys: [key] } })
      const request = { method: 'POST', url, headers, body }
      expect(await requests.verify(request)).toEqual({ keyid: key['kid'] })
      await expect(requests.verify(request)).rejects.toMatchObject({ code: 'request_replayed' })
    }
    expect(calls).toHaveLength(3)
  })

  test('what our client in TypeScript makes, Python accepts', ({ files }) => {
    if (typeof environment === 'string') return
    const nowSeconds = Math.floor(Date.now() / 1000)
    const calls = ['P-256', 'Ed25519', 'secret'].map((kind): Call => {
      const pair =
        kind === 'Ed25519'
          ? generateKeyPairSync('ed25519')
          : generateKeyPairSync('ec', { namedCurve: 'P-256' })
      const key = readPrivateKey(pair.privateKey)
      const token = signJwt(
        readPrivateKey(privateKey),
        { typ: 'at+jwt', kid: 'k' },
        {
          iss: issuer,
          aud: audience,
          sub: 'billing',
          client_id: 'billing',
          jti: kind,
          iat: nowSeconds,
          exp: nowSeconds + 300,
          cnf: { jkt: key.thumbprint },
        },
      )
      const proof = new DpopProver(key, { nowSeconds: () => nowSeconds }).prove('POST', url, token)
      const headers = new Headers({ authorization: `DPoP ${token}`, 'content-type': 'application/json' })
      const request = { method: 'POST', url, headers, body: Buffer.from(body) }
      const secret = createHash('sha256').update(randomBytes(32)).digest()
      signRequest(request, kind === 'secret' ? { secret, keyId: 'shared' } : { key }, { nowSeconds })
      const shared = { kty: 'oct', alg: 'HS256', kid: 'shared', k: secret.toString('base64url') }
      const own = { ...key.publicJwk, alg: key.algorithm, kid: key.thumbprint }
      return { token, proof, headers: [...headers], key: kind === 'secret' ? shared : own }
    })
    writeFileSync(files.path('calls.json'), JSON.stringify({ issuerKey, calls }))
    const accepted = environment.run('python', [
      '-c',
      acceptCalls,
      files.path('calls.json'),
      issuer,
      audience,
      url,
      body,
    ])
    expect(accepted.ok, accepted.output).toBe(true)
    expect(accepted.output.trim().split('\n')).toEqual(calls.map(({ key }) => `billing ${key['kid']}`))
  })
})
