import { constants, createPublicKey, generateKeyPairSync, sign } from 'node:crypto'
import { expect, test } from 'vitest'
import { isSignedBy } from '../src/keys.ts'

const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })

test.each([
  ['PS256', constants.RSA_PKCS1_PSS_PADDING],
  ['RS256', constants.RSA_PKCS1_PADDING],
] as const)(
  '%s: a signature whose leading zero is cut off is another text, and no signature',
  (algorithm, padding) => {
    const saltLength = constants.RSA_PSS_SALTLEN_DIGEST
    let data = Buffer.alloc(0)
    let signature = Buffer.from([1])
    for (let count = 0; signature[0] !== 0; count += 1) {
      data = Buffer.from(`data ${count}`)
      signature = sign('sha256', data, { key: privateKey, padding, saltLength })
    }
    const key = { algorithm, publicKey: createPublicKey(publicKey.export({ type: 'spki', format: 'pem' })) }
    expect(isSignedBy(key as Parameters<typeof isSignedBy>[0], data, signature)).toBe(true)
    expect(isSignedBy(key as Parameters<typeof isSignedBy>[0], data, signature.subarray(1))).toBe(false)
  },
)
