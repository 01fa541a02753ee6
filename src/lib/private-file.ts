import { randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, linkSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'

/**
 * Files with something secret in them: for their owner only, and on the disk before anybody relies on them.
 */
const ownerOnly = 0o600

/**
 * Creates a file with its content, whole or not at all.
 * @throws Error with code EEXIST when there is one already; it is left as it is.
 */
export function createPrivateFile(path: string, content: string): void {
  const temporary = writeTemporary(path, content)
  try {
    // Unlike a rename, a link never replaces what somebody else created meanwhile.
    linkSync(temporary, path)
  } finally {
    rmSync(temporary, { force: true })
  }
  synchronizeDirectory(dirname(path))
}

/** Writes a file with its content, whole or not at all, in the place of one that may exist. */
export function replacePrivateFile(path: string, content: string): void {
  const temporary = writeTemporary(path, content)
  try {
    renameSync(temporary, path)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
  synchronizeDirectory(dirname(path))
}

function writeTemporary(path: string, content: string): string {
  const temporary = `${path}.${randomBytes(6).toString('hex')}`
  const file = openSync(temporary, 'wx', ownerOnly)
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

/** A file that was created now, empty, to be written when there is something to write. */
export class ReservedFile {
  readonly path: string
  readonly #file: number

  /** @throws Error with code EEXIST when there is one already. */
  constructor(path: string) {
    this.path = path
    this.#file = openSync(path, 'wx', ownerOnly)
  }

  /** Returns once the content is on the disk. */
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

/** A name lasts through a power loss only once its directory is on the disk. */
function synchronizeDirectory(directory: string): void {
  const handle = openSync(directory, 'r')
  try {
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}
