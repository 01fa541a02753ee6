import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { calculateJwkThumbprint, exportJWK, type JWK } from 'jose'
import type { Queryable } from '../database/open.ts'
import { OperatorError } from '../errors.ts'
import type { SigningKey as SigningKeyRow } from '../generated/client.ts'
import { type KeyEncryptionKey, seal, unseal } from './seal.ts'

/** What is known of a signing key without its private part. Times in seconds since 1970. */
export interface KeyDescription {
  readonly kid: string
  readonly algorithm: string
  readonly generation: number
  readonly publicJwk: JWK
  readonly keyEncryptionKeyId: string
  readonly publishedAt: number
  readonly signsFrom: number
  readonly signsUntil: number | undefined
  readonly publishedUntil: number | undefined
  readonly revokedAt: number | undefined
}

export interface StoredKey extends KeyDescription {
  readonly privateKey: KeyObject
}

export async function listKeys(database: Queryable): Promise<KeyDescription[]> {
  const rows = await database.signingKey.findMany({ orderBy: [{ algorithm: 'asc' }, { generation: 'asc' }] })
  return rows.map(describe)
}

/**
 * All keys, opened.
 * @throws OperatorError when one of them does not open: never a reason to make another one in its place.
 */
export async function loadKeys(database: Queryable, key: KeyEncryptionKey): Promise<StoredKey[]> {
  const rows = await database.signingKey.findMany({ orderBy: [{ algorithm: 'asc' }, { generation: 'asc' }] })
  return rows.map((row) => ({ ...describe(row), privateKey: open(row, key) }))
}

/**
 * Makes a key and stores it as the given generation, unless somebody else was faster: then theirs counts.
 * @returns whether it was this one.
 */
export async function createKey(
  database: Queryable,
  key: KeyEncryptionKey,
  generation: number,
  nowMilliseconds: number,
): Promise<boolean> {
  const algorithm = 'ES256'
  const now = new Date(nowMilliseconds)
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const jwk = await exportJWK(pair.publicKey)
  const kid = await calculateJwkThumbprint(jwk)
  const plain = pair.privateKey.export({ format: 'der', type: 'pkcs8' })
  const { count } = await database.signingKey.createMany({
    data: [
      {
        kid,
        algorithm,
        generation,
        publicJwk: { ...jwk, kid, use: 'sig', alg: algorithm } as object,
        sealedPrivateKey: new Uint8Array(seal(key, plain, sealContext(kid, algorithm))),
        keyEncryptionKeyId: key.id,
        publishedAt: now,
        // The very first key signs at once: nobody can have cached a set without it.
        signsFrom: now,
      },
    ],
    skipDuplicates: true,
  })
  return count === 1
}

function sealContext(kid: string, algorithm: string): string {
  return `mintmark signing key ${kid} ${algorithm}`
}

function open(row: SigningKeyRow, key: KeyEncryptionKey): KeyObject {
  if (row.keyEncryptionKeyId !== key.id) {
    throw new OperatorError(
      `${key.source}: the signing key ${row.kid} is sealed with key-encryption key ` +
        `${row.keyEncryptionKeyId}, but this is ${key.id}. Provide the right one; no key was made or deleted.`,
    )
  }
  try {
    const plain = unseal(key, Buffer.from(row.sealedPrivateKey), sealContext(row.kid, row.algorithm))
    return createPrivateKey({ key: plain, format: 'der', type: 'pkcs8' })
  } catch (error) {
    throw new OperatorError(
      `The signing key ${row.kid} does not open: its row in signing_key was damaged. Restore it from a backup; ` +
        'no key was made or deleted.',
      { cause: error },
    )
  }
}

function describe(row: SigningKeyRow): KeyDescription {
  return {
    kid: row.kid,
    algorithm: row.algorithm,
    generation: row.generation,
    publicJwk: row.publicJwk as JWK,
    keyEncryptionKeyId: row.keyEncryptionKeyId,
    publishedAt: seconds(row.publishedAt),
    signsFrom: seconds(row.signsFrom),
    signsUntil: optionalSeconds(row.signsUntil),
    publishedUntil: optionalSeconds(row.publishedUntil),
    revokedAt: optionalSeconds(row.revokedAt),
  }
}

const seconds = (moment: Date): number => Math.floor(moment.getTime() / 1000)
const optionalSeconds = (moment: Date | null): number | undefined =>
  moment === null ? undefined : seconds(moment)
