/** A private key is handed out only if its row is whole: sealed with a key at hand, and the one that the row shows. */
import { createPublicKey, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto'
import { calculateJwkThumbprint, exportJWK } from 'jose'
import { describe, expect, test } from 'vitest'
import { keyEncryptionKey, seal } from '../../src/keys/seal.ts'
import { type KeyRow, openKey } from '../../src/keys/store.ts'

const sealing = keyEncryptionKey(Buffer.alloc(32, 1), '/etc/key')
const other = keyEncryptionKey(Buffer.alloc(32, 2))

async function rowOf(key: KeyObject, changes: { kid?: string; plain?: Buffer } = {}): Promise<KeyRow> {
  const jwk = await exportJWK(createPublicKey(key))
  const kid = changes.kid ?? (await calculateJwkThumbprint(jwk))
  const plain = changes.plain ?? key.export({ format: 'der', type: 'pkcs8' })
  return {
    kid,
    algorithm: 'EdDSA',
    generation: 1,
    publicJwk: { ...jwk, kid, use: 'sig', alg: 'EdDSA' },
    sealedPrivateKey: seal(sealing, plain, `mintmark signing key ${kid} EdDSA`),
    keyEncryptionKeyId: sealing.id,
    publishedAt: 100,
    signsFrom: 200,
    signsUntil: 300,
    publishedUntil: 400,
    revokedAt: undefined,
  }
}

const { privateKey } = generateKeyPairSync('ed25519')
const row = await rowOf(privateKey)
const { kid } = row
const noKey = await rowOf(privateKey, { plain: randomBytes(48) })
const another = await rowOf(generateKeyPairSync('ed25519').privateKey)
const renamed = await rowOf(privateKey, { kid: another.kid })

test('a key is opened with the key-encryption key that sealed it, whichever others are at hand', async () => {
  for (const keys of [[sealing], [sealing, other], [other, sealing]]) {
    expect((await openKey(row, keys)).equals(privateKey)).toBe(true)
  }
})

describe('a key does not open', () => {
  test.each([
    ['no key-encryption key', [], [], 'configuration'],
    ['another one', [other], [other.id], 'configuration'],
    [
      'others from a file',
      [keyEncryptionKey(Buffer.alloc(32, 3), '/etc/old'), other],
      [keyEncryptionKey(Buffer.alloc(32, 3)).id, other.id],
      '/etc/old',
    ],
  ])('with %s at hand, and the refusal names what there is', async (_what, keys, atHand, source) => {
    await expect(openKey(row, keys)).rejects.toMatchObject({
      code: 'key_encryption_key_differs',
      fields: { kid, keyEncryptionKeyId: sealing.id, atHand, source },
    })
  })

  const cases: readonly (readonly [what: string, row: KeyRow])[] = [
    ['whose sealed part is another row’s', { ...row, sealedPrivateKey: another.sealedPrivateKey }],
    ['whose sealed part was cut', { ...row, sealedPrivateKey: row.sealedPrivateKey.subarray(0, -1) }],
    ['that is no key when it is opened', noKey],
    ['of another algorithm', { ...row, algorithm: 'ES256' }],
    ['that shows another public key', { ...row, publicJwk: { ...another.publicJwk, kid } }],
    ['that shows another name', { ...row, publicJwk: { ...row.publicJwk, kid: another.kid } }],
    ['that shows another use', { ...row, publicJwk: { ...row.publicJwk, use: 'enc' } }],
    ['whose name is not made of it, wherever it stands', renamed],
  ]
  test.each(cases)('%s', async (_what, damaged) => {
    await expect(openKey(damaged, [sealing])).rejects.toMatchObject({
      code: 'signing_key_damaged',
      fields: { kid: damaged.kid },
    })
  })

  test('and the reason is told', async () => {
    const cut = { ...row, sealedPrivateKey: row.sealedPrivateKey.subarray(0, 5) }
    await expect(openKey(cut, [sealing])).rejects.toMatchObject({
      cause: { message: expect.stringContaining('truncated') },
    })
  })
})
