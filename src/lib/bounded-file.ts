import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'

/** The message is only for `catch`: the caller says what the limit is. */
export class FileTooLarge extends Error {}

/** Bytes of a secret, a certificate or another setting in a file. A bundle of certificate authorities has the most. */
export const settingFileBytesMax = 1024 * 1024

const chunkBytes = 64 * 1024

/** A pipe is waited for, because its writer may start later or be slow. Its reader must not wait for ever without a word. */
const pipeMilliseconds = 10_000
const betweenLooksMilliseconds = 10

/** Opens a file to read it. To open a pipe into which nobody writes would not return. */
export function openToRead(path: string): number {
  return openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
}

/**
 * Reads a file of unknown size. It does not ask the system for the size: a pipe has none, and a device never ends.
 * @throws FileTooLarge
 */
export function readBounded(path: string, bytesMax: number): Buffer {
  const file = openToRead(path)
  try {
    return readOpen(file, bytesMax)
  } finally {
    closeSync(file)
  }
}

/** @param file a descriptor of `openToRead`. It stays open. @throws FileTooLarge */
export function readOpen(file: number, bytesMax: number, patience = pipeMilliseconds): Buffer {
  const isPipe = fstatSync(file).isFIFO()
  let giveUpAt = performance.now() + patience
  const chunks: Buffer[] = []
  let length = 0
  for (;;) {
    const chunk = Buffer.allocUnsafe(chunkBytes)
    const read = isPipe ? readPipe(file, chunk) : readSync(file, chunk)
    if (read === undefined || (isPipe && read === 0 && length === 0)) {
      if (performance.now() > giveUpAt) throw new Error('it is a pipe, and nobody writes into it')
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, betweenLooksMilliseconds)
      continue
    }
    giveUpAt = performance.now() + patience
    if (read === 0) return Buffer.concat(chunks, length)
    length += read
    if (length > bytesMax) throw new FileTooLarge(`it has more than ${bytesMax} bytes`)
    chunks.push(chunk.subarray(0, read))
  }
}

/** @returns undefined if its writer has not written yet. */
function readPipe(file: number, chunk: Buffer): number | undefined {
  try {
    return readSync(file, chunk)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return undefined
    throw error
  }
}

const problems: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  ENOTDIR: 'a part of its path is a file and not a directory',
  EISDIR: 'it is a directory',
  EACCES: 'this user may not open it',
  EPERM: 'the system does not allow it',
  ELOOP: 'its symbolic links lead in a circle',
  ENAMETOOLONG: 'its name is too long',
  EEXIST: 'it exists already',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the quota of this user is used up',
  EMFILE: 'this process has too many files open',
  ENFILE: 'the machine has too many files open',
  EIO: 'the device failed',
  ERR_INVALID_ARG_VALUE: 'its name has a zero byte',
}

/** Why a file could not be opened, read or written, in words that end a sentence. */
export function fileProblem(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  return problems[code ?? ''] ?? message
}
