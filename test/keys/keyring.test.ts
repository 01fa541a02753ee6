/**
 * What is signed here is verified by others, every time: also where a number happens to be short. And only keys that a
 * holder of the key-encryption key vouched for sign or are published.
 *
 * Long because each way to spoil the rows is a case of its own.
 */
import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto'
import fc from 'fast-check'
import { calculateJwkThumbprint, compactVerify, decodeProtectedHeader, exportJWK, jwtVerify } from 'jose'
import { describe, expect, test } from 'vitest'
import { BehindError } from '../../src/database/history.ts'
import type { Statements } from '../../src/database/open.ts'
import { AdministrationError } from '../../src/errors.ts'
import { rawSignature } from '../../src/keys/algorithms.ts'
import { Keyring, toSigner } from '../../src/keys/keyring.ts'
import {
  contentHash,
  type ManifestEntry,
  publicKeyHash,
  sealedKeyHash,
  sealManifest,
} from '../../src/keys/manifest.ts'
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
  const signer = toSigner({ algorithm: 'ES256', kid: 'key-1', privateKey }, 0)
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

interface Row {
  readonly kid: string
  readonly algorithm: string
  readonly generation: number
  readonly publicJwk: object
  readonly sealedPrivateKey: Buffer
  readonly keyEncryptionKeyId: string
  readonly publishedAt: number
  readonly signsFrom: number
  readonly signsUntil: number
  readonly publishedUntil: number
  readonly revokedAt: number | null
}

async function rowOf(key: KeyObject, generation: number, sealedWith = sealing): Promise<Row> {
  const jwk = await exportJWK(createPublicKey(key))
  const kid = await calculateJwkThumbprint(jwk)
  return {
    kid,
    algorithm: 'ES256',
    generation,
    publicJwk: { ...jwk, kid, use: 'sig', alg: 'ES256' },
    sealedPrivateKey: seal(
      sealedWith,
      key.export({ format: 'der', type: 'pkcs8' }),
      `mintmark signing key ${kid} ES256`,
    ),
    keyEncryptionKeyId: sealedWith.id,
    publishedAt: 100,
    signsFrom: 100,
    signsUntil: 1_000,
    publishedUntil: 2_000,
    revokedAt: null,
  }
}

const row = await rowOf(privateKey, 1)
const { kid } = row

const entryOf = ({ publicJwk, sealedPrivateKey, revokedAt, ...entry }: Row): ManifestEntry => ({
  ...entry,
  publicKeyHash: publicKeyHash(publicJwk),
  sealedKeyHash: sealedKeyHash(sealedPrivateKey),
  revokedAt: revokedAt ?? undefined,
})

/** What the database answers: rows beside a manifest of others, if those differ. */
function answer(
  rows: readonly Row[],
  vouched: readonly Row[] = rows,
  number = vouched.length,
  key = sealing,
) {
  const { content, mac, keyEncryptionKeyId } = sealManifest(key, {
    number,
    chainBefore: 0,
    entries: vouched.map(entryOf),
  })
  return rows.map((each, index) => ({
    ...each,
    content: index === 0 ? content : null,
    number,
    manifestKeyId: keyEncryptionKeyId,
    mac,
  }))
}

/** What was recorded of a manifest in the ledger last. */
interface Recorded {
  readonly number: number | null
  readonly hash?: string
}

/** A database that gives this answer, and whose ledger has no record of a manifest if none is given. */
function databaseWith(lines: () => unknown, recorded: () => Recorded = () => ({ number: null })): Statements {
  const $queryRaw = async (text: TemplateStringsArray) =>
    text.join('').includes('audit_record') ? [recorded()] : lines()
  return { $queryRaw } as unknown as Statements
}

function keyringOn(database: Statements, key = sealing) {
  const told = { unopened: [] as string[], fields: [] as unknown[], unvouched: [] as string[], calls: 0 }
  const keyring = new Keyring({
    database,
    keyEncryptionKeys: async () => [key],
    schedule,
    now: () => 400,
    onUnopened: (error) => {
      told.unopened.push(error.message)
      if (error instanceof AdministrationError) told.fields.push(error.fields)
    },
    onUnvouched: (problems) => {
      told.calls += 1
      told.unvouched.push(...problems.map((each) => `${each.kid} ${each.problem}`))
    },
  })
  return { keyring, told }
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
  let stored = answer([row])
  const releases: (() => void)[] = []
  const { keyring } = keyringOn(
    databaseWith(() => {
      const read = stored
      return new Promise((resolve) => releases.push(() => resolve(read)))
    }),
  )
  const settle = () => new Promise((resolve) => setImmediate(resolve))
  const early = keyring.load()
  await settle()
  stored = answer([{ ...row, revokedAt: 500 }], [row], 2)
  const late = keyring.load()
  await settle()
  // The later one first, if both are under way.
  let isOver = false
  const both = Promise.all([early, late]).finally(() => {
    isOver = true
  })
  while (!isOver) {
    releases.pop()?.()
    await settle()
  }
  await both
  expect(keyring.keys[0]?.revokedAt).toBe(500)
  expect(keyring.signer('ES256', 400)).toBeUndefined()
  expect(keyring.published(400).kids).toEqual([])
})

test('keys of an older version of the registry are not taken, whatever their manifest says', async () => {
  const at = (version: number, lines: readonly object[]) =>
    lines.map((line) => ({ ...line, registryVersion: String(version * 2 ** 20 + 7) }))
  let stored = at(5, answer([row]))
  const { keyring, told } = keyringOn(databaseWith(() => stored))
  await keyring.load(5 * 2 ** 20 + 7)
  expect(keyring.published(400).kids).toEqual([kid])
  stored = at(4, answer([{ ...row, revokedAt: 500 }], [row], 2))
  const refused = await keyring.load(5 * 2 ** 20 + 7).catch((error: unknown) => error)
  expect(refused).toBeInstanceOf(BehindError)
  expect(String(refused)).toContain('a database that is behind')
  expect(keyring.keys[0]?.revokedAt).toBeUndefined()
  expect(told.unopened).toEqual([])
  stored = at(6, answer([{ ...row, revokedAt: 500 }], [row], 2))
  await keyring.load(5 * 2 ** 20 + 7)
  expect(keyring.keys[0]?.revokedAt).toBe(500)
})

const secondKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
const later = { publishedAt: 300, signsFrom: 600, signsUntil: 1_500, publishedUntil: 2_500 }
const next = { ...(await rowOf(secondKey, 2)), ...later }

test('a running service that cannot open a new key still publishes it, and still forgets a revoked one', async () => {
  const another = keyEncryptionKey(Buffer.alloc(32, 2))
  const next = { ...(await rowOf(secondKey, 2, another)), ...later }
  let stored = answer([row])
  const { keyring, told } = keyringOn(databaseWith(() => stored))
  await keyring.load()
  expect(keyring.incomplete).toBe(false)
  stored = answer([row, next])
  await keyring.load()
  expect(told.unopened.join()).toContain(next.kid)
  expect(keyring.incomplete).toBe(true)
  expect(keyring.published(400).kids).toEqual([kid, next.kid])
  expect(keyring.signer('ES256', 400)?.kid).toBe(kid)
  // Its turn: nothing signs in its place, least of all the one before.
  expect(keyring.signer('ES256', 700)).toBeUndefined()
  stored = answer([{ ...row, revokedAt: 500 }, next], [row, next], 3)
  await keyring.load()
  expect(keyring.published(400).kids).toEqual([next.kid])
})

test('a start with a key that does not open is refused', async () => {
  const { keyring } = keyringOn(
    databaseWith(() => answer([row])),
    keyEncryptionKey(Buffer.alloc(32, 2)),
  )
  await expect(keyring.load()).rejects.toThrow(/No key was created or deleted/)
})

describe('what nobody with the key-encryption key vouched for', () => {
  test('a row of somebody else is neither published nor used, and named', async () => {
    const intruder = { ...(await rowOf(secondKey, 2)), sealedPrivateKey: Buffer.alloc(99), ...later }
    const { keyring, told } = keyringOn(databaseWith(() => answer([row, intruder], [row])))
    await keyring.load()
    expect(keyring.published(700).kids).toEqual([kid])
    expect(keyring.signer('ES256', 700)?.kid).toBe(kid)
    expect(told.unvouched).toEqual([`${intruder.kid} key_unknown`])
    expect(keyring.problems).toHaveLength(1)
  })

  test('another public key under a real kid is not published: a start is refused, a running service goes on', async () => {
    const swapped = { ...row, publicJwk: { ...(await rowOf(secondKey, 1)).publicJwk, kid } }
    const { keyring: fresh } = keyringOn(databaseWith(() => answer([swapped], [row])))
    await expect(fresh.load()).rejects.toMatchObject({ code: 'signing_key_altered', fields: { kid } })
    let stored = answer([row])
    const { keyring, told } = keyringOn(databaseWith(() => stored))
    await keyring.load()
    const { body } = keyring.published(400)
    stored = answer([swapped], [row])
    await keyring.load()
    expect(keyring.published(400).body).toBe(body)
    expect(keyring.signer('ES256', 400)?.kid).toBe(kid)
    expect(told.unvouched).toEqual([`${kid} key_altered`])
  })

  test('a public key that is not that of the private one is not used, whoever vouched for it', async () => {
    const mismatched = { ...row, publicJwk: { ...(await rowOf(secondKey, 1)).publicJwk, kid } }
    const { keyring } = keyringOn(databaseWith(() => answer([mismatched])))
    await expect(keyring.load()).rejects.toMatchObject({ code: 'signing_key_damaged' })
  })

  test('a revoked key stays revoked when its row is given back', async () => {
    const { keyring, told } = keyringOn(databaseWith(() => answer([row], [{ ...row, revokedAt: 300 }])))
    await keyring.load()
    expect(keyring.signer('ES256', 400)).toBeUndefined()
    expect(keyring.published(400).kids).toEqual([])
    expect(told.unvouched).toEqual([`${kid} key_revocation_undone`])
  })

  test('a manifest that was changed, or is of another key-encryption key, is none', async () => {
    const damaged = answer([row]).map((line) => ({
      ...line,
      content: line.content?.replace('1000', '9999') ?? null,
    }))
    await expect(keyringOn(databaseWith(() => damaged)).keyring.load()).rejects.toMatchObject({
      code: 'key_manifest_damaged',
    })
    const foreign = answer([row], [row], 1, keyEncryptionKey(Buffer.alloc(32, 5)))
    await expect(keyringOn(databaseWith(() => foreign)).keyring.load()).rejects.toMatchObject({
      code: 'key_encryption_key_differs',
    })
  })

  test('it does not go back to an older manifest, or to none; what an older one revokes counts all the same', async () => {
    let stored: unknown = answer([row, next], [row, next], 7)
    const { keyring, told } = keyringOn(databaseWith(() => stored))
    await keyring.load()
    expect(keyring.incomplete).toBe(false)
    stored = answer([row], [row], 6)
    await keyring.load()
    expect(keyring.incomplete, 'another read may succeed').toBe(true)
    expect(keyring.published(400).kids).toEqual([kid, next.kid])
    stored = answer([row, next], [row, next], 7).map((line) => ({ ...line, content: null }))
    await keyring.load()
    expect(keyring.published(400).kids).toEqual([kid, next.kid])
    expect(keyring.needsVouching).toBe(false)
    stored = answer([{ ...row, revokedAt: 350 }], [row], 6)
    await keyring.load()
    expect(keyring.published(400).kids).toEqual([next.kid])
    expect(told.unopened.join()).toContain('older')
    expect(told.fields).toEqual([6, 0, 6].map((number) => ({ number, recorded: 7 })))
    stored = answer([{ ...row, revokedAt: 350 }, next], [row, next], 7)
    await keyring.load()
    expect(keyring.incomplete).toBe(false)
  })

  const same = contentHash(answer([row], [row], 7)[0]?.content ?? '')
  const other = 'f'.repeat(64)
  test.each<[Recorded, string | undefined, object?]>([
    [{ number: null }, undefined],
    [{ number: 6, hash: other }, undefined],
    [{ number: 7, hash: same }, undefined],
    // A release that recorded no hash.
    [{ number: 7 }, undefined],
    [{ number: 7, hash: other }, 'key_manifest_differs', { number: 7 }],
    [{ number: 8, hash: same }, 'key_manifest_older', { number: 7, recorded: 8 }],
  ])('a process that starts compares the manifest with the ledger: %j', async (recorded, code, fields) => {
    let asked = 0
    const stored = databaseWith(
      () => answer([row], [row], 7),
      () => {
        asked += 1
        return recorded
      },
    )
    const { keyring } = keyringOn(stored)
    if (code !== undefined) return await expect(keyring.load()).rejects.toMatchObject({ code, fields })
    await keyring.load()
    await keyring.load()
    expect(keyring.published(400).kids).toEqual([kid])
    expect(asked, 'later it knows the number by itself').toBe(1)
  })
})

test('before the first read there is no key, and nothing is wrong', () => {
  const { keyring } = keyringOn(databaseWith(() => []))
  expect(keyring.published(400)).toEqual({ kids: [], body: '{"keys":[]}' })
  expect(keyring.signer('ES256', 400)).toBeUndefined()
  expect([keyring.keys, keyring.problems]).toEqual([[], []])
  expect([keyring.needsVouching, keyring.incomplete]).toEqual([false, false])
})

test('keys of a release without manifests are not used before somebody has vouched for them', async () => {
  const { keyring } = keyringOn(databaseWith(() => answer([row]).map((line) => ({ ...line, content: null }))))
  await keyring.load()
  expect(keyring.keys).toEqual([])
  expect(keyring.published(400).kids).toEqual([])
  expect(keyring.needsVouching).toBe(true)
})

test('a key in memory stays in use while it is sealed with a key-encryption key that is not here yet', async () => {
  let stored = answer([row])
  const { keyring, told } = keyringOn(databaseWith(() => stored))
  await keyring.load()
  const resealed = await rowOf(privateKey, 1, keyEncryptionKey(Buffer.alloc(32, 2)))
  stored = answer([resealed], [resealed], 2)
  await keyring.load()
  expect(keyring.keys[0]?.keyEncryptionKeyId).toBe(resealed.keyEncryptionKeyId)
  expect(keyring.signer('ES256', 400)?.kid).toBe(kid)
  expect([told.unopened, keyring.incomplete]).toEqual([[], false])
})

describe('what is wrong with rows', () => {
  const altered = { ...next, publishedUntil: 9_999 }
  test.each<[string, readonly Row[], readonly Row[], string[], boolean]>([
    ['nothing', [row, next], [row, next], [], false],
    ['one that nobody vouched for', [row, next], [row], ['key_unknown'], true],
    ['one that was revoked by hand', [row, { ...next, revokedAt: 350 }], [row, next], [], true],
    [
      'one whose revocation was undone',
      [row, next],
      [row, { ...next, revokedAt: 350 }],
      ['key_revocation_undone'],
      false,
    ],
    ['one that is gone', [row], [row, next], ['key_missing'], false],
  ])(
    'is told, and vouched for again if that can help: %s',
    async (_, rows, vouched, problems, needsVouching) => {
      const { keyring, told } = keyringOn(databaseWith(() => answer(rows, vouched, 2)))
      await keyring.load()
      expect(told.unvouched).toEqual(problems.map((problem) => `${next.kid} ${problem}`))
      expect(keyring.needsVouching).toBe(needsVouching)
      // A row that is gone needs no attention.
      expect(keyring.problems.map(({ problem }) => problem)).toEqual(
        problems.filter((problem) => problem !== 'key_missing'),
      )
    },
  )

  test('is told once, and again when it comes back', async () => {
    let stored = answer([row, next])
    const { keyring, told } = keyringOn(databaseWith(() => stored))
    const calls: number[] = []
    for (const rows of [
      [row, next],
      [row, altered],
      [row, altered],
      [row, next],
      [row, altered],
    ]) {
      stored = answer(rows, [row, next])
      await keyring.load()
      calls.push(told.calls)
    }
    expect(calls).toEqual([0, 1, 1, 1, 2])
    expect(told.unvouched).toEqual([`${next.kid} key_altered`, `${next.kid} key_altered`])
    expect(keyring.needsVouching, 'nobody vouches for an altered row').toBe(false)
  })

  const ended = { ...next, publishedAt: 10, signsFrom: 20, signsUntil: 200, publishedUntil: 300 }
  test.each<[string, readonly Row[], readonly Row[], string[]]>([
    ['it was altered', [row, { ...ended, publishedUntil: 301 }], [row, ended], []],
    ['it is gone', [row], [row, ended], []],
    ['nobody vouched for it', [row, ended], [row], ['key_unknown']],
    [
      'its revocation was undone',
      [row, ended],
      [row, { ...ended, revokedAt: 100 }],
      ['key_revocation_undone'],
    ],
  ])(
    'is no matter once the key has ended, unless it hides something: %s',
    async (_, rows, vouched, problems) => {
      const { keyring, told } = keyringOn(databaseWith(() => answer(rows, vouched, 2)))
      await keyring.load()
      expect(told.unvouched).toEqual(problems.map((problem) => `${ended.kid} ${problem}`))
    },
  )

  test('is not that a key which has ended does not open', async () => {
    const closed = {
      ...(await rowOf(secondKey, 2, keyEncryptionKey(Buffer.alloc(32, 2)))),
      publishedUntil: 300,
    }
    const { keyring, told } = keyringOn(databaseWith(() => answer([row, closed])))
    await keyring.load()
    expect(keyring.keys.map((key) => key.kid)).toEqual([kid, closed.kid])
    expect([told.unopened, keyring.incomplete]).toEqual([[], false])
  })
})

test('the JWK Set is made once for each set of keys, and has those of that set alone', async () => {
  const third = {
    ...(await rowOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey, 3)),
    ...later,
  }
  let stored: ReturnType<typeof answer> = []
  const { keyring } = keyringOn(databaseWith(() => stored))
  for (const [number, rows] of [[row, next], [row], [row, third], [next, third], [third]].entries()) {
    // No manifest drops a key. A row can be gone.
    stored = answer(rows, [row, next, third], number + 1)
    await keyring.load()
    const published = keyring.published(400)
    expect(published.kids).toEqual(rows.map((each) => each.kid))
    expect(JSON.parse(published.body)).toEqual({ keys: rows.map((each) => each.publicJwk) })
    await keyring.load()
    expect(keyring.published(401)).toBe(published)
  }
  expect(keyring.published(later.publishedUntil).kids, 'it has ended').toEqual([])
  expect(keyring.signer('PS256', 700), 'of another algorithm there is none').toBeUndefined()
})
