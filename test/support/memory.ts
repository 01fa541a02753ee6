import { statfsSync } from 'node:fs'

/** A directory in memory, and how much room a whole run may need there. */
const memory = { directory: '/dev/shm', bytes: 4 * 2 ** 30 }

/**
 * Puts the databases and files of the tests into memory where there is room. Nearly every test copies a database, and
 * a file system on a disk takes four times the processor time for a copy.
 */
export function useMemory(): void {
  try {
    const { bavail, bsize } = statfsSync(memory.directory)
    if (bavail * bsize >= memory.bytes) process.env['TMPDIR'] ??= memory.directory
  } catch {
    // This system has no such directory.
  }
}
