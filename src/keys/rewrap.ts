import { rmSync } from 'node:fs'
import { databaseNow } from '../database/clock.ts'
import { AdministrationError } from '../errors.ts'
import { changeRegistry } from '../ledger/change-store.ts'
import { resealHead } from '../registry/seal-store.ts'
import type { RotationContext } from './key-change.ts'
import { type KeyEncryptionKeys, keyFiles, readKeyFile, replaceKeyFile } from './key-encryption-key.ts'
import { loadKeys, readVouchedKeys, writeManifest } from './manifest-store.ts'
import type { KeyEncryptionKey } from './seal.ts'
import { isOver, type KeyMoments } from './state.ts'
import { type ResealedKey, resealKeys } from './store.ts'
import { settledKeys } from './takeover.ts'

/**
 * Replaces the key-encryption key that is in use. All signing keys are sealed again in one transaction, and a key is
 * only ever created under the same lock (`sealingKey` in key-change.ts): once it has committed, nothing is sealed with
 * the old one, and nothing will be.
 */
export interface Rewrap {
  /** The key-encryption key that seals everything now. */
  readonly keyEncryptionKeyId: string
  readonly resealed: readonly ResealedKey[]
}

export type RewrapContext = Omit<RotationContext, 'keyEncryptionKeys'>

/** With the keys that an operator provides: what another one seals is sealed again with the first one. */
export async function rewrap(context: RewrapContext, keys: KeyEncryptionKeys): Promise<Rewrap> {
  return await resealAll(context, async (open) => {
    await open(keys)
    return { to: keys[0], atHand: keys }
  })
}

export interface FileRewrap extends Rewrap {
  /** Whether this completed one that was interrupted, with the key that one had made. */
  readonly completed: boolean
}

/**
 * With the embedded database, which keeps its key in a file: makes the new key as well. The old one is written
 * to a second file before anything else and removed after everything else, so wherever this is interrupted,
 * the two files open every signing key, and running it again completes it.
 */
export async function rewrapFile(context: RewrapContext, dataDirectory: string): Promise<FileRewrap> {
  const { path, previousPath } = keyFiles(dataDirectory)
  let completed = false
  const result = await resealAll(context, async (open) => {
    const current = requireKeyFile(path)
    const previous = readKeyFile(previousPath)
    const atHand: KeyEncryptionKeys = previous === undefined ? [current] : [current, previous]
    // Before anything is replaced: these must be the right ones.
    await open(atHand)
    completed = previous !== undefined && previous.id !== current.id
    const to = completed ? current : replaceKeyFile(dataDirectory, current)
    return { to, atHand: [to, ...atHand] }
  })
  await changeRegistry(context, async (transaction) => {
    const current = requireKeyFile(path)
    const { keys } = await readVouchedKeys(transaction, [current])
    if (keys.filter(mustOpen(context)).every((key) => key.keyEncryptionKeyId === current.id)) {
      rmSync(previousPath, { force: true })
    }
  })
  return { ...result, completed }
}

function requireKeyFile(path: string): KeyEncryptionKey {
  const key = readKeyFile(path)
  if (key !== undefined) return key
  throw new AdministrationError('key_file_missing', { path })
}

/** A key that has ended for good is sealed again if it opens. If it does not open, nobody needs it. */
function mustOpen({ schedule, clock }: RewrapContext): (key: KeyMoments) => boolean {
  const now = clock.nowSeconds()
  return (key) => !isOver(key, schedule, now)
}

async function resealAll(
  context: RewrapContext,
  choose: (
    open: (keys: KeyEncryptionKeys) => Promise<unknown>,
  ) => Promise<{ to: KeyEncryptionKey; atHand: KeyEncryptionKeys }>,
): Promise<Rewrap> {
  return await changeRegistry(context, async (transaction, records) => {
    const wanted = mustOpen(context)
    const { to, atHand } = await choose(async (keys) => {
      const rotation = { ...context, keyEncryptionKeys: async () => keys }
      // By the clock of the database: a key may take over, and this machine's clock may be wrong.
      const now = Math.floor(await databaseNow(transaction))
      await settledKeys(rotation, transaction, records, keys, now, (mark) =>
        records.add('key', 'vouched', {}, [], { ...mark, kids: [] }),
      )
      await loadKeys(transaction, keys, wanted)
    })
    // Only rows that the manifest has: to seal a row again must not make it valid.
    const { keys, problems, manifest: before } = await readVouchedKeys(transaction, atHand)
    for (const { kid, problem } of problems) {
      const entry = before?.entries.find((each) => each.kid === kid)
      if (problem !== 'key_altered' || entry === undefined || !wanted(entry)) continue
      throw new AdministrationError('signing_key_altered', { kid })
    }
    const vouched = new Set(keys.map(({ kid }) => kid))
    const resealed = await resealKeys(transaction, to, atHand, vouched, wanted)
    // In any case: the registry may have been sealed with the old key when no signing key was.
    await resealHead(transaction, to, atHand)
    // Nothing has changed then, and a manifest without a record would look like one that somebody else wrote.
    if (resealed.length === 0) return { keyEncryptionKeyId: to.id, resealed }
    const mark = await writeManifest(transaction, [to, ...atHand], resealed)
    for (const { kid, from } of resealed) {
      const changes = [{ field: 'key_encryption_key_id', from, to: to.id }]
      records.add('key', 'resealed', { kid }, changes, mark)
    }
    return { keyEncryptionKeyId: to.id, resealed }
  })
}
