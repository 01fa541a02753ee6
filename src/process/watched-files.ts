import { statSync } from 'node:fs'
import { limits } from '../limits.ts'

/**
 * Files that are read again when they change. They are looked at once a second: notices of the system get lost on volumes
 * of the network, and where a symbolic link is replaced, as Kubernetes does it with its `..data`.
 *
 * Files that belong together are written one after the other. So they are read when two looks have seen the same.
 */
export class WatchedFiles {
  readonly #paths: readonly string[]
  readonly #onChange: () => void
  readonly #timer: NodeJS.Timeout | undefined
  /** What the files were when they were read last. They were read before this began, and may have changed since. */
  #read = 'unknown'
  #before = 'unknown'

  constructor(paths: readonly string[], onChange: () => void) {
    this.#paths = paths
    this.#onChange = onChange
    if (paths.length > 0)
      this.#timer = setInterval(() => this.#check(), limits.tlsFileCheckMilliseconds).unref()
  }

  /** Somebody reads them now. */
  noteRead(): void {
    this.#read = this.#look()
    this.#before = this.#read
  }

  close(): void {
    clearInterval(this.#timer)
  }

  #check(): void {
    const now = this.#look()
    const isSettled = now === this.#before
    this.#before = now
    if (!isSettled || now === this.#read) return
    // What is found wrong is told once, and read again when something changes.
    this.#read = now
    this.#onChange()
  }

  /** Follows links, so that another file behind the same name is another one. */
  #look(): string {
    return this.#paths.map(identityOf).join(' ')
  }
}

function identityOf(path: string): string {
  try {
    const { dev, ino, size, mtimeNs } = statSync(path, { bigint: true })
    return `${dev}:${ino}:${size}:${mtimeNs}`
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'none'
  }
}
