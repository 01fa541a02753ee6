import { createPrivateKey, type KeyObject } from 'node:crypto'
import { calculateJwkThumbprint, exportJWK, type JWK } from 'jose'
import { BehindError, isBehind } from '../database/history.ts'
import type { Queryable, Statements } from '../database/open.ts'
import { AdministrationError } from '../errors.ts'
import type { SigningKey as SigningKeyRow } from '../generated/client.ts'
import { algorithms } from './algorithms.ts'
import { type KeyEncryptionKey, seal, unseal } from './seal.ts'
import type { SigningAlgorithm } from './signing-algorithm.ts'
import type { KeyMoments } from './state.ts'

/** A signing key without its private part. Times in seconds since 1970. */
export interface KeyDescription extends KeyMoments {
  readonly kid: string
  readonly algorithm: SigningAlgorithm
  readonly generation: number
  readonly publicJwk: JWK
  readonly keyEncryptionKeyId: string
}

/** All rows, ordered by algorithm and generation, with the version of the registry that they belong to. */
function readRows(
  database: Statements,
): PromiseLike<(SigningKeyRow & { readonly registryVersion: string })[]> {
  return database.$queryRaw`
    SELECT kid, algorithm, generation, public_jwk AS "publicJwk", sealed_private_key AS "sealedPrivateKey",
           key_encryption_key_id AS "keyEncryptionKeyId", published_at AS "publishedAt", signs_from AS "signsFrom",
           signs_until AS "signsUntil", published_until AS "publishedUntil", revoked_at AS "revokedAt",
           (SELECT version FROM registry_version)::text AS "registryVersion"
      FROM signing_key ORDER BY algorithm, generation`
}

export async function listKeys(database: Statements): Promise<KeyDescription[]> {
  return (await readRows(database)).map(describe)
}

export interface LoadedKey extends KeyDescription {
  /** Undefined if the key was not opened, for example because it will never sign again. */
  readonly privateKey: KeyObject | undefined
}

/**
 * Loads all keys and opens the wanted ones.
 * @param keys returns the available key-encryption keys: the current one and, during a rewrap, the previous
 * one. Called only if there is a key to open.
 * @param wanted selects the keys to open. A key that will never sign again is not opened, so damage to it
 * does not matter.
 * @param opened private keys that are in memory already. They are not opened again, so a running service
 * continues while its keys are sealed with a new key-encryption key that it does not have yet.
 * @throws AdministrationError if a wanted key does not open. The caller must never create a new key in its place.
 */
export async function loadKeys(
  database: Statements,
  keys: () => Promise<readonly KeyEncryptionKey[]>,
  wanted: (key: KeyDescription) => boolean,
  opened: ReadonlyMap<string, KeyObject> = new Map(),
  knownVersion?: number,
): Promise<LoadedKey[]> {
  const rows = await readRows(database)
  if (knownVersion !== undefined && rows.some((row) => isBehind(Number(row.registryVersion), knownVersion)))
    throw new BehindError('the signing keys were read from a database that is behind')
  const described = rows.map((row) => ({ row, key: describe(row) }))
  const sealed = described.filter(({ key }) => wanted(key) && !opened.has(key.kid))
  const available = sealed.length === 0 ? [] : await keys()
  const unsealed = new Map(
    sealed.map(({ row, key }) => [key.kid, createPrivateKey(privateForm(open(row, available)))]),
  )
  return described.map(({ key }) => ({
    ...key,
    privateKey: wanted(key) ? (unsealed.get(key.kid) ?? opened.get(key.kid)) : undefined,
  }))
}

/**
 * Creates a key and stores it as the given generation. If another process has stored that generation already,
 * its key counts.
 * @returns the `kid`, or undefined if another process created that generation.
 */
export async function createKey(
  database: Queryable,
  key: KeyEncryptionKey,
  algorithm: SigningAlgorithm,
  generation: number,
  moments: KeyMoments,
): Promise<string | undefined> {
  const { privateKey, jwk, kid } = await generate(algorithm)
  const plain = privateKey.export({ format: 'der', type: 'pkcs8' })
  const { count } = await database.signingKey.createMany({
    data: [
      {
        kid,
        algorithm,
        generation,
        publicJwk: { ...jwk, kid, use: 'sig', alg: algorithm } as object,
        sealedPrivateKey: new Uint8Array(seal(key, plain, sealContext(kid, algorithm))),
        keyEncryptionKeyId: key.id,
        ...columns(moments),
      },
    ],
    skipDuplicates: true,
  })
  return count === 1 ? kid : undefined
}

async function generate(algorithm: SigningAlgorithm) {
  for (;;) {
    const { publicKey, privateKey } = await algorithms[algorithm].generate()
    const jwk = await exportJWK(publicKey)
    const kid = await calculateJwkThumbprint(jwk)
    // One `kid` in 64 starts with "-". The command line would read it as an option.
    if (!kid.startsWith('-')) return { privateKey, jwk, kid }
  }
}

/** Changes the moments of a key, for an early turn or a revocation. */
export async function updateMoments(database: Queryable, kid: string, moments: KeyMoments): Promise<void> {
  await database.signingKey.update({ where: { kid }, data: columns(moments) })
}

export interface ResealedKey {
  readonly kid: string
  /** The key-encryption key that sealed it before. */
  readonly from: string
}

/**
 * Seals with `to` every key that is sealed with another key-encryption key.
 * @param wanted selects the keys that must open. Any other key that does not open stays as it is.
 * @returns the keys that were sealed again.
 * @throws OperatorError if a wanted key does not open.
 */
export async function resealKeys(
  database: Queryable,
  to: KeyEncryptionKey,
  keys: readonly KeyEncryptionKey[],
  wanted: (key: KeyDescription) => boolean,
): Promise<ResealedKey[]> {
  const rows = await readRows(database)
  const resealed: ResealedKey[] = []
  for (const row of rows) {
    if (row.keyEncryptionKeyId === to.id) continue
    const plain = wanted(describe(row)) ? open(row, keys) : openIfPossible(row, keys)
    if (plain === undefined) continue
    const sealed = seal(to, plain, sealContext(row.kid, row.algorithm))
    await database.signingKey.update({
      where: { kid: row.kid },
      data: { sealedPrivateKey: new Uint8Array(sealed), keyEncryptionKeyId: to.id },
    })
    resealed.push({ kid: row.kid, from: row.keyEncryptionKeyId })
  }
  return resealed
}

function sealContext(kid: string, algorithm: string): string {
  return `mintmark signing key ${kid} ${algorithm}`
}

const privateForm = (key: Buffer) => ({ key, format: 'der', type: 'pkcs8' }) as const

/** The private key in PKCS #8. */
function open(row: SigningKeyRow, keys: readonly KeyEncryptionKey[]): Buffer {
  const key = keys.find(({ id }) => id === row.keyEncryptionKeyId)
  if (key === undefined) {
    throw new AdministrationError('key_encryption_key_differs', {
      kid: row.kid,
      keyEncryptionKeyId: row.keyEncryptionKeyId,
      atHand: keys.map(({ id }) => id),
      source: keys[0]?.source ?? 'configuration',
    })
  }
  try {
    const plain = unseal(key, Buffer.from(row.sealedPrivateKey), sealContext(row.kid, row.algorithm))
    createPrivateKey(privateForm(plain))
    return plain
  } catch (error) {
    throw new AdministrationError('signing_key_damaged', { kid: row.kid }, { cause: error })
  }
}

function openIfPossible(row: SigningKeyRow, keys: readonly KeyEncryptionKey[]): Buffer | undefined {
  try {
    return open(row, keys)
  } catch (error) {
    if (error instanceof AdministrationError) return undefined
    throw error
  }
}

function describe(row: SigningKeyRow): KeyDescription {
  return {
    kid: row.kid,
    algorithm: row.algorithm as SigningAlgorithm,
    generation: row.generation,
    publicJwk: row.publicJwk as JWK,
    keyEncryptionKeyId: row.keyEncryptionKeyId,
    publishedAt: seconds(row.publishedAt),
    signsFrom: seconds(row.signsFrom),
    signsUntil: seconds(row.signsUntil),
    publishedUntil: seconds(row.publishedUntil),
    revokedAt: row.revokedAt === null ? undefined : seconds(row.revokedAt),
  }
}

const seconds = (moment: Date): number => Math.floor(moment.getTime() / 1000)
const date = (moment: number): Date => new Date(moment * 1000)

function columns(moments: KeyMoments) {
  return {
    publishedAt: date(moments.publishedAt),
    signsFrom: date(moments.signsFrom),
    signsUntil: date(moments.signsUntil),
    publishedUntil: date(moments.publishedUntil),
    revokedAt: moments.revokedAt === undefined ? null : date(moments.revokedAt),
  }
}

/** The database's clock, in seconds since 1970, with fractions. */
export async function databaseNow(database: Statements): Promise<number> {
  const [row] = await database.$queryRaw<{ now: number }[]>`
    SELECT extract(epoch FROM clock_timestamp())::float8 AS now`
  if (row === undefined) throw new Error('the database has no time')
  return row.now
}
