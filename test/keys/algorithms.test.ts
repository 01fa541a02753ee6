/** Each algorithm signs what others verify, with nothing but the key as it is published. */
import { createPrivateKey, createPublicKey } from 'node:crypto'
import { calculateJwkThumbprint, createLocalJWKSet, exportJWK, importJWK, jwtVerify } from 'jose'
import { describe, expect, test } from 'vitest'
import { algorithms } from '../../src/keys/algorithms.ts'
import { toSigner } from '../../src/keys/keyring.ts'
import { signingAlgorithms } from '../../src/keys/signing-algorithm.ts'

const now = 1_800_000_000
const claims = {
  iss: 'https://tokens.example.com',
  aud: 'https://orders.example.com',
  sub: 'billing',
  exp: now + 300,
}
const expected = {
  issuer: claims.iss,
  audience: claims.aud,
  typ: 'at+jwt',
  currentDate: new Date(now * 1_000),
}

describe.each(signingAlgorithms)('%s', (algorithm) => {
  test('is verified by jose with the published key, twenty times, and by no other key or algorithm', async () => {
    const pair = await algorithms[algorithm].generate()
    const other = await algorithms[algorithm].generate()
    const jwk = await exportJWK(pair.publicKey)
    const kid = await calculateJwkThumbprint(jwk)
    const published = { ...jwk, kid, use: 'sig', alg: algorithm }
    expect(Object.keys(published)).not.toContain('d')
    const signer = toSigner({ algorithm, kid, privateKey: pair.privateKey }, 0)
    const set = createLocalJWKSet({ keys: [published] })
    for (let round = 0; round < 20; round += 1) {
      const token = signer.sign(JSON.stringify({ ...claims, round }), 'at+jwt')
      const { payload, protectedHeader } = await jwtVerify(token, set, {
        ...expected,
        algorithms: [algorithm],
      })
      expect(payload).toEqual({ ...claims, round })
      expect(protectedHeader).toEqual({ alg: algorithm, typ: 'at+jwt', kid })
    }
    const token = signer.sign(JSON.stringify(claims), 'at+jwt')
    const wrong = await importJWK({ ...(await exportJWK(other.publicKey)), alg: algorithm })
    await expect(jwtVerify(token, wrong, expected)).rejects.toThrow('signature verification failed')
    const others = signingAlgorithms.filter((each) => each !== algorithm)
    await expect(jwtVerify(token, set, { ...expected, algorithms: others })).rejects.toThrow()
    const changed = `${token.slice(0, -3)}${token.at(-3) === 'A' ? 'B' : 'A'}${token.slice(-2)}`
    await expect(jwtVerify(changed, set, expected)).rejects.toThrow()
  })

  test('keeps its private key through the form it is stored in', async () => {
    const pair = await algorithms[algorithm].generate()
    const stored = pair.privateKey.export({ format: 'der', type: 'pkcs8' })
    const privateKey = createPrivateKey({ key: stored, format: 'der', type: 'pkcs8' })
    const token = toSigner({ algorithm, kid: 'key-1', privateKey }, 0).sign(JSON.stringify(claims), 'at+jwt')
    await expect(jwtVerify(token, pair.publicKey, expected)).resolves.toBeDefined()
    expect(createPublicKey(privateKey).export({ format: 'jwk' })).toEqual(
      pair.publicKey.export({ format: 'jwk' }),
    )
  })
})

test('RSA keys have 2048 bits (RFC 7518 §3.3)', async () => {
  for (const algorithm of ['PS256', 'RS256'] as const) {
    const { publicKey } = await algorithms[algorithm].generate()
    expect(publicKey.asymmetricKeyDetails).toMatchObject({ modulusLength: 2_048, publicExponent: 65_537n })
  }
})
