import { randomBytes } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { OperatorError } from '../errors.ts'
import { makeDirectory } from '../lib/directory.ts'
import { createPrivateFile, replacePrivateFile } from '../lib/private-file.ts'
import { type KeyEncryptionKey, keyEncryptionKey } from './seal.ts'

/**
 * Where the key-encryption key comes from: the configuration, or, with the embedded database, a file beside
 * it. A file is made once, for a database that has no keys yet. Never again: a new key in the place of a lost
 * one would open nothing, and would hide that something was lost.
 */
export interface KeyEncryptionKeyOptions {
  /** MINTMARK_KEY_ENCRYPTION_KEY. */
  readonly configured: Buffer | undefined
  /** MINTMARK_KEY_ENCRYPTION_KEY_PREVIOUS. */
  readonly previous: Buffer | undefined
  readonly databaseIsEmbedded: boolean
  readonly dataDirectory: string
  readonly hasSigningKeys: () => Promise<boolean>
  /** Told what an operator should know, in whole sentences. */
  readonly report: (message: string) => void
}

/** The one in use, and behind it the one before, while keys are sealed anew. */
export type KeyEncryptionKeys = readonly [KeyEncryptionKey, ...KeyEncryptionKey[]]

/** Asked each time one is needed: "keys rewrap" may have replaced it since. */
export type KeyEncryptionKeySource = () => Promise<KeyEncryptionKeys>

/** The embedded database's key, and the one before it, as files in its data directory. */
export function keyFiles(dataDirectory: string): { readonly path: string; readonly previousPath: string } {
  const path = join(dataDirectory, 'key-encryption-key')
  return { path, previousPath: `${path}.previous` }
}

export async function resolveKeyEncryptionKeys(options: KeyEncryptionKeyOptions): Promise<KeyEncryptionKeys> {
  const previous =
    options.previous === undefined
      ? []
      : [keyEncryptionKey(options.previous, 'MINTMARK_KEY_ENCRYPTION_KEY_PREVIOUS')]
  if (options.configured !== undefined) {
    return [keyEncryptionKey(options.configured, 'MINTMARK_KEY_ENCRYPTION_KEY'), ...previous]
  }
  if (!options.databaseIsEmbedded) {
    throw new OperatorError(
      'MINTMARK_KEY_ENCRYPTION_KEY: must be set when DATABASE_URL is. It seals the signing keys in the database: ' +
        'make one with "openssl rand -base64 32" and keep it outside the database.',
    )
  }
  const { path, previousPath } = keyFiles(options.dataDirectory)
  const existing = readKeyFile(path, options.report)
  const before = readKeyFile(previousPath, options.report)
  if (existing !== undefined) return [existing, ...(before === undefined ? previous : [before])]
  if (await options.hasSigningKeys()) {
    throw new OperatorError(
      `${path}: is missing, and the database has signing keys that only its key opens. Restore the file from a ` +
        'backup; nothing was generated or deleted.',
    )
  }
  return [createKeyFile(path, options)]
}

function createKeyFile(path: string, options: KeyEncryptionKeyOptions): KeyEncryptionKey {
  try {
    makeDirectory(options.dataDirectory)
    createPrivateFile(path, fileText(keyEncryptionKey(randomBytes(32), path)))
  } catch (error) {
    // Another process that starts at the same time was faster: its key counts.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
      throw new OperatorError(`${path}: cannot create it: ${(error as Error).message}`, { cause: error })
    }
  }
  const created = readKeyFile(path, options.report)
  if (created === undefined)
    throw new OperatorError(`${path}: was removed while this process started. Start again.`)
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
export function readKeyFile(
  path: string,
  report: (message: string) => void = () => {},
): KeyEncryptionKey | undefined {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
    const mode = statSync(path).mode & 0o777
    if ((mode & 0o077) !== 0) {
      report(`${path} can be read by others (mode 0${mode.toString(8)}). Run: chmod 600 ${shellQuoted(path)}`)
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new OperatorError(`${path}: cannot read it: ${(error as Error).message}`, { cause: error })
  }
  const bytes = Buffer.from(text.trim(), 'base64')
  // Compared as text, because Buffer skips what is not base64 instead of refusing it.
  if (bytes.length !== 32 || bytes.toString('base64') !== text.trim()) {
    throw new OperatorError(
      `${path}: holds ${text === '' ? 'nothing' : 'something else than a key (32 bytes in base64)'}. Restore it from ` +
        'a backup; nothing was generated or deleted.',
    )
  }
  return keyEncryptionKey(bytes, path)
}

export function shellQuoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
