/** Signing keys in a real PostgreSQL: they are created once, read as they were written, changed one by one and sealed again. */
import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import { calculateJwkThumbprint, exportJWK } from 'jose'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { databaseNow } from '../../src/database/clock.ts'
import { type Database, openDatabase } from '../../src/database/open.ts'
import { algorithms } from '../../src/keys/algorithms.ts'
import { type KeyEncryptionKey, keyEncryptionKey, seal } from '../../src/keys/seal.ts'
import type { KeyMoments } from '../../src/keys/state.ts'
import {
  createKey,
  listKeys,
  openKey,
  readStored,
  resealKeys,
  updateMoments,
  updateRevocation,
} from '../../src/keys/store.ts'
import { type FreshDatabase, freshDatabase } from '../support/database.ts'

const old = keyEncryptionKey(Buffer.alloc(32, 1))
const current = keyEncryptionKey(Buffer.alloc(32, 2))
const lost = keyEncryptionKey(Buffer.alloc(32, 3))
const moments: KeyMoments = {
  publishedAt: 1_800_000_000,
  signsFrom: 1_800_000_100,
  signsUntil: 1_800_000_200,
  publishedUntil: 1_800_000_300,
  revokedAt: undefined,
}

let fresh: FreshDatabase
let database: Database

beforeAll(async () => {
  fresh = await freshDatabase()
  database = openDatabase(fresh.url)
})
beforeEach(() => fresh.query('TRUNCATE signing_key, signing_key_manifest'))
afterEach(() => {
  vi.restoreAllMocks()
})
afterAll(async () => {
  await database.close()
  await fresh.drop()
})

async function create(generation: number, key: KeyEncryptionKey = old, given = moments): Promise<string> {
  const kid = await createKey(database.prisma, key, 'EdDSA', generation, given)
  if (kid === undefined) throw new Error('there is a key of that generation')
  return kid
}

const rows = async () => (await readStored(database.statements)).rows

describe('a key that is created', () => {
  test.each([undefined, 1_800_000_250])(
    'is read as it was written, revoked at %s, and opens',
    async (revokedAt) => {
      const kid = await create(3, old, { ...moments, revokedAt })
      const [row] = await rows()
      if (row === undefined) throw new Error('there is no row')
      const privateKey = await openKey(row, [old])
      const jwk = await exportJWK(createPublicKey(privateKey))
      expect(kid).toBe(await calculateJwkThumbprint(jwk))
      const described = {
        kid,
        algorithm: 'EdDSA',
        generation: 3,
        publicJwk: { ...jwk, kid, use: 'sig', alg: 'EdDSA' },
        keyEncryptionKeyId: old.id,
        ...moments,
        revokedAt,
      }
      expect(row).toEqual({ ...described, sealedPrivateKey: expect.any(Uint8Array) })
      // What is shown has no private part, sealed or not.
      const shown = await listKeys(database.statements)
      expect(shown).toEqual([described])
      expect(Object.keys(shown[0] ?? {})).not.toContain('sealedPrivateKey')
    },
  )

  test('where another process has created that generation does not count, and no name is given', async () => {
    const kid = await create(1)
    expect(await createKey(database.prisma, old, 'EdDSA', 1, moments)).toBeUndefined()
    expect((await rows()).map((row) => row.kid)).toEqual([kid])
  })

  test('has no name that a command would take for an option', async () => {
    const named = async (isOption: boolean): ReturnType<typeof algorithms.EdDSA.generate> => {
      for (;;) {
        const pair = generateKeyPairSync('ed25519')
        const kid = await calculateJwkThumbprint(await exportJWK(pair.publicKey))
        if (kid.startsWith('-') === isOption) return pair
      }
    }
    const [option, usual] = [await named(true), await named(false)]
    vi.spyOn(algorithms.EdDSA, 'generate').mockResolvedValueOnce(option).mockResolvedValueOnce(usual)
    expect(await create(1)).toBe(await calculateJwkThumbprint(await exportJWK(usual.publicKey)))
  })
})

test('keys are read in the order of algorithm and generation, with the manifest and the version of the registry', async () => {
  expect(await readStored(database.statements)).toMatchObject({ rows: [], manifest: undefined })
  const later = await create(2)
  const [first, elliptic] = [await create(1), await createKey(database.prisma, old, 'ES256', 9, moments)]
  await fresh.query(
    `INSERT INTO signing_key_manifest (number, key_encryption_key_id, content, mac) VALUES (7, 'sealed-with', '{}', '\\x0102')`,
  )
  const stored = await readStored(database.statements)
  const [version] = await fresh.query<{ version: string }>('SELECT version FROM registry_version')
  expect(stored.rows.map(({ kid }) => kid)).toEqual([elliptic, first, later])
  expect(stored.manifest).toEqual({
    number: 7,
    keyEncryptionKeyId: 'sealed-with',
    content: '{}',
    mac: Buffer.from([1, 2]),
  })
  expect(stored.registryVersion).toBe(Number(version?.version))
})

test('moments and a revocation change their own key, and nothing else of it', async () => {
  const [first, second] = [await create(1), await create(2)]
  const before = await rows()
  const early = { ...moments, signsUntil: 1_800_000_150, publishedUntil: 1_800_000_160 }
  await updateMoments(database.prisma, first, { ...early, revokedAt: 1_800_000_140 })
  await updateRevocation(database.prisma, second, 1_800_000_130)
  expect(await rows()).toEqual([
    { ...before[0], ...early },
    { ...before[1], revokedAt: 1_800_000_130 },
  ])
  await updateMoments(database.prisma, second, { ...moments, revokedAt: undefined })
  expect((await rows())[1], 'it stays revoked').toEqual({ ...before[1], revokedAt: 1_800_000_130 })
  await updateMoments(database.prisma, first, moments)
  expect((await rows())[0]).toEqual(before[0])
})

describe('sealing again', () => {
  const damage = (kid: string, plain: Buffer) =>
    fresh.query('UPDATE signing_key SET sealed_private_key = $2 WHERE kid = $1', [
      kid,
      seal(old, plain, `mintmark signing key ${kid} EdDSA`),
    ])

  test('seals what is vouched for, opens and is sealed with another key, and leaves the rest as it is', async () => {
    const kids = {
      old: await create(1),
      current: await create(2, current),
      unvouched: await create(3),
      lost: await create(4, lost),
      damaged: await create(5),
      oldAndUnwanted: await create(6),
    }
    await damage(kids.damaged, Buffer.from('no key'))
    const before = await rows()
    const vouched = new Set(Object.values(kids).filter((kid) => kid !== kids.unvouched))
    const wanted = ({ kid }: { kid: string }) => kid === kids.old || kid === kids.current
    const resealed = await resealKeys(database.prisma, current, [current, old], vouched, wanted)
    expect(resealed).toEqual([
      { kid: kids.old, from: old.id },
      { kid: kids.oldAndUnwanted, from: old.id },
    ])
    const after = await rows()
    const isResealed = ({ kid }: { kid: string }) => resealed.some((key) => key.kid === kid)
    expect(after.filter((row) => !isResealed(row))).toEqual(before.filter((row) => !isResealed(row)))
    for (const [index, row] of before.entries()) {
      const again = after[index]
      if (again === undefined || !isResealed(row)) continue
      expect(again).toEqual({
        ...row,
        keyEncryptionKeyId: current.id,
        sealedPrivateKey: expect.any(Uint8Array),
      })
      expect((await openKey(again, [current])).equals(await openKey(row, [old]))).toBe(true)
    }
  })

  test.each([
    ['sealed with a key that is lost', 'key_encryption_key_differs'],
    ['damaged', 'signing_key_damaged'],
  ])('is refused where a wanted key is %s', async (what, code) => {
    const kid = await create(1, what === 'damaged' ? old : lost)
    if (what === 'damaged') await damage(kid, Buffer.from('no key'))
    const before = await rows()
    const asked = resealKeys(database.prisma, current, [current, old], new Set([kid]), () => true)
    await expect(asked).rejects.toMatchObject({ code, fields: { kid } })
    expect(await rows()).toEqual(before)
  })
})

test('the database tells its time, with fractions of a second', async () => {
  const [row] = await fresh.query<{ before: number }>(
    'SELECT extract(epoch FROM clock_timestamp())::float8 AS before',
  )
  const before = row?.before ?? Number.NaN
  const now = await databaseNow(database.statements)
  const [later] = await fresh.query<{ after: number }>(
    'SELECT extract(epoch FROM clock_timestamp())::float8 AS after',
  )
  expect(now).toBeGreaterThanOrEqual(before)
  expect(now).toBeLessThanOrEqual(later?.after ?? Number.NaN)
})
