import { hash } from 'node:crypto'
import { AdministrationError } from '../errors.ts'
import type { KeyEncryptionKey } from './seal.ts'
import { isSealedWith, type SealedText, sealText } from './sealed-text.ts'
import type { KeyMoments } from './state.ts'

/**
 * The manifest: all signing keys as a holder of the key-encryption key last wrote them, with a number that only grows.
 *
 * Somebody who can write to the database can insert, change and delete rows of `signing_key`. The manifest is under a
 * MAC whose key is derived from the key-encryption key, so such a person cannot make one. Only what the manifest says
 * is believed: a row that it does not have, or that differs from it, is neither published nor used. A row can take
 * away, but never give: a row that says "revoked" counts at once.
 *
 * A copy of an older manifest has a right MAC too. So no process goes back to a lower number, and a process that starts
 * compares the number with the ledger's records of keys.
 */
export interface ManifestEntry extends KeyMoments {
  readonly kid: string
  readonly algorithm: string
  readonly generation: number
  /** SHA-256 of the public JWK, its members in the order of their names. */
  readonly publicKeyHash: string
  readonly keyEncryptionKeyId: string
  /** SHA-256 of the sealed private key. */
  readonly sealedKeyHash: string
}

export interface Manifest {
  readonly number: number
  /** Every chain of the ledger up to this one is older than the manifest. */
  readonly chainBefore: number
  readonly entries: readonly ManifestEntry[]
  /** SHA-256 of the content, of one that was read. */
  readonly contentHash?: string
}

export const contentHash = (content: string): string => hash('sha256', content, 'hex')

/** As it stands in the database. Its content is JSON text. */
export interface StoredManifest extends SealedText {
  readonly number: number
}

const form = 1
const purpose = 'mintmark/key-manifest/v1'

export function sealManifest(
  key: KeyEncryptionKey,
  { number, chainBefore, entries }: Manifest,
): StoredManifest {
  const rows = entries
    .toSorted((one, other) => (one.kid < other.kid ? -1 : 1))
    .map((entry) => [
      entry.kid,
      entry.algorithm,
      entry.generation,
      entry.publicKeyHash,
      entry.keyEncryptionKeyId,
      entry.sealedKeyHash,
      entry.publishedAt,
      entry.signsFrom,
      entry.signsUntil,
      entry.publishedUntil,
      entry.revokedAt ?? null,
    ])
  const content = JSON.stringify([form, number, chainBefore, rows])
  return { number, ...sealText(key, purpose, content) }
}

/**
 * @throws AdministrationError `key_encryption_key_differs` when its key is not among these, `key_manifest_damaged` when
 * nobody who has that key wrote it.
 */
export function openManifest(stored: StoredManifest, keys: readonly KeyEncryptionKey[]): Manifest {
  const key = keys.find(({ id }) => id === stored.keyEncryptionKeyId)
  if (key === undefined) {
    throw new AdministrationError('key_encryption_key_differs', {
      kid: undefined,
      keyEncryptionKeyId: stored.keyEncryptionKeyId,
      atHand: keys.map(({ id }) => id),
      source: keys[0]?.source ?? 'configuration',
    })
  }
  if (!isSealedWith(key, purpose, stored)) throw new AdministrationError('key_manifest_damaged', {})
  const [, number, chainBefore, rows] = JSON.parse(stored.content) as [number, number, number, EntryRow[]]
  return { number, chainBefore, entries: rows.map(toEntry), contentHash: contentHash(stored.content) }
}

type EntryRow = [
  kid: string,
  algorithm: string,
  generation: number,
  publicKeyHash: string,
  keyEncryptionKeyId: string,
  sealedKeyHash: string,
  publishedAt: number,
  signsFrom: number,
  signsUntil: number,
  publishedUntil: number,
  revokedAt: number | null,
]

function toEntry(row: EntryRow): ManifestEntry {
  const [kid, algorithm, generation, publicKeyHash, keyEncryptionKeyId, sealedKeyHash, ...moments] = row
  const [publishedAt, signsFrom, signsUntil, publishedUntil, revokedAt] = moments
  return {
    kid,
    algorithm,
    generation,
    publicKeyHash,
    keyEncryptionKeyId,
    sealedKeyHash,
    publishedAt,
    signsFrom,
    signsUntil,
    publishedUntil,
    revokedAt: revokedAt ?? undefined,
  }
}

/** The hash of a public JWK, whatever order the database gives its members in. */
export function publicKeyHash(jwk: unknown): string {
  // Somebody may have written anything here. It differs from the manifest in any case.
  if (typeof jwk !== 'object' || jwk === null) return hash('sha256', JSON.stringify([jwk]), 'hex')
  const members = Object.entries(jwk).toSorted(([one], [other]) => (one < other ? -1 : 1))
  return hash('sha256', JSON.stringify(members), 'hex')
}

export const sealedKeyHash = (sealed: Uint8Array): string => hash('sha256', sealed, 'hex')

/** Why a row is not believed, or only in part. */
export type RowProblem =
  /** The manifest does not have it. */
  | 'key_unknown'
  /** It differs from the manifest. */
  | 'key_altered'
  /** The manifest says that it is revoked, and the row does not. It stays revoked. */
  | 'key_revocation_undone'
  /** The manifest has it, and there is no row. */
  | 'key_missing'

export interface KeyProblem {
  readonly kid: string
  readonly problem: RowProblem
}

/** What the manifest says about the rows. */
export interface Judgement {
  /** What is believed of each vouched row, by `kid`. */
  readonly vouched: ReadonlyMap<string, ManifestEntry>
  /** The keys that a row says are revoked, and the manifest does not yet. */
  readonly newlyRevoked: readonly string[]
  readonly problems: readonly KeyProblem[]
}

export function judgeRows(manifest: Manifest, rows: readonly ManifestEntry[]): Judgement {
  const entries = new Map(manifest.entries.map((entry) => [entry.kid, entry]))
  const vouched = new Map<string, ManifestEntry>()
  const newlyRevoked: string[] = []
  const problems: KeyProblem[] = []
  for (const row of rows) {
    const entry = entries.get(row.kid)
    entries.delete(row.kid)
    if (entry === undefined) {
      problems.push({ kid: row.kid, problem: 'key_unknown' })
      continue
    }
    if (!isDeepEqual({ ...row, revokedAt: undefined }, { ...entry, revokedAt: undefined })) {
      problems.push({ kid: row.kid, problem: 'key_altered' })
      continue
    }
    if (entry.revokedAt !== undefined && row.revokedAt === undefined) {
      problems.push({ kid: row.kid, problem: 'key_revocation_undone' })
    }
    if (entry.revokedAt === undefined && row.revokedAt !== undefined) newlyRevoked.push(row.kid)
    vouched.set(row.kid, { ...entry, revokedAt: entry.revokedAt ?? row.revokedAt })
  }
  for (const kid of entries.keys()) problems.push({ kid, problem: 'key_missing' })
  return { vouched, newlyRevoked, problems }
}

/** Entries have the same members in the same order, so their texts are equal if and only if they are. */
function isDeepEqual(one: ManifestEntry, other: ManifestEntry): boolean {
  return JSON.stringify(Object.entries(one).toSorted()) === JSON.stringify(Object.entries(other).toSorted())
}
