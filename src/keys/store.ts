import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { calculateJwkThumbprint, exportJWK, type JWK } from 'jose'
import type { Queryable, Statements } from '../database/open.ts'
import { AdministrationError } from '../errors.ts'
import { algorithms } from './algorithms.ts'
import { type ManifestEntry, publicKeyHash, type StoredManifest, sealedKeyHash } from './manifest.ts'
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

/** A row of `signing_key`. */
export interface KeyRow extends KeyDescription {
  readonly sealedPrivateKey: Uint8Array
}

export interface StoredKeys {
  /** Ordered by algorithm and generation. */
  readonly rows: readonly KeyRow[]
  readonly manifest: StoredManifest | undefined
  /** The version of the registry that the rows belong to. */
  readonly registryVersion: number
}

/** Rows and manifest as of one moment. The manifest comes with the first line alone. */
export async function readStored(database: Statements): Promise<StoredKeys> {
  const lines = await database.$queryRaw<StoredLine[]>`
    SELECT kid, algorithm, generation, public_jwk AS "publicJwk", sealed_private_key AS "sealedPrivateKey",
           k.key_encryption_key_id AS "keyEncryptionKeyId",
           floor(extract(epoch FROM published_at))::float8 AS "publishedAt",
           floor(extract(epoch FROM signs_from))::float8 AS "signsFrom",
           floor(extract(epoch FROM signs_until))::float8 AS "signsUntil",
           floor(extract(epoch FROM published_until))::float8 AS "publishedUntil",
           floor(extract(epoch FROM revoked_at))::float8 AS "revokedAt",
           CASE WHEN row_number() OVER (ORDER BY algorithm, generation) = 1 THEN m.content END AS "content",
           m.number::float8 AS "number", m.key_encryption_key_id AS "manifestKeyId", m.mac,
           (SELECT version FROM registry_version)::text AS "registryVersion"
      FROM (SELECT 1) AS one LEFT JOIN signing_key_manifest m ON m."only" LEFT JOIN signing_key k ON true
     ORDER BY algorithm, generation`
  const rows = lines.flatMap((line) => (line.kid === null ? [] : [toRow(line)]))
  const [{ content, number, manifestKeyId, mac, ...first }] = lines as [StoredLine]
  const registryVersion = Number(first.registryVersion)
  if (content === null || number === null || manifestKeyId === null || mac === null) {
    return { rows, manifest: undefined, registryVersion }
  }
  const manifest = { number, keyEncryptionKeyId: manifestKeyId, content, mac: Buffer.from(mac) }
  return { rows, manifest, registryVersion }
}

interface StoredLine extends Omit<KeyRow, 'kid' | 'revokedAt'> {
  readonly kid: string | null
  readonly revokedAt: number | null
  readonly content: string | null
  readonly number: number | null
  readonly manifestKeyId: string | null
  readonly mac: Uint8Array | null
  readonly registryVersion: string
}

function toRow(line: StoredLine): KeyRow {
  return {
    kid: line.kid ?? '',
    algorithm: line.algorithm,
    generation: line.generation,
    publicJwk: line.publicJwk,
    sealedPrivateKey: line.sealedPrivateKey,
    keyEncryptionKeyId: line.keyEncryptionKeyId,
    publishedAt: line.publishedAt,
    signsFrom: line.signsFrom,
    signsUntil: line.signsUntil,
    publishedUntil: line.publishedUntil,
    revokedAt: line.revokedAt ?? undefined,
  }
}

export function describe({ sealedPrivateKey: _, ...key }: KeyRow): KeyDescription {
  return key
}

/** What the manifest says about a row, if the row agrees with it. */
export function entryOf(row: KeyRow): ManifestEntry {
  return {
    kid: row.kid,
    algorithm: row.algorithm,
    generation: row.generation,
    publicKeyHash: publicKeyHash(row.publicJwk),
    keyEncryptionKeyId: row.keyEncryptionKeyId,
    sealedKeyHash: sealedKeyHash(row.sealedPrivateKey),
    publishedAt: row.publishedAt,
    signsFrom: row.signsFrom,
    signsUntil: row.signsUntil,
    publishedUntil: row.publishedUntil,
    revokedAt: row.revokedAt,
  }
}

/**
 * All rows as they are, whether or not the manifest has them. To show them, and for a process without the
 * key-encryption key.
 */
export async function listKeys(database: Statements): Promise<KeyDescription[]> {
  return (await readStored(database)).rows.map(describe)
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
  const publicJwk = { ...jwk, kid, use: 'sig', alg: algorithm }
  const isStored = await storeKey(
    database,
    key,
    { ...moments, kid, algorithm, generation, publicJwk },
    privateKey,
  )
  return isStored ? kid : undefined
}

/** Stores a key. @returns false if there is a key of that name or of that generation. */
export async function storeKey(
  database: Queryable,
  key: KeyEncryptionKey,
  { kid, algorithm, generation, publicJwk, ...moments }: Omit<KeyDescription, 'keyEncryptionKeyId'>,
  privateKey: KeyObject,
): Promise<boolean> {
  const plain = privateKey.export({ format: 'der', type: 'pkcs8' })
  const { count } = await database.signingKey.createMany({
    data: [
      {
        kid,
        algorithm,
        generation,
        publicJwk: publicJwk as object,
        sealedPrivateKey: new Uint8Array(seal(key, plain, sealContext(kid, algorithm))),
        keyEncryptionKeyId: key.id,
        ...columns(moments),
      },
    ],
    skipDuplicates: true,
  })
  return count === 1
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

/** Changes the turn of a key. Whether it is revoked stays as it is: the role of the service may not change that. */
export async function updateMoments(database: Queryable, kid: string, moments: KeyMoments): Promise<void> {
  await database.signingKey.update({ where: { kid }, data: turnColumns(moments) })
}

/** Revokes a key and leaves the rest of its row as it is, even if it is damaged. */
export async function updateRevocation(database: Queryable, kid: string, revokedAt: number): Promise<void> {
  await database.signingKey.update({ where: { kid }, data: { revokedAt: date(revokedAt) } })
}

/** Whether the role of this connection may change that a key is revoked. The role of the service may not. */
export async function mayRevoke(database: Queryable): Promise<boolean> {
  const [row] = await database.$queryRaw<{ may: boolean }[]>`
    SELECT has_column_privilege('signing_key', 'revoked_at', 'UPDATE') AS may`
  return row?.may === true
}

export interface ResealedKey {
  readonly kid: string
  /** The key-encryption key that sealed it before. */
  readonly from: string
}

/**
 * Seals with `to` every key that is sealed with another key-encryption key.
 * @param vouched the `kid`s of the keys that are sealed again. Other rows stay as they are.
 * @param wanted selects the keys that must open. Any other key that does not open stays as it is.
 * @returns the keys that were sealed again.
 * @throws OperatorError if a wanted key does not open.
 */
export async function resealKeys(
  database: Queryable,
  to: KeyEncryptionKey,
  keys: readonly KeyEncryptionKey[],
  vouched: ReadonlySet<string>,
  wanted: (key: KeyDescription) => boolean,
): Promise<ResealedKey[]> {
  const { rows } = await readStored(database)
  const resealed: ResealedKey[] = []
  for (const row of rows) {
    if (row.keyEncryptionKeyId === to.id || !vouched.has(row.kid)) continue
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
function open(row: KeyRow, keys: readonly KeyEncryptionKey[]): Buffer {
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

/** Opens a key, and makes sure that it is the one whose `kid` and public part the row shows. */
export async function openKey(row: KeyRow, keys: readonly KeyEncryptionKey[]): Promise<KeyObject> {
  const privateKey = createPrivateKey(privateForm(open(row, keys)))
  const jwk = await exportJWK(createPublicKey(privateKey))
  const shown = publicKeyHash({ ...jwk, kid: row.kid, use: 'sig', alg: row.algorithm })
  if ((await calculateJwkThumbprint(jwk)) !== row.kid || shown !== publicKeyHash(row.publicJwk)) {
    throw new AdministrationError('signing_key_damaged', { kid: row.kid })
  }
  return privateKey
}

function openIfPossible(row: KeyRow, keys: readonly KeyEncryptionKey[]): Buffer | undefined {
  try {
    return open(row, keys)
  } catch (error) {
    if (error instanceof AdministrationError) return undefined
    throw error
  }
}

const date = (moment: number): Date => new Date(moment * 1000)

function turnColumns({ publishedAt, signsFrom, signsUntil, publishedUntil }: KeyMoments) {
  return {
    publishedAt: date(publishedAt),
    signsFrom: date(signsFrom),
    signsUntil: date(signsUntil),
    publishedUntil: date(publishedUntil),
  }
}

function columns(moments: KeyMoments) {
  return {
    ...turnColumns(moments),
    revokedAt: moments.revokedAt === undefined ? null : date(moments.revokedAt),
  }
}
