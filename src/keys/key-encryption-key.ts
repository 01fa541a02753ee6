import { randomBytes } from 'node:crypto'
import { lstatSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { AdministrationError } from '../errors.ts'
import { fileProblem } from '../lib/bounded-file.ts'
import { makeDirectory } from '../lib/directory.ts'
import { createPrivateFile, replacePrivateFile } from '../lib/private-file.ts'
import { readSecretFile, SecretFileProblem } from '../lib/secret-file.ts'
import { type KeyEncryptionKey, keyEncryptionKey } from './seal.ts'

/**
 * Where the key-encryption key comes from: the configuration, or, with the embedded database, a file beside
 * it. A file is made once, for a database that has no keys yet. It is never made again: a new key in the place of a
 * lost one would open nothing, and would hide the loss. Only `keys abandon` does it, on purpose.
 */
export interface KeyEncryptionKeyOptions {
  /** The one that the configuration names. */
  readonly configured: Buffer | undefined
  /** The previous one, while keys are being sealed again. */
  readonly previous: Buffer | undefined
  readonly databaseIsEmbedded: boolean
  readonly dataDirectory: string
  readonly hasSigningKeys: () => Promise<boolean>
}

/** The one in use, followed by the previous one while keys are being sealed again. */
export type KeyEncryptionKeys = readonly [KeyEncryptionKey, ...KeyEncryptionKey[]]

/** Asked each time one is needed: a rewrap may have replaced it meanwhile. */
export type KeyEncryptionKeySource = () => Promise<KeyEncryptionKeys>

/** The embedded database's key, and the one before it, as files in its data directory. */
export function keyFiles(dataDirectory: string): { readonly path: string; readonly previousPath: string } {
  const path = join(dataDirectory, 'key-encryption-key')
  return { path, previousPath: `${path}.previous` }
}

export async function resolveKeyEncryptionKeys(options: KeyEncryptionKeyOptions): Promise<KeyEncryptionKeys> {
  const previous = options.previous === undefined ? [] : [keyEncryptionKey(options.previous)]
  if (options.configured !== undefined) {
    return [keyEncryptionKey(options.configured), ...previous]
  }
  if (!options.databaseIsEmbedded) throw new AdministrationError('key_encryption_key_unset', {})
  const { path, previousPath } = keyFiles(options.dataDirectory)
  const existing = readKeyFile(path)
  const before = readKeyFile(previousPath)
  if (existing !== undefined) return [existing, ...(before === undefined ? previous : [before])]
  if (await options.hasSigningKeys()) throw new AdministrationError('key_file_lost', { path })
  return [createKeyFile(path, options)]
}

/** The keys that exist already. Nothing is created, and it is not an error if there are none. */
export function keyEncryptionKeysAtHand(
  options: Pick<KeyEncryptionKeyOptions, 'configured' | 'previous' | 'databaseIsEmbedded' | 'dataDirectory'>,
): KeyEncryptionKeys | undefined {
  const { path, previousPath } = keyFiles(options.dataDirectory)
  const fromFile = (file: string) => (options.databaseIsEmbedded ? readKeyFile(file) : undefined)
  const current = options.configured === undefined ? fromFile(path) : keyEncryptionKey(options.configured)
  const previous =
    options.previous === undefined ? fromFile(previousPath) : keyEncryptionKey(options.previous)
  if (current === undefined) return undefined
  return previous === undefined ? [current] : [current, previous]
}

function createKeyFile(path: string, options: KeyEncryptionKeyOptions): KeyEncryptionKey {
  try {
    makeDirectory(options.dataDirectory)
    createPrivateFile(path, fileText(keyEncryptionKey(randomBytes(32), path)))
  } catch (error) {
    // Another process that starts at the same time was faster: its key counts.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
      const problem = fileProblem(error)
      throw new AdministrationError('key_file_uncreatable', { path, problem }, { cause: error })
    }
  }
  const created = readKeyFile(path)
  if (created === undefined) throw new AdministrationError('key_file_vanished', { path })
  return created
}

const fileText = ({ bytes }: KeyEncryptionKey): string => `${bytes.toString('base64')}\n`

/** Makes another key the one in use; the one that was is kept beside it, and written first. */
export function replaceKeyFile(dataDirectory: string, current: KeyEncryptionKey): KeyEncryptionKey {
  const { path, previousPath } = keyFiles(dataDirectory)
  const next = keyEncryptionKey(randomBytes(32), path)
  replacePrivateFile(previousPath, fileText(current))
  replacePrivateFile(path, fileText(next))
  return next
}

/** Undefined when there is no such file. */
export function readKeyFile(path: string): KeyEncryptionKey | undefined {
  let text: string
  try {
    // Root works on the data of the user to whom the directory belongs.
    const owner = process.geteuid?.() === 0 ? lstatSync(dirname(path)).uid : undefined
    text = readSecretFile(path, { owner, ownerOnly: true })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    const problem = error instanceof SecretFileProblem ? `it ${error.message}` : fileProblem(error)
    throw new AdministrationError('key_file_unreadable', { path, problem }, { cause: error })
  }
  const encoded = text.trim()
  const bytes = Buffer.from(encoded, 'base64')
  // Compared as text, because Buffer skips what is not base64 instead of refusing it.
  if (bytes.length !== 32 || bytes.toString('base64') !== encoded) {
    throw new AdministrationError('key_file_malformed', { path, isEmpty: text === '' })
  }
  return keyEncryptionKey(bytes, path)
}
