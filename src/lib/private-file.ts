import { randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, linkSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'

/**
 * Files with secrets. Only their owner can read them, unless a mode is given: what belongs to a secret and is public, such
 * as the certificate of a key. They are on the disk before these functions return.
 */
const ownerOnly = 0o600

/**
 * Creates a file. It appears with its whole content, or not at all.
 * @throws Error with code EEXIST if the file exists. It is not changed then.
 */
export function createPrivateFile(path: string, content: string, mode = ownerOnly): void {
  const temporary = writeTemporary(path, content, mode)
  try {
    // Unlike a rename, a link never replaces a file that another process has created meanwhile.
    linkSync(temporary, path)
  } finally {
    rmSync(temporary, { force: true })
  }
  synchronizeDirectory(dirname(path))
}

/** Creates or replaces a file. It has the whole new content, or it is not changed. */
export function replacePrivateFile(path: string, content: string, mode = ownerOnly): void {
  const temporary = writeTemporary(path, content, mode)
  try {
    renameSync(temporary, path)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
  synchronizeDirectory(dirname(path))
}

function writeTemporary(path: string, content: string, mode: number): string {
  const temporary = `${path}.${randomBytes(6).toString('hex')}`
  const file = openSync(temporary, 'wx', mode)
  try {
    writeFileSync(file, content)
    fsyncSync(file)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  } finally {
    closeSync(file)
  }
  return temporary
}

/** A file that is created empty at once and written later. So a path that cannot be used is found early. */
export class ReservedFile {
  readonly path: string
  readonly #file: number

  /** @throws Error with code EEXIST if the file exists. */
  constructor(path: string) {
    this.path = path
    this.#file = openSync(path, 'wx', ownerOnly)
  }

  /** Returns when the content is on the disk. */
  write(content: string): void {
    writeFileSync(this.#file, content)
    fsyncSync(this.#file)
    synchronizeDirectory(dirname(this.path))
  }

  close(): void {
    closeSync(this.#file)
  }

  remove(): void {
    closeSync(this.#file)
    rmSync(this.path, { force: true })
  }
}

/** A new file name survives a power loss only after its directory is on the disk. */
export function synchronizeDirectory(directory: string): void {
  const handle = openSync(directory, 'r')
  try {
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}
