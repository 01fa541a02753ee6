import { randomBytes } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { makeDirectory } from '../directory.ts'
import { OperatorError } from '../errors.ts'
import { createPrivateFile } from '../private-file.ts'
import { type KeyEncryptionKey, keyEncryptionKey } from './seal.ts'

/**
 * Where the key-encryption key comes from: the configuration, or, with the embedded database, a file beside
 * it. A file is made once, for a database that has no keys yet. Never again: a new key in the place of a lost
 * one would open nothing, and would hide that something was lost.
 */
export interface KeyEncryptionKeyOptions {
  /** MINTMARK_KEY_ENCRYPTION_KEY. */
  readonly configured: Buffer | undefined
  readonly databaseIsEmbedded: boolean
  readonly dataDirectory: string
  readonly hasSigningKeys: () => Promise<boolean>
  /** Told what an operator should know, in whole sentences. */
  readonly report: (message: string) => void
}

export async function resolveKeyEncryptionKey(options: KeyEncryptionKeyOptions): Promise<KeyEncryptionKey> {
  if (options.configured !== undefined)
    return keyEncryptionKey(options.configured, 'MINTMARK_KEY_ENCRYPTION_KEY')
  if (!options.databaseIsEmbedded) {
    throw new OperatorError(
      'MINTMARK_KEY_ENCRYPTION_KEY: must be set when DATABASE_URL is. It seals the signing keys in the database: ' +
        'make one with "openssl rand -base64 32" and keep it outside the database.',
    )
  }
  const path = join(options.dataDirectory, 'key-encryption-key')
  const existing = readKeyFile(path, options.report)
  if (existing !== undefined) return existing
  if (await options.hasSigningKeys()) {
    throw new OperatorError(
      `${path}: is missing, and the database has signing keys that only its key opens. Restore the file from a ` +
        'backup; nothing was generated or deleted.',
    )
  }
  return createKeyFile(path, options)
}

function createKeyFile(path: string, options: KeyEncryptionKeyOptions): KeyEncryptionKey {
  try {
    makeDirectory(options.dataDirectory)
    createPrivateFile(path, `${randomBytes(32).toString('base64')}\n`)
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

/** Undefined when there is no such file. */
function readKeyFile(path: string, report: (message: string) => void): KeyEncryptionKey | undefined {
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
