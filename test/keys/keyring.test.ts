/** What is signed here is verified by others, every time: also where a number happens to be short. */
import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto'
import fc from 'fast-check'
import { compactVerify, decodeProtectedHeader, jwtVerify } from 'jose'
import { describe, expect, test } from 'vitest'
import type { Statements } from '../../src/database/open.ts'
import { rawSignature } from '../../src/keys/algorithms.ts'
import { Keyring, toSigner } from '../../src/keys/keyring.ts'
import { keyEncryptionKey, seal } from '../../src/keys/seal.ts'

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const verifiesRaw = (data: Buffer, raw: Buffer, by: KeyObject = publicKey): boolean =>
  verify('sha256', data, { key: by, dsaEncoding: 'ieee-p1363' }, raw)

/** A DER signature of two numbers, each as short as DER wants it. */
function derOf(r: bigint, s: bigint): Buffer {
  const integer = (value: bigint) => {
    const hex = value.toString(16)
    const even = hex.length % 2 === 0 ? hex : `0${hex}`
    const bytes = Buffer.from(/^[89a-f]/.test(even) ? `00${even}` : even, 'hex')
    return Buffer.concat([Buffer.from([0x02, bytes.length]), bytes])
  }
  const both = Buffer.concat([integer(r), integer(s)])
  return Buffer.concat([Buffer.from([0x30, both.length]), both])
}

const rawOf = (r: bigint, s: bigint): Buffer =>
  Buffer.from(r.toString(16).padStart(64, '0') + s.toString(16).padStart(64, '0'), 'hex')

describe('rawSignature (RFC 7518 §3.4)', () => {
  test('of a thousand signatures Node verifies every one, short numbers among them', () => {
    const lengths = new Set<number>()
    for (let index = 0; index < 1_000; index += 1) {
      const data = createHash('sha256').update(String(index)).digest()
      const der = sign('sha256', data, privateKey)
      lengths.add(der.length)
      const raw = rawSignature(der)
      expect(raw.length).toBe(64)
      expect(verifiesRaw(data, raw), der.toString('hex')).toBe(true)
    }
    // 70 to 72 bytes are the usual ones; the shorter the rarer.
    expect(lengths.size).toBeGreaterThanOrEqual(3)
  })

  const most = 2n ** 256n - 1n
  test.each([
    ['one and one', 1n, 1n],
    ['the first bit set', 2n ** 255n, 2n ** 255n],
    ['the first bit just not set', 2n ** 255n - 1n, 2n ** 255n - 1n],
    ['one byte short', 2n ** 248n - 1n, most],
    ['one byte short, the first bit set', most, 2n ** 247n],
    ['eight bytes short', 2n ** 190n, 2n ** 191n],
    ['one byte, its first bit set', 0x80n, 0xffn],
    ['as large as there is', most, most],
  ])('places numbers of every length: %s', (_title, r, s) => {
    expect(rawSignature(derOf(r, s))).toEqual(rawOf(r, s))
  })

  test('places any two numbers', () => {
    // Of every length alike: among random 256-bit numbers hardly any would be short.
    const number = fc.integer({ min: 1, max: 256 }).chain((bits) => fc.bigInt(1n, 2n ** BigInt(bits) - 1n))
    fc.assert(
      fc.property(number, number, (r, s) => {
        expect(rawSignature(derOf(r, s))).toEqual(rawOf(r, s))
      }),
      { numRuns: 1_000 },
    )
  })
})

describe('a signer (RFC 7515 §7.1)', () => {
  const header = { alg: 'ES256', typ: 'at+jwt', kid: 'key-1' }
  const signer = toSigner({ algorithm: 'ES256', kid: 'key-1', privateKey })
  const now = 1_800_000_000
  const claims = {
    iss: 'https://tokens.example.com',
    sub: 'billing',
    aud: 'https://orders.example.com',
    iat: now,
    exp: now + 300,
  }
  const expected = {
    typ: 'at+jwt',
    algorithms: ['ES256'],
    issuer: claims.iss,
    audience: claims.aud,
    currentDate: new Date(now * 1_000),
  }

  test('makes a token that jose verifies, with the type that RFC 9068 §2.1 wants', async () => {
    const token = signer.sign(JSON.stringify(claims), 'at+jwt')
    const { payload, protectedHeader } = await jwtVerify(token, publicKey, expected)
    expect(payload).toEqual(claims)
    expect(protectedHeader).toEqual(header)
  })

  test('and with the type of any JWT, for relying services that refuse the other', async () => {
    const token = signer.sign(JSON.stringify(claims), 'JWT')
    const { protectedHeader } = await jwtVerify(token, publicKey, { ...expected, typ: 'JWT' })
    expect(protectedHeader).toEqual({ ...header, typ: 'JWT' })
  })

  test('signs the claims as they were written, byte for byte, in UTF-8', async () => {
    const text = '{ "sub" : "Grüße 🪙", "n": 1.0 }'
    const { payload } = await compactVerify(signer.sign(text, 'at+jwt'), publicKey)
    expect(new TextDecoder().decode(payload)).toBe(text)
  })

  test('is base64url without padding throughout (RFC 7515 §2)', () => {
    for (let length = 0; length < 20; length += 1) {
      expect(signer.sign(JSON.stringify({ sub: 'x'.repeat(length) }), 'at+jwt')).toMatch(
        /^[\w-]+\.[\w-]+\.[\w-]{86}$/,
      )
    }
  })

  test('does not verify with another key, nor with anything in it changed', async () => {
    const token = signer.sign(JSON.stringify(claims), 'at+jwt')
    const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey
    await expect(jwtVerify(token, other, expected)).rejects.toThrow()
    const [head = '', body = '', signature = ''] = token.split('.')
    const raised = Buffer.from(JSON.stringify({ ...claims, sub: 'root' })).toString('base64url')
    await expect(jwtVerify(`${head}.${raised}.${signature}`, publicKey, expected)).rejects.toThrow()
    expect(decodeProtectedHeader(`${head}.${body}.${signature}`)).toEqual(header)
  })

  test('is verified by the public key alone', async () => {
    const imported = createPublicKey({ key: publicKey.export({ format: 'jwk' }), format: 'jwk' })
    await expect(
      jwtVerify(signer.sign(JSON.stringify(claims), 'at+jwt'), imported, expected),
    ).resolves.toBeDefined()
  })
})

const sealing = keyEncryptionKey(Buffer.alloc(32, 1))
const at = (seconds: number) => new Date(seconds * 1_000)
const row = {
  kid: 'key-1',
  algorithm: 'ES256',
  generation: 1,
  publicJwk: { kid: 'key-1' },
  sealedPrivateKey: seal(
    sealing,
    privateKey.export({ format: 'der', type: 'pkcs8' }),
    'mintmark signing key key-1 ES256',
  ),
  keyEncryptionKeyId: sealing.id,
  publishedAt: at(100),
  signsFrom: at(100),
  signsUntil: at(1_000),
  publishedUntil: at(2_000),
  revokedAt: null as Date | null,
}

const schedule = {
  keyLifetimeSeconds: 2_000,
  tokenLifetimeSecondsMax: 10,
  jwksMaxAgeSeconds: 10,
  verifierCooldownSeconds: 10,
  clockSkewSeconds: 10,
}

test('a reading that began before a key was revoked never overwrites one that began after', async () => {
  // What the table holds when the reading begins, told only when it is released.
  let stored = row
  const releases: (() => void)[] = []
  const readRows = () => {
    const read = [stored]
    return new Promise((resolve) => releases.push(() => resolve(read)))
  }
  const keyring = new Keyring({
    database: { $queryRaw: readRows } as unknown as Statements,
    keyEncryptionKeys: async () => [sealing],
    schedule,
    now: () => 400,
    onUnopened: () => {},
  })
  const settle = () => new Promise((resolve) => setImmediate(resolve))
  const early = keyring.load()
  await settle()
  stored = { ...row, revokedAt: at(500) }
  const late = keyring.load()
  await settle()
  // The later one first, if both are under way.
  while (releases.length > 0) {
    releases.pop()?.()
    await settle()
  }
  await Promise.all([early, late])
  expect(keyring.keys[0]?.revokedAt).toBe(500)
  expect(keyring.signer('ES256', 400)).toBeUndefined()
  expect(keyring.published(400).kids).toEqual([])
})

test('a running service that cannot open a new key still publishes it, and still forgets a revoked one', async () => {
  const another = keyEncryptionKey(Buffer.alloc(32, 2))
  const next = {
    ...row,
    kid: 'key-2',
    generation: 2,
    publicJwk: { kid: 'key-2' },
    keyEncryptionKeyId: another.id,
    publishedAt: at(300),
    signsFrom: at(600),
    signsUntil: at(1_500),
    publishedUntil: at(2_500),
  }
  let stored = [row]
  const unopened: string[] = []
  const keyring = new Keyring({
    database: { $queryRaw: async () => stored } as unknown as Statements,
    keyEncryptionKeys: async () => [sealing],
    schedule,
    now: () => 400,
    onUnopened: (error) => unopened.push(error.message),
  })
  await keyring.load()
  expect(keyring.incomplete).toBe(false)
  stored = [row, next]
  await keyring.load()
  expect(unopened.join()).toContain('key-2')
  expect(keyring.incomplete).toBe(true)
  expect(keyring.published(400).kids).toEqual(['key-1', 'key-2'])
  expect(keyring.signer('ES256', 400)?.kid).toBe('key-1')
  // Its turn: nothing signs in its place, least of all the one before.
  expect(keyring.signer('ES256', 700)).toBeUndefined()
  stored = [{ ...row, revokedAt: at(500) }, next]
  await keyring.load()
  expect(keyring.published(400).kids).toEqual(['key-2'])
})

test('a start with a key that does not open is refused', async () => {
  const keyring = new Keyring({
    database: { $queryRaw: async () => [row] } as unknown as Statements,
    keyEncryptionKeys: async () => [keyEncryptionKey(Buffer.alloc(32, 2))],
    schedule,
    now: () => 400,
    onUnopened: () => {},
  })
  await expect(keyring.load()).rejects.toThrow(/No key was created or deleted/)
})
