import type { KeyObject } from 'node:crypto'
import type { Statements } from '../database/open.ts'
import { AdministrationError } from '../errors.ts'
import {
  contentHash,
  judgeRows,
  type KeyProblem,
  type Manifest,
  type ManifestEntry,
  openManifest,
  sealedKeyHash,
  sealManifest,
} from './manifest.ts'
import { type KeyEncryptionKey, newestSealedWith } from './seal.ts'
import type { KeyMoments } from './state.ts'
import {
  describe,
  entryOf,
  type KeyDescription,
  type KeyRow,
  openKey,
  readStored,
  type StoredKeys,
} from './store.ts'

/** Signing keys as far as they may be believed: their rows beside the manifest. */

/** What may be believed of the keys. */
export interface VouchedKeys {
  readonly keys: readonly KeyDescription[]
  /** Undefined when there is no manifest yet. */
  readonly manifest: Manifest | undefined
  readonly newlyRevoked: readonly string[]
  readonly problems: readonly KeyProblem[]
  /** The version of the registry that the rows belong to. */
  readonly registryVersion: number
}

/** @throws AdministrationError when the manifest cannot be opened, or is not what a key holder wrote. */
export async function readVouchedKeys(
  database: Statements,
  keys: readonly KeyEncryptionKey[],
): Promise<VouchedKeys> {
  const { vouched, ...rest } = vouchedRows(await readStored(database), keys)
  return { ...rest, keys: vouched.map(describe) }
}

function vouchedRows(
  { rows, manifest: stored, registryVersion }: StoredKeys,
  keys: readonly KeyEncryptionKey[],
) {
  if (stored === undefined)
    return { vouched: [], manifest: undefined, newlyRevoked: [], problems: [], registryVersion }
  const manifest = openManifest(stored, keys)
  const judgement = judgeRows(manifest, rows.map(entryOf))
  const vouched = rows.flatMap((row) => {
    const entry = judgement.vouched.get(row.kid)
    return entry === undefined ? [] : [{ ...row, revokedAt: entry.revokedAt }]
  })
  return { ...judgement, vouched, manifest, registryVersion }
}

/** A key that was created or changed in this transaction. */
export interface TouchedKey {
  readonly kid: string
  /** What they were set to, if they were. */
  readonly moments?: KeyMoments
  /** When it was revoked. The rest of it stays as it was vouched for. */
  readonly revokedAt?: number
  /** Whether a new key need not open: it has ended, and the release before had no manifest. */
  readonly mayBeClosed?: boolean
}

/**
 * Writes the manifest: all keys that it had, with the revocations that rows have got since, and the keys that were
 * created or changed in this transaction.
 *
 * Rows are not trusted here either: somebody who can write to the database can change them before this reads them, for
 * instance with a trigger. A key in the manifest keeps everything except what was changed on purpose, and a revoked key
 * stays revoked. A new key must open, and must be the key that its row shows.
 * @param atLeast the number that the new manifest must exceed: that of a manifest that the database has lost.
 * @returns what the records of this change say of the manifest.
 * @throws AdministrationError `signing_key_damaged` if a new key is not what its row shows.
 */
export async function writeManifest(
  database: Statements,
  keys: readonly KeyEncryptionKey[],
  touched: readonly TouchedKey[],
  atLeast = 0,
): Promise<ManifestMark> {
  const stored = await readStored(database)
  const { manifest, vouched } = vouchedRows(stored, keys)
  // Entries without a good row stay: a key that was revoked must not come back as an unknown one.
  const entries = new Map((manifest?.entries ?? []).map((entry) => [entry.kid, entry]))
  for (const row of vouched) entries.set(row.kid, entryOf(row))
  for (const change of touched) {
    const row = stored.rows.find(({ kid }) => kid === change.kid)
    if (row === undefined) continue
    const before = entries.get(row.kid)
    // Moments that no date has cannot be vouched for. Such a row stays unknown, and takes nothing away.
    if (before === undefined && !hasDates(row)) continue
    const entry = before === undefined ? await newEntry(row, keys, change) : changedEntry(before, row, change)
    entries.set(row.kid, entry)
  }
  const number = Math.max(manifest?.number ?? 0, atLeast) + 1
  return await storeManifest(database, keys, number, [...entries.values()])
}

async function storeManifest(
  database: Statements,
  keys: readonly KeyEncryptionKey[],
  number: number,
  entries: readonly ManifestEntry[],
): Promise<ManifestMark> {
  const id = newestSealedWith(entries)
  const key = keys.find((each) => each.id === id) ?? keys[0]
  if (key === undefined) throw new AdministrationError('key_encryption_key_unset', {})
  const [last] = await database.$queryRaw<
    { chain: number | null }[]
  >`SELECT max(chain) AS chain FROM audit_chain`
  const { content, mac } = sealManifest(key, { number, chainBefore: last?.chain ?? 0, entries })
  await database.$executeRaw`
    INSERT INTO signing_key_manifest ("only", number, key_encryption_key_id, content, mac)
    VALUES (true, ${number}, ${key.id}, ${content}, ${new Uint8Array(mac)})
    ON CONFLICT ("only") DO UPDATE SET number = excluded.number, key_encryption_key_id = excluded.key_encryption_key_id,
      content = excluded.content, mac = excluded.mac`
  return { manifest: number, manifest_hash: contentHash(content) }
}

/** Names a manifest in a record of the ledger. A process that starts compares the newest one with the manifest it finds. */
export type ManifestMark = {
  readonly manifest: number
  readonly manifest_hash: string
}

/**
 * A manifest in the place of one whose key-encryption key is lost. Nobody vouches for what the old one says, so only rows
 * count: those that take away, and those that open. Its number goes on, so that no process takes it for an older one.
 * @returns what the records of this change say of the manifest.
 */
export async function replaceManifest(
  database: Statements,
  keys: readonly KeyEncryptionKey[],
  isOver: (key: KeyDescription) => boolean,
): Promise<ManifestMark> {
  const { rows, manifest } = await readStored(database)
  const entries: ManifestEntry[] = []
  for (const row of rows) {
    if (!hasDates(row)) continue
    if (!isOver(describe(row))) await openKey(row, keys)
    entries.push(entryOf(row))
  }
  const number = Math.max(manifest?.number ?? 0, (await recordedManifest(database, 0)).number) + 1
  return await storeManifest(database, keys, number, entries)
}

const hasDates = ({ publishedAt, signsFrom, signsUntil, publishedUntil }: KeyMoments): boolean =>
  [publishedAt, signsFrom, signsUntil, publishedUntil].every(Number.isFinite)

function changedEntry(before: ManifestEntry, row: KeyRow, { moments, revokedAt }: TouchedKey): ManifestEntry {
  // That a key is revoked makes nothing else of its row true.
  if (revokedAt !== undefined) return { ...before, revokedAt: before.revokedAt ?? revokedAt }
  return {
    ...before,
    ...(moments === undefined ? {} : momentsOf(moments)),
    revokedAt: before.revokedAt ?? moments?.revokedAt,
    keyEncryptionKeyId: row.keyEncryptionKeyId,
    sealedKeyHash: sealedKeyHash(row.sealedPrivateKey),
  }
}

async function newEntry(
  row: KeyRow,
  keys: readonly KeyEncryptionKey[],
  { moments, revokedAt, mayBeClosed = false }: TouchedKey,
): Promise<ManifestEntry> {
  const changed = moments === undefined ? {} : momentsOf(moments)
  const entry = { ...entryOf(row), ...changed, ...(revokedAt === undefined ? {} : { revokedAt }) }
  // A key that is revoked from the beginning is never published.
  if (entry.revokedAt === undefined && !mayBeClosed) await openKey(row, keys)
  return entry
}

function momentsOf({
  publishedAt,
  signsFrom,
  signsUntil,
  publishedUntil,
  revokedAt,
}: KeyMoments): KeyMoments {
  return { publishedAt, signsFrom, signsUntil, publishedUntil, revokedAt }
}

/**
 * The highest number of a manifest in the ledger's records of keys. The text is searched and not read as JSON, because a
 * record that somebody wrote by hand may be no JSON, and must not fail a start.
 * @param afterChain only chains after this one are read: a manifest says which are older than itself.
 */
export async function recordedManifest(
  database: Statements,
  afterChain: number,
): Promise<{ readonly number: number; readonly hash: string | undefined }> {
  const [row] = await database.$queryRaw<{ number: number | null; hash?: string | null }[]>`
    SELECT substring(r.detail from '"manifest":([0-9]{1,15})')::float8 AS number,
           substring(r.detail from '"manifest_hash":"([0-9a-f]{64})"') AS hash
      FROM audit_chain c JOIN audit_record r ON r.chain = c.chain AND r.seq <= 20
     WHERE c.chain > ${afterChain}::int AND r.type = 'key' AND r.detail ~ '"manifest":[0-9]{1,15}[,}]'
     ORDER BY 1 DESC, r.chain DESC, r.seq DESC LIMIT 1`
  return { number: row?.number ?? 0, hash: row?.hash ?? undefined }
}

export interface LoadedKey extends KeyDescription {
  /** Undefined if the key was not opened, for example because it will never sign again. */
  readonly privateKey: KeyObject | undefined
}

export interface LoadedKeys extends Omit<VouchedKeys, 'keys'> {
  readonly keys: readonly LoadedKey[]
}

/**
 * Loads all keys that are vouched for, and opens the wanted ones.
 * @param keys the available key-encryption keys: the current one and, during a rewrap, the previous one.
 * @param wanted selects the keys to open. A key that will never sign again is not opened, so damage to it
 * does not matter.
 * @param opened private keys that are in memory already. They are not opened again, so a running service
 * continues while its keys are sealed with a new key-encryption key that it does not have yet.
 * @param onUnopened called when a wanted key does not open. The caller must never create a new key in its place.
 * @throws AdministrationError if a wanted key does not open and nobody is to be told, or if the manifest does not.
 */
export async function loadKeys(
  database: Statements,
  keys: readonly KeyEncryptionKey[],
  wanted: (key: KeyDescription) => boolean,
  opened: ReadonlyMap<string, KeyObject> = new Map(),
  onUnopened: (error: AdministrationError) => void = rethrow,
): Promise<LoadedKeys> {
  const { vouched, ...rest } = vouchedRows(await readStored(database), keys)
  const loaded: LoadedKey[] = []
  for (const row of vouched) {
    const privateKey = wanted(row)
      ? (opened.get(row.kid) ?? (await openKey(row, keys).catch(tell(onUnopened))))
      : undefined
    loaded.push({ ...describe(row), privateKey })
  }
  return { ...rest, keys: loaded }
}

function rethrow(error: AdministrationError): never {
  throw error
}

const tell =
  (onUnopened: (error: AdministrationError) => void) =>
  (error: unknown): undefined => {
    if (!(error instanceof AdministrationError)) throw error
    onUnopened(error)
    return undefined
  }

/** The `kid`s of rows that a holder of the key-encryption key made, whether or not the manifest has them. */
export async function findOpening(
  database: Statements,
  keys: readonly KeyEncryptionKey[],
): Promise<ReadonlySet<string>> {
  const opening = new Set<string>()
  for (const row of (await readStored(database)).rows) {
    try {
      await openKey(row, keys)
      opening.add(row.kid)
    } catch (error) {
      if (!(error instanceof AdministrationError)) throw error
    }
  }
  return opening
}
